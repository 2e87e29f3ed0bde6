"""Requests per second and CPU time of the commands of each data type, and bytes per element.

Every row names what is there before (`fill`: templates with how often each is sent, their numbers running from 0) and
the request that is measured. A request that uses up what was filled has it filled anew before every round.
"""

import statistics
from dataclasses import dataclass

from .context import OURS, PEER
from .table import Table, at_least, at_most, geometric_mean, judge, ratio
from .throughput import COLUMNS

KEYS = 10_000
MANY = 1_000_000
FIELDS = " ".join(f"field:{n:02} __value__" for n in range(50))


@dataclass(frozen=True)
class Row:
    name: str
    request: str
    fill: tuple = ()
    # Numbers of the request's random marks are drawn from 0 to this, less one.
    keys: int = KEYS
    uses_up: bool = False
    rate: object = None
    cpu: object = None


def _each(template, amount=100 * KEYS):
    return ((template, amount),)


# Lists, sets and sorted sets are filled by random keys, so they are of about, not exactly, equal size.
WRITES = (
    Row("HSET", "HSET h:__rand__ field __value__", _each("HSET h:__seq__ field __value__ other __value__", KEYS)),
    Row("HGET", "HGET h:__rand__ field", _each("HSET h:__seq__ field __value__ other __value__", KEYS)),
    Row("LPUSH", "LPUSH l:__rand__ __value__", uses_up=True),
    Row("RPOP", "RPOP l:__rand__", _each("LPUSH l:__rand__ __value__", 800 * KEYS), uses_up=True),
    Row("SADD", "SADD s:__rand__ m:__rand__", uses_up=True),
    Row("SPOP", "SPOP s:__rand__", _each("SADD s:__rand__ m:__seq__", 800 * KEYS), uses_up=True),
    Row("SISMEMBER", "SISMEMBER s:__rand__ m:__rand__", _each("SADD s:__rand__ m:__rand__")),
    Row("ZADD", "ZADD z:__rand__ __rand__ m:__rand__", _each("ZADD z:__rand__ __seq__ m:__rand__")),
    Row("ZPOPMIN", "ZPOPMIN z:__rand__", _each("ZADD z:__rand__ __seq__ m:__seq__", 800 * KEYS), uses_up=True),
    Row("ZSCORE", "ZSCORE z:__rand__ m:__rand__", _each("ZADD z:__rand__ __seq__ m:__rand__")),
    Row("ZRANK", "ZRANK z:__rand__ m:__rand__", _each("ZADD z:__rand__ __seq__ m:__rand__")),
    Row("XADD", "XADD x:__rand__ * field __value__", uses_up=True),
)
RANGES = (
    Row("LRANGE 100", "LRANGE l:__rand__ 0 99", _each("LPUSH l:__rand__ __value__", 600 * 1000), 1000),
    Row("LRANGE 600", "LRANGE l:__rand__ 0 599", _each("LPUSH l:__rand__ __value__", 700 * 1000), 1000),
    Row("ZRANGE 100", "ZRANGE z:__rand__ 0 99", _each("ZADD z:__rand__ __seq__ m:__seq__", 300 * 1000), 1000),
    Row("HGETALL 50", "HGETALL h:__rand__", _each(f"HSET h:__seq__ {FIELDS}", KEYS)),
    Row("SINTER 10,000", "SINTER a b", (("SADD a m:__seq__", KEYS), ("SADD b m:__rand__", 2 * KEYS))),
)
ONE_BIG = (
    Row("ZADD", "ZADD z __rand__ m:__rand__", _each("ZADD z __rand__ m:__seq__", MANY), MANY),
    Row("ZRANK", "ZRANK z m:__rand__", _each("ZADD z __rand__ m:__seq__", MANY), MANY),
    Row("ZRANGE 10", "ZRANGE z __rand__ +inf BYSCORE LIMIT 0 10", _each("ZADD z __rand__ m:__seq__", MANY), MANY),
)
LAST_BIT = 100 * 1024 * 1024 * 8 - 1
BITS = (
    Row("BITCOUNT", "BITCOUNT a", ((f"SETBIT a {LAST_BIT} 1", 1),)),
    Row("BITOP AND", "BITOP AND c a b", ((f"SETBIT a {LAST_BIT} 1", 1), (f"SETBIT b {LAST_BIT} 1", 1))),
)


def requests(context):
    targets = {"rate": at_least(1.2), "mean_rate": at_least(1.8), "mean_cpu": at_most(0.6, "CPU")}
    return _table(context, "Types, pipeline 64, 10,000 keys", 64, WRITES, **targets)


def ranges(context):
    return _table(context, "Whole collections, pipeline 16", 16, RANGES, rate=at_least(1.3))


def one_big(context):
    return _table(context, "One sorted set of a million, pipeline 16", 16, ONE_BIG, cpu=at_most(0.5, "CPU"))


def bits(context):
    return _table(context, "Bits of 100 MB, pipeline 1", 1, BITS, rate=at_least(1.0))


def _table(context, heading, pipeline, rows, rate=None, cpu=None, mean_rate=None, mean_cpu=None):
    table = Table(f"{heading}, 50 connections", COLUMNS)
    rates, cpus = [], []
    with context.both() as servers:
        for row in rows:
            rps, micros = _row(context, servers, pipeline, row, table.samples)
            rate_ratio, cpu_ratio = ratio(rps[OURS], rps[PEER]), ratio(micros[OURS], micros[PEER])
            rates.append(rate_ratio)
            cpus.append(cpu_ratio)
            thousands = [f"{rps[side] / 1000:.1f}" for side in (OURS, PEER)]
            verdict = judge((rate, rate_ratio), (cpu, cpu_ratio))
            table.add(row.name, *thousands, rate_ratio, micros[OURS], micros[PEER], cpu_ratio, *verdict)
    verdict = judge((mean_rate, geometric_mean(rates)), (mean_cpu, geometric_mean(cpus)))
    table.add("geometric mean", "", "", geometric_mean(rates), "", "", geometric_mean(cpus), *verdict)
    return table


def _row(context, servers, pipeline, row, samples):
    """Medians by side of requests per second and CPU microseconds."""
    for server in servers.values():
        _fill(context, server, row)
    rates, cpus = {OURS: [], PEER: []}, {OURS: [], PEER: []}
    for turn, side in enumerate(context.turns()):
        if row.uses_up and turn >= len(servers):
            _fill(context, servers[side], row)
        options = {"template": row.request, "pipeline": pipeline, "seconds": context.seconds, "keys": row.keys}
        run = context.load.run(servers[side], "custom", **options)
        rates[side].append(run["rps"])
        cpus[side].append(run["server_cpu_us_per_request"])
        samples.append({"side": side, "row": row.name, "rps": rates[side][-1], "cpu_us": cpus[side][-1]})
    return [{side: statistics.median(values[side]) for side in values} for values in (rates, cpus)]


def _fill(context, server, row):
    server.call("FLUSHALL")
    for template, amount in row.fill:
        context.load.fill(server, amount, "custom", template=template, keys=row.keys)


SMALL = 200_000


def _many(template, prefixes):
    """The template once for each prefix, `{n}` being its number from 1 on, and `{name}` the prefix and 12 digits."""
    return " ".join(template.format(n=n, name=f"{prefix}__seq__") for n, prefix in enumerate(prefixes, 1))


# Names and members of 17 bytes; and, without a target, of 13 to 21: those of one length take less.
ALIKE = ("mem-1", "mem-2", "mem-3", "mem-4", "mem-5")
MIXED = ("m", "member", "member-no", "mem-4", "memb-5")
BYTES = (
    ("hash of 17-byte fields, 16-byte values", "HSET h field__seq__ __value__", MANY, at_most(0.80)),
    ("sorted set of 17-byte members", "ZADD z __seq__ membr__seq__", MANY, at_most(0.65)),
    ("set of 17-byte members", "SADD s membr__seq__", MANY, at_most(0.90)),
    ("list of 15-byte items", "RPUSH l i:___seq__", MANY, at_most(1.0)),
    ("stream of two small fields", "XADD x * a __seq__ b __seq__", MANY, at_most(1.0)),
    ("hashes of five fields, each", f"HSET h:__seq__ {_many('{name} __value__', ALIKE)}", SMALL, at_most(0.85)),
    ("sorted sets of three members, each", f"ZADD z:__seq__ {_many('{n} {name}', ALIKE[:3])}", SMALL, at_most(0.85)),
    ("sets of three members, each", f"SADD s:__seq__ {_many('{name}', ALIKE[:3])}", SMALL, at_most(0.85)),
    ("hashes of five fields of 13 to 21 bytes", f"HSET h:__seq__ {_many('{name} __value__', MIXED)}", SMALL, None),
    ("sorted sets of three members of 13 to 21", f"ZADD z:__seq__ {_many('{n} {name}', MIXED[:3])}", SMALL, None),
    ("sets of three members of 13 to 21 bytes", f"SADD s:__seq__ {_many('{name}', MIXED[:3])}", SMALL, None),
)


def memory(context):
    table = Table("Resident bytes per element", ["What", "ours, bytes", "peer, bytes", "ratio", "target", "result"])
    for name, template, amount, target in BYTES:
        amount = amount // 10 if context.quick else amount
        each = {}
        for side in (OURS, PEER):
            with context.start(side) as server:
                before = server.settled_rss()
                context.load.fill(server, amount, "custom", template=template, pipeline=16)
                each[side] = (server.settled_rss(after_load=True) - before) / amount
            table.samples.append({"side": side, "what": name, "bytes": each[side]})
        share = ratio(each[OURS], each[PEER])
        table.add(name, f"{each[OURS]:.1f}", f"{each[PEER]:.1f}", share, *judge((target, share)))
    return table
