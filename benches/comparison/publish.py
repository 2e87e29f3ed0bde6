"""Messages that reach subscribers in a second, by the number of subscribers and the depth of the publishers' pipelines."""

import statistics

from .context import OURS, PEER
from .table import Table, at_least, judge, ratio

SUBSCRIBERS = (1, 100, 1000)
# Publishers without a pipeline, and few with one.
PUBLISHERS = ((50, 1), (10, 16))
TARGET = at_least(1.3)
COLUMNS = [
    "Workload", "ours, thousand/s", "peer, thousand/s", "ratio",
    "ours, CPU µs each", "peer, CPU µs each", "ratio", "target", "result",
]


def messages(context):
    table = Table("Messages delivered, 16 bytes each", COLUMNS)
    with context.both() as servers:
        for connections, pipeline in PUBLISHERS:
            for subscribers in SUBSCRIBERS:
                _row(context, servers, table, connections, pipeline, subscribers)
    return table


def _row(context, servers, table, connections, pipeline, subscribers):
    rates, cpus, busiest = {OURS: [], PEER: []}, {OURS: [], PEER: []}, 0.0
    for side in context.turns():
        run = context.load.run(
            servers[side], "publish", subscribers=subscribers, connections=connections, pipeline=pipeline,
            seconds=context.seconds,
        )
        rates[side].append(run["messages_per_second"])
        cpus[side].append(run["server_cpu_us_per_message"])
        busiest = max(busiest, run["client_busy"])
        table.samples.append({"side": side, **run})
    rate = {side: statistics.median(values) for side, values in rates.items()}
    cpu = {side: statistics.median(values) for side, values in cpus.items()}
    share = ratio(rate[OURS], rate[PEER])
    name = f"{subscribers} subscribers, {connections} publishers, pipeline {pipeline}"
    table.add(
        name, f"{rate[OURS] / 1000:.0f}", f"{rate[PEER] / 1000:.0f}", share,
        cpu[OURS], cpu[PEER], ratio(cpu[OURS], cpu[PEER]), *judge((TARGET, share)),
    )
    table.notes.append(f"{name}: the load generator was busy {busiest:.0%} of the time.")
