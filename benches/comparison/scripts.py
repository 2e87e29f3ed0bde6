"""Scripts by EVALSHA: limiters that declare their key, a script that does not, and what plain requests get beside it.

Every row of the first three starts with both servers emptied. In the last one two loads run at once on each server:
what counts is what is left of the rate that the GETs have alone.
"""

import statistics
from dataclasses import dataclass

from .context import OURS, PEER
from .table import Table, at_least, at_most, judge, ratio
from .throughput import BUSY_SHARE, COLUMNS

PIPELINE = 16
KEYS = 100_000
GET_KEYS = 1_000_000
# The share of connections that run scripts beside as many that read.
BESIDE_CONNECTIONS = 25

# At most so many in a minute: the counter expires with the minute.
LIMITER = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return n
"""

# At most so many in any stretch of this length, microseconds.
SLIDING_WINDOW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[1])
local n = redis.call('ZCARD', KEYS[1])
if n >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now, now .. ':' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], 60)
return 1
"""

# The first limiter, with a key that it makes up.
UNDECLARED = """
local key = 'limit:' .. ARGV[1]
local n = redis.call('INCR', key)
if n == 1 then redis.call('EXPIRE', key, ARGV[2]) end
return n
"""


@dataclass(frozen=True)
class Row:
    name: str
    script: str
    # Behind `EVALSHA` and the SHA1.
    arguments: str
    rate: object = None
    cpu: object = None


DECLARED = {"rate": at_least(1.6), "cpu": at_most(0.9, "CPU")}
UNDECLARED_ROW = Row("a limiter that does not declare its key", UNDECLARED, "0 __rand__ 60", rate=at_least(1.0))
ROWS = (
    Row("a limiter of one key, many keys", LIMITER, "1 limit:__rand__ 60", **DECLARED),
    Row("sliding windows, many keys", SLIDING_WINDOW, "1 window:__rand__ 1000000 10 __rand__", **DECLARED),
    UNDECLARED_ROW,
)


def limiters(context):
    table = Table(f"EVALSHA, pipeline {PIPELINE}, 50 connections", COLUMNS)
    with context.both() as servers:
        for row in ROWS:
            for server in servers.values():
                server.call("FLUSHALL")
            rates, cpus, busiest = {OURS: [], PEER: []}, {OURS: [], PEER: []}, 0.0
            for side in context.turns():
                run = context.load.run(servers[side], "custom", **_options(context, servers[side], row))
                rates[side].append(run["rps"])
                cpus[side].append(run["server_cpu_us_per_request"])
                busiest = max(busiest, run["client_busy"])
                table.samples.append({"side": side, "row": row.name, **run})
            rate, cpu = ({side: statistics.median(all[side]) for side in all} for all in (rates, cpus))
            rate_ratio, cpu_ratio = ratio(rate[OURS], rate[PEER]), ratio(cpu[OURS], cpu[PEER])
            verdict = judge((row.rate, rate_ratio), (row.cpu, cpu_ratio))
            thousands = [f"{rate[side] / 1000:.0f}" for side in (OURS, PEER)]
            table.add(row.name, *thousands, rate_ratio, cpu[OURS], cpu[PEER], cpu_ratio, *verdict)
            if busiest > BUSY_SHARE:
                table.notes.append(f"{row.name}: the load generator was busy {busiest:.0%} of the time.")
    return table


def beside_gets(context):
    columns = ["GET", "ours, thousand/s", "peer, thousand/s", "ratio", "target", "result"]
    heading = f"GET beside a script of undeclared keys, pipeline {PIPELINE}, {BESIDE_CONNECTIONS} connections each"
    table = Table(heading, columns)
    runs = {side: {"alone": [], "beside": [], "scripts": []} for side in (OURS, PEER)}
    with context.both() as servers:
        for server in servers.values():
            context.load.fill(server, GET_KEYS)
        for side in context.turns():
            server, rates = servers[side], runs[side]
            gets = {"keys": GET_KEYS, "pipeline": PIPELINE, "connections": BESIDE_CONNECTIONS, "seconds": context.seconds}
            rates["alone"].append(context.load.run(server, "get", **gets)["rps"])
            options = _options(context, server, UNDECLARED_ROW)
            scripts = context.load.start(server, "custom", connections=BESIDE_CONNECTIONS, **options)
            try:
                rates["beside"].append(context.load.run(server, "get", **gets)["rps"])
            except BaseException:
                scripts.kill()
                raise
            rates["scripts"].append(context.load.finish(scripts)["rps"])
            table.samples.append({"side": side, **{name: values[-1] for name, values in rates.items()}})
    middle = {side: {name: statistics.median(values) for name, values in runs[side].items()} for side in runs}
    names = {"alone": "alone", "beside": "beside scripts", "scripts": "(the scripts meanwhile)"}
    for name, shown in names.items():
        ours, peer = middle[OURS][name], middle[PEER][name]
        table.add(shown, f"{ours / 1000:.0f}", f"{peer / 1000:.0f}", ratio(ours, peer), "", "")
    left = {side: ratio(middle[side]["beside"], middle[side]["alone"]) for side in middle}
    verdict = judge((at_least(0.5, "ours"), left[OURS]))
    table.add("beside / alone", f"{left[OURS]:.2f}", f"{left[PEER]:.2f}", ratio(left[OURS], left[PEER]), *verdict)
    return table


def _options(context, server, row):
    sha1 = server.call("SCRIPT", "LOAD", row.script)
    template = f"EVALSHA {sha1} {row.arguments}"
    return {"template": template, "pipeline": PIPELINE, "seconds": context.seconds, "keys": KEYS}
