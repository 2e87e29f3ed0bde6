"""Values, targets, verdicts and Markdown tables."""

import statistics
from dataclasses import dataclass, field

PASS, MISS = "pass", "**miss**"


@dataclass(frozen=True)
class Target:
    """A bound for a ratio of ours to the peer's, or for a value of ours (`of` says of what)."""

    sign: str
    bound: float
    of: str = ""

    def met(self, value):
        return value >= self.bound if self.sign == "≥" else value <= self.bound

    def __str__(self):
        return f"{self.of} {self.sign} {self.bound:g}".strip()


def at_least(bound, of=""):
    return Target("≥", bound, of)


def at_most(bound, of=""):
    return Target("≤", bound, of)


def judge(*pairs):
    """Two cells: the targets of a row, and whether their values meet them. Pairs of target (or None) and value."""
    pairs = [(target, value) for target, value in pairs if target]
    if not pairs:
        return ["", ""]
    met = all(target.met(value) for target, value in pairs)
    return [", ".join(str(target) for target, _ in pairs), PASS if met else MISS]


def ratio(ours, peer):
    return ours / peer if peer else float("nan")


def geometric_mean(values):
    return statistics.geometric_mean(values) if values and min(values) > 0 else float("nan")


@dataclass
class Table:
    """A table of the report: heading, column names, rows of cells, notes below, and the samples behind it."""

    heading: str
    columns: list
    rows: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    samples: list = field(default_factory=list)

    def add(self, *cells):
        self.rows.append([cell if isinstance(cell, str) else f"{cell:.2f}" for cell in cells])

    def markdown(self):
        # The first column is a name; numbers read best flush right.
        rules = ["---"] + ["---:"] * (len(self.columns) - 1)
        lines = [" | ".join(row) for row in [self.columns, rules, *self.rows]]
        table = "\n".join(f"| {line} |" for line in lines)
        notes = "".join(f"\n\n{note}" for note in self.notes)
        return f"### {self.heading}\n\n{table}{notes}"
