"""Half a million keys that expire within one second among a million that do not, and nobody touches them.

Measured: how long after the last deadline the last key is gone (DBSIZE) and its memory free (used_memory), and what
a steady stream of GETs on the long-lived keys feels during that second, against the same stream before.
"""

import statistics
import time

from .context import OURS, PEER
from .table import Table, at_most, judge, ratio

HOUR_MS = 3_600_000
SECOND_MS = 1_000
KEYS, SHORT_KEYS = 1_000_000, 500_000
QUICK_KEYS, QUICK_SHORT_KEYS = 100_000, 50_000
# Requests per second of the stream: far below what a server can do, but enough to meet every stall.
STREAM = {"latency": True, "rate": 5000, "connections": 8}
IDLE_SECONDS = 3
# Time from before the burst is loaded until its first deadline, beyond what loading took the first time.
SPARE_MS = 2_500
# Memory counts as back when no more than this share of what the burst took is left.
LEFT_SHARE = 0.02
# Polling starts this long before the last deadline, so that the stream is measured undisturbed.
POLL_LEAD_MS = 20
POLL_SECONDS = 0.002
# A server that needs longer is not waited for.
GIVE_UP_MS = 20_000
TMP_SET = "SET tmp:__seq__ __value__ PXAT __spread__"


def burst(context):
    runs = {OURS: [], PEER: []}
    for side in context.turns():
        runs[side].append(_run(context, side))
    short = QUICK_SHORT_KEYS if context.quick else SHORT_KEYS
    table = Table(f"{short} deadlines within one second", ["Measure", "ours", "peer", "ratio", "target", "result"])
    table.samples = [{"side": side, **run} for side in runs for run in runs[side]]
    middle = {
        side: {name: statistics.median(run[name] for run in runs[side]) for name in runs[side][0]} for side in runs
    }

    def row(name, field, target):
        ours, peer = middle[OURS][field], middle[PEER][field]
        shown = [f"> {GIVE_UP_MS / 1000:g}" if _given_up(field, value) else f"{value:.2f}" for value in (ours, peer)]
        table.add(name, *shown, ratio(ours, peer), *judge((target, ours)))

    row("keys gone after the last deadline, s", "gone_s", at_most(0.1, "ours"))
    row("memory back after the last deadline, s", "memory_s", at_most(0.1, "ours"))
    row("p99 of GET before, µs", "idle_p99_us", None)
    row("p99 of GET meanwhile, µs", "busy_p99_us", None)
    row("p99 meanwhile / before", "p99_ratio", at_most(2.0, "ours"))
    return table


def _given_up(field, value):
    return field in ("gone_s", "memory_s") and value >= GIVE_UP_MS / 1000


def _run(context, side):
    long, short = (QUICK_KEYS, QUICK_SHORT_KEYS) if context.quick else (KEYS, SHORT_KEYS)
    load = context.load
    with context.start(side) as server:
        far = {"spread_from": _now_ms() + 2 * HOUR_MS, "spread_ms": 8 * HOUR_MS}
        load.fill(server, long, "custom", template="SET key:__seq__ __value__ PXAT __spread__", **far)
        # Load and delete the burst once by hand: the tables it makes grow are no memory of its keys.
        took = load.fill(server, short, "custom", template=TMP_SET, **far)["preload_seconds"]
        load.fill(server, short, "custom", template="DEL tmp:__seq__")
        server.settled_rss()
        baseline = server.info("memory", "used_memory")
        idle = load.run(server, "get", keys=long, seconds=IDLE_SECONDS, **STREAM)

        first = _now_ms() + int(2000 * took) + SPARE_MS
        last = first + SECOND_MS
        load.fill(server, short, "custom", template=TMP_SET, spread_from=first, spread_ms=SECOND_MS)
        if server.call("DBSIZE") != long + short or _now_ms() > first:
            raise RuntimeError("loading the short-lived keys took too long")
        limit = baseline + LEFT_SHARE * (server.info("memory", "used_memory") - baseline)

        stream = load.start(server, "get", keys=long, seconds=SECOND_MS / 1000, warmup=0, start_at=first, **STREAM)
        try:
            time.sleep((last - POLL_LEAD_MS - _now_ms()) / 1000)
            gone = _poll(last, lambda: server.call("DBSIZE") <= long)
            memory = _poll(last, lambda: server.info("memory", "used_memory") <= limit)
        except BaseException:
            stream.kill()
            raise
        busy = load.finish(stream)
        return {
            "gone_s": gone,
            "memory_s": memory,
            "idle_p99_us": idle["p99_us"],
            "busy_p99_us": busy["p99_us"],
            "p99_ratio": ratio(busy["p99_us"], idle["p99_us"]),
        }


def _poll(last, done):
    """Seconds from the last deadline until `done`, or until it is given up."""
    while not done() and _now_ms() < last + GIVE_UP_MS:
        time.sleep(POLL_SECONDS)
    return max(_now_ms() - last, 0) / 1000


def _now_ms():
    return int(time.time() * 1000)
