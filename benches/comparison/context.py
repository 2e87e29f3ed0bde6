"""What every section of the comparison is given."""

import contextlib
import resource
from dataclasses import dataclass
from pathlib import Path

from .load import Load
from .server import Server

OURS, PEER = "ours", "peer"
SIDES = (OURS, PEER)


@dataclass(frozen=True)
class Context:
    ours: Path
    peer: Path
    load: Load
    rounds: int
    seconds: float
    # Whether to use less data, to see that everything works rather than to measure.
    quick: bool
    port: int

    def start(self, side, *directives):
        """Starts a fresh server of one side; a context manager that stops it."""
        path = self.ours if side == OURS else self.peer
        return Server(path, self.port + SIDES.index(side), directives)

    @contextlib.contextmanager
    def both(self):
        """Fresh servers of both sides, by side."""
        with self.start(OURS) as ours, self.start(PEER) as peer:
            yield {OURS: ours, PEER: peer}

    def turns(self, rounds=None):
        """The sides in turn: ours, peer, ours, peer, ..."""
        for _ in range(rounds or self.rounds):
            yield from SIDES


def raise_file_limit():
    """Allows this process, and the servers it starts, as many files as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
