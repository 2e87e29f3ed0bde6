"""Requests per second and the server's CPU time for each, by pipeline depth and command.

Every row starts from the same state: both servers emptied and filled with the million keys that the command reads.
"""

import statistics
from dataclasses import dataclass

from .context import OURS, PEER
from .load import redis_benchmark
from .table import Table, at_least, at_most, geometric_mean, judge, ratio

KEYS = 1_000_000
# Beyond this share of its time the load generator may hold a server back, and the row says so.
BUSY_SHARE = 0.95
COLUMNS = [
    "Workload", "ours, thousand/s", "peer, thousand/s", "ratio",
    "ours, CPU µs each", "peer, CPU µs each", "ratio", "target", "result",
]


@dataclass(frozen=True)
class Group:
    """Rows that share a pipeline depth and targets: for each row, and for the geometric mean of the rows."""

    heading: str
    pipeline: int
    commands: tuple
    rate: object = None
    cpu: object = None
    mean_rate: object = None
    mean_cpu: object = None
    # Whether our load generator measures also at pipeline 1.
    own: bool = False


MAIN_COMMANDS = ("set", "get", "incr", "setex")


def pipeline_1(context):
    return _run(context, Group("Pipeline 1, redis-benchmark", 1, ("set", "get"), rate=at_least(1.3)))


def pipeline_16(context):
    targets = {"rate": at_least(1.35), "cpu": at_most(0.75, "CPU")}
    return _run(context, Group("Pipeline 16", 16, MAIN_COMMANDS, **targets))


def pipeline_64(context):
    targets = {"rate": at_least(1.8), "mean_rate": at_least(2.2), "mean_cpu": at_most(0.5, "CPU")}
    return _run(context, Group("Pipeline 64", 64, MAIN_COMMANDS, **targets))


def multi(context):
    return _run(context, Group("Ten keys at once, pipeline 16", 16, ("mset10", "mget10"), rate=at_least(1.8)))


def transactions(context):
    """MULTI, five SET, EXEC, sent together; each of the seven is a request."""
    return _run(context, Group("Transactions of 5 SET, one at a time", 1, ("multi5",), rate=at_least(1.3), own=True))


def transactions_16(context):
    return _run(context, Group("Transactions of 5 SET, pipeline 16", 16, ("multi5",), rate=at_least(1.3)))


def hot_key(context):
    commands = ("hotset", "hotget", "hotincr")
    return _run(context, Group("One hot key, pipeline 64", 64, commands, rate=at_least(1.5)))


def _run(context, group):
    table = Table(f"{group.heading}, 50 connections", COLUMNS)
    rates, cpus = [], []
    with context.both() as servers:
        for command in group.commands:
            rate, cpu, busiest = _row(context, servers, group, command, table.samples)
            rate_ratio, cpu_ratio = ratio(rate[OURS], rate[PEER]), ratio(cpu[OURS], cpu[PEER])
            rates.append(rate_ratio)
            cpus.append(cpu_ratio)
            thousands = [f"{rate[side] / 1000:.0f}" for side in (OURS, PEER)]
            verdict = judge((group.rate, rate_ratio), (group.cpu, cpu_ratio))
            table.add(command.upper(), *thousands, rate_ratio, cpu[OURS], cpu[PEER], cpu_ratio, *verdict)
            if busiest > BUSY_SHARE:
                table.notes.append(f"{command.upper()}: the load generator was busy {busiest:.0%} of the time.")
    verdict = judge((group.mean_rate, geometric_mean(rates)), (group.mean_cpu, geometric_mean(cpus)))
    table.add("geometric mean", "", "", geometric_mean(rates), "", "", geometric_mean(cpus), *verdict)
    return table


def _row(context, servers, group, command, samples):
    """Medians by side of requests per second and CPU microseconds, and how busy the load was at most."""
    for server in servers.values():
        server.call("FLUSHALL")
        context.load.fill(server, KEYS, command)
    rates, cpus, busiest = {OURS: [], PEER: []}, {OURS: [], PEER: []}, 0.0
    for side in context.turns():
        if group.pipeline == 1 and not group.own:
            rate, cpu = redis_benchmark(servers[side], command, context.seconds, KEYS)
        else:
            run = context.load.run(servers[side], command, pipeline=group.pipeline, seconds=context.seconds, keys=KEYS)
            rate, cpu = run["rps"], run["server_cpu_us_per_request"]
            busiest = max(busiest, run["client_busy"])
        rates[side].append(rate)
        cpus[side].append(cpu)
        samples.append({"side": side, "command": command, "pipeline": group.pipeline, "rps": rate, "cpu_us": cpu})
    medians = [{side: statistics.median(values[side]) for side in values} for values in (rates, cpus)]
    return *medians, busiest
