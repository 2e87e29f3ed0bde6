"""Resident bytes for each idle connection that has sent one command and been answered."""

import resource

from .context import OURS, PEER
from .server import Client
from .table import Table, at_most, judge, ratio

CONNECTIONS = 10_000
QUICK_CONNECTIONS = 1_000
# Files that this process and a server need besides the connections.
SPARE_FILES = 200


def idle(context):
    wanted = QUICK_CONNECTIONS if context.quick else CONNECTIONS
    amount = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)
    columns = ["", "ours, bytes", "peer, bytes", "ratio", "target", "result"]
    table = Table(f"Resident bytes per idle connection, {amount} of them", columns)
    if amount < wanted:
        table.notes.append(f"The limit of open files allows no more than {amount} connections here.")
    each = {}
    for side in (OURS, PEER):
        each[side] = _bytes_per_connection(context, side, amount)
        table.samples.append({"side": side, "connections": amount, "bytes": each[side]})
    share = ratio(each[OURS], each[PEER])
    table.add("idle connection", f"{each[OURS]:.0f}", f"{each[PEER]:.0f}", share, *judge((at_most(1.0), share)))
    return table


def _bytes_per_connection(context, side, amount):
    clients = []
    with context.start(side, "--maxclients", amount + SPARE_FILES // 2) as server:
        before = server.settled_rss()
        try:
            for _ in range(amount):
                clients.append(Client(server.port))
                clients[-1].call("PING")
            return (server.settled_rss(after_load=True) - before) / amount
        finally:
            for client in clients:
                client.close()
