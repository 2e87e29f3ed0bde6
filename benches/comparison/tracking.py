"""Client-side caching: connections that read and change the same 100,000 keys and are told of each other's changes."""

import statistics

from .context import OURS, PEER
from .table import Table, at_least, judge, ratio

KEYS = 100_000
# Half of the requests read and so are tracked, half of them change something that others may have read.
TEMPLATE = "GET key:__rand__ ; SET key:__rand__ __value__"
PIPELINES = (1, 16)
TARGET = at_least(1.2)
COLUMNS = [
    "Pipeline", "ours, thousand/s", "peer, thousand/s", "ratio", "ours, invalidations/s", "peer, invalidations/s",
    "ours, CPU µs each", "peer, CPU µs each", "ratio", "target", "result",
]


def invalidations(context):
    table = Table("GET and SET of 100,000 tracked keys, 50 connections", COLUMNS)
    with context.both() as servers:
        for server in servers.values():
            context.load.fill(server, KEYS)
        for pipeline in PIPELINES:
            runs = {OURS: [], PEER: []}
            for side in context.turns():
                run = context.load.run(
                    servers[side], "custom", template=TEMPLATE, tracking=True, keys=KEYS, pipeline=pipeline,
                    seconds=context.seconds,
                )
                runs[side].append(run)
                table.samples.append({"side": side, **run})

            def median(side, field, runs=runs):
                return statistics.median(run[field] for run in runs[side])

            rate = {side: median(side, "rps") for side in runs}
            told = {side: median(side, "pushes_per_second") for side in runs}
            cpu = {side: median(side, "server_cpu_us_per_request") for side in runs}
            share = ratio(rate[OURS], rate[PEER])
            table.add(
                str(pipeline), f"{rate[OURS] / 1000:.0f}", f"{rate[PEER] / 1000:.0f}", share,
                f"{told[OURS]:.0f}", f"{told[PEER]:.0f}", cpu[OURS], cpu[PEER], ratio(cpu[OURS], cpu[PEER]),
                *judge((TARGET, share)),
            )
    return table
