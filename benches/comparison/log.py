"""The append-only file: SET with every write logged, forced to disk once a second or before each reply.

Beside the second table stands how often the disk can be forced at all, one small write after the other: that is the
limit for one client alone; what is above it comes from forcing the writes of several clients at once.
"""

import os
import statistics
import tempfile
import time

from .context import OURS, PEER, SIDES
from .table import Table, at_least, judge, ratio

KEYS = 1_000_000
COLUMNS = ["Workload", "ours, thousand/s", "peer, thousand/s", "ratio", "ours, CPU µs each", "peer, CPU µs each", "target", "result"]
PROBE_SECONDS = 1.0


def every_second(context):
    """SET in pipelines of 16 on 50 connections."""
    return _run(context, "everysec", ((16, 50),), at_least(1.4))


def always(context):
    """SET one at a time, on one connection and on 50."""
    table = _run(context, "always", ((1, 1), (1, 50)), at_least(1.5))
    table.notes.append(f"The disk can be forced {_syncs_per_second():.0f} times a second.")
    return table


def _run(context, policy, loads, target):
    table = Table(f"SET, every write logged, appendfsync {policy}", COLUMNS)
    for pipeline, connections in loads:
        rates, cpus = {OURS: [], PEER: []}, {OURS: [], PEER: []}
        for side in context.turns():
            # A fresh server each time: a log that is rewritten meanwhile would be another workload.
            directives = ("--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-percentage", "0")
            with context.start(side, *directives) as server:
                run = context.load.run(
                    server, "set", pipeline=pipeline, connections=connections, seconds=context.seconds, keys=KEYS
                )
            rates[side].append(run["rps"])
            cpus[side].append(run["server_cpu_us_per_request"])
            table.samples.append({"side": side, "pipeline": pipeline, "connections": connections, **run})
        rate = {side: statistics.median(rates[side]) for side in SIDES}
        cpu = {side: statistics.median(cpus[side]) for side in SIDES}
        thousands = [f"{rate[side] / 1000:.1f}" for side in SIDES]
        times = ratio(rate[OURS], rate[PEER])
        # What one connection alone gets is the disk's affair.
        verdict = judge((target if connections > 1 else None, times))
        table.add(f"pipeline {pipeline}, {connections} connections", *thousands, times, cpu[OURS], cpu[PEER], *verdict)
    return table


def _syncs_per_second():
    """How often a small write at the end of a file can be forced to disk, one after the other."""
    with tempfile.TemporaryFile(prefix="compare-") as file:
        started, syncs = time.monotonic(), 0
        while time.monotonic() - started < PROBE_SECONDS:
            os.write(file.fileno(), b"x" * 64)
            os.fdatasync(file.fileno())
            syncs += 1
        return syncs / (time.monotonic() - started)
