"""How long one request takes on one connection without pipelining, a million keys in the server."""

import statistics

from .context import OURS, PEER
from .table import Table, at_most, judge, ratio
from .throughput import KEYS

# The p99 of one and the same server differs by some 5% between the medians of ten rounds, so this section takes more.
ROUNDS_FACTOR = 3
PERCENTILES = (("p50", "p50_us", at_most(1.0)), ("p99", "p99_us", at_most(1.0)), ("p99.9", "p999_us", None))


def one_connection(context):
    columns = ["Request", "ours, µs", "peer, µs", "ratio", "target", "result"]
    table = Table("Latency, one connection, no pipeline", columns)
    with context.both() as servers:
        for server in servers.values():
            context.load.fill(server, KEYS)
        for command in ("get", "set"):
            runs = {OURS: [], PEER: []}
            for side in context.turns(context.rounds * ROUNDS_FACTOR):
                run = context.load.run(servers[side], command, latency=True, seconds=context.seconds, keys=KEYS)
                runs[side].append(run)
                table.samples.append({"side": side, **run})
            for name, field, target in PERCENTILES:
                ours, peer = (statistics.median(run[field] for run in runs[side]) for side in (OURS, PEER))
                share = ratio(ours, peer)
                table.add(f"{command.upper()} {name}", f"{ours:.1f}", f"{peer:.1f}", share, *judge((target, share)))
    return table
