"""Resident bytes for each key: the growth of RSS from an empty, fresh server, divided by the keys.

The mean over three amounts of keys, since how full a hash table is, and so what a key costs, depends on the amount.
"""

import statistics
import time

from .context import OURS, PEER
from .table import Table, at_most, judge, ratio

AMOUNTS = (700_000, 1_000_000, 1_400_000)
QUICK_AMOUNTS = (200_000,)
HOUR_MS = 3_600_000
SHORT = {"template": "SET key:__seq__ __value__", "value_size": 16}
# Name, options of the filling requests, target of the ratio. Keys have 16 bytes.
ROWS = (
    ("16-byte value", SHORT, at_most(0.88)),
    ("16-byte value, TTL", {**SHORT, "template": "SET key:__seq__ __value__ PXAT __spread__"}, at_most(0.75)),
    ("100-byte value", {**SHORT, "value_size": 100}, at_most(0.90)),
    ("integer value", {"template": "SET key:__seq__ 1__seq__"}, at_most(0.90)),
    ("1 kB value", {**SHORT, "value_size": 1000}, at_most(1.0)),
)


def per_key(context):
    amounts = QUICK_AMOUNTS if context.quick else AMOUNTS
    columns = ["16-byte key with", "ours, bytes", "peer, bytes", "ratio", "target", "result"]
    millions = ", ".join(f"{amount / 1e6:g}" for amount in amounts)
    table = Table(f"Resident bytes per key, mean of {millions} M keys", columns)
    for name, options, target in ROWS:
        bytes_each = {OURS: [], PEER: []}
        for amount in amounts:
            for side in context.turns(1):
                each = _bytes_per_key(context, side, amount, options)
                bytes_each[side].append(each)
                table.samples.append({"side": side, "row": name, "keys": amount, "bytes": each})
        ours, peer = (statistics.mean(bytes_each[side]) for side in (OURS, PEER))
        share = ratio(ours, peer)
        table.add(name, f"{ours:.1f}", f"{peer:.1f}", share, *judge((target, share)))
    return table


def _bytes_per_key(context, side, amount, options):
    # Deadlines lie hours ahead and apart, so that none comes and a timing wheel cannot file them all in one slot.
    spread = {"spread_from": int(time.time() * 1000) + HOUR_MS, "spread_ms": 8 * HOUR_MS}
    with context.start(side) as server:
        before = server.settled_rss()
        context.load.fill(server, amount, "custom", **options, **spread)
        found = server.call("DBSIZE")
        if found != amount:
            raise RuntimeError(f"{side}: {found} keys instead of {amount}")
        return (server.settled_rss(after_load=True) - before) / amount
