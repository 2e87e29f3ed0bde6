"""How long an element takes from a push to a client that is blocked in BLPOP."""

import statistics

from .context import OURS, PEER
from .latency import PERCENTILES, ROUNDS_FACTOR
from .table import Table, judge, ratio

# One who waits, on another worker than the pusher; and as many as wait for a usual queue of work.
WAITING = (1, 50)


def blocked_clients(context):
    columns = ["Clients waiting", "ours, µs", "peer, µs", "ratio", "target", "result"]
    table = Table("BLPOP, from the push to the arrival at the client", columns)
    with context.both() as servers:
        for waiting in WAITING:
            runs = {OURS: [], PEER: []}
            for side in context.turns(context.rounds * ROUNDS_FACTOR):
                run = context.load.run(servers[side], "handoff", connections=waiting, seconds=context.seconds)
                runs[side].append(run)
                table.samples.append({"side": side, **run})
            for name, field, target in PERCENTILES:
                ours, peer = (statistics.median(run[field] for run in runs[side]) for side in (OURS, PEER))
                share = ratio(ours, peer)
                table.add(f"{waiting}: {name}", f"{ours:.1f}", f"{peer:.1f}", share, *judge((target, share)))
    return table
