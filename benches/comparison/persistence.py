"""Snapshots of five million small keys: saving one while 50,000 writes a second go on, and loading it.

Measured while BGSAVE runs: the longest and the 99.9th percentile of the writes' times, how long it takes, and how much
more memory is used at its height. For a server that forks, both processes count, each page that they share once (Pss).
Then each server is started on a snapshot that the peer has written, and the time until it answers is taken.
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

from .context import OURS, PEER, SIDES
from .table import Table, at_most, judge, ratio

KEYS, QUICK_KEYS = 5_000_000, 200_000
# Writes of random keys, a steady stream.
STREAM = {"latency": True, "rate": 50_000, "connections": 16}
LEAD_SECONDS = 1.0
TAIL_SECONDS = 1.0
# How often memory and INFO are looked at.
POLL_SECONDS = 0.05
# Both have to be done by then.
GIVE_UP_SECONDS = 120
SNAPSHOT = "dump.rdb"


def snapshot(context):
    keys = QUICK_KEYS if context.quick else KEYS
    runs = {OURS: [], PEER: []}
    for side in context.turns(rounds(context)):
        runs[side].append(_save(context, side, keys))
    table = Table(
        f"BGSAVE of {keys:,} keys under {STREAM['rate']:,} SET a second",
        ["Measure", "ours", "peer", "ratio", "target", "result"],
    )
    table.samples = [{"side": side, **run} for side in runs for run in runs[side]]
    middle = _medians(runs)

    def row(name, field, target, of_ratio=False, digits=2):
        ours, peer = middle[OURS][field], middle[PEER][field]
        value = ratio(ours, peer) if of_ratio else ours
        table.add(name, f"{ours:.{digits}f}", f"{peer:.{digits}f}", ratio(ours, peer), *judge((target, value)))

    row("longest write before, ms", "idle_max_ms", None)
    row("longest write meanwhile, ms", "max_ms", at_most(10, "ours"))
    row("99.9th percentile meanwhile, ms", "p999_ms", None)
    row("seconds", "seconds", at_most(1.0), of_ratio=True)
    row("more memory at its height, %", "more_percent", at_most(10, "ours"), digits=1)
    row("size of the file, MB", "file_mb", None, digits=1)
    return table


def loading(context):
    keys = QUICK_KEYS if context.quick else KEYS
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        file = Path(directory) / SNAPSHOT
        with context.start(PEER) as server:
            context.load.fill(server, keys)
            server.call("SAVE")
            shutil.copy(Path(server.directory.name) / SNAPSHOT, file)
        runs = {OURS: [], PEER: []}
        for side in context.turns(rounds(context)):
            runs[side].append({"seconds": _load(context, side, file, keys)})
    table = Table(f"Loading {keys:,} keys", ["Measure", "ours", "peer", "ratio", "target", "result"])
    table.samples = [{"side": side, **run} for side in runs for run in runs[side]]
    middle = _medians(runs)
    ours, peer = middle[OURS]["seconds"], middle[PEER]["seconds"]
    share = ratio(ours, peer)
    table.add("seconds until it answers", ours, peer, share, *judge((at_most(0.6), share)))
    return table


def rounds(context):
    # Half as many as of other sections: each takes long.
    return max(1, context.rounds // 2)


def _medians(runs):
    return {side: {name: statistics.median(run[name] for run in runs[side]) for name in runs[side][0]} for side in SIDES}


def _save(context, side, keys):
    with context.start(side) as server:
        context.load.fill(server, keys)
        before = server.settled_rss()
        idle = context.load.run(server, "set", keys=keys, seconds=2, warmup=0, **STREAM)
        server.settled_rss()
        saved = server.info("persistence", "rdb_last_save_time")
        time.sleep(1.1)
        stream = context.load.start(server, "set", keys=keys, seconds=_stream_seconds(keys), warmup=0, **STREAM)
        try:
            time.sleep(LEAD_SECONDS)
            height = _Height(server.pid)
            started = time.monotonic()
            with height:
                server.call("BGSAVE")
                while server.info("persistence", "rdb_bgsave_in_progress"):
                    if time.monotonic() > started + GIVE_UP_SECONDS:
                        raise RuntimeError(f"{side}: the snapshot takes too long")
                    time.sleep(POLL_SECONDS)
            took = time.monotonic() - started
        except BaseException:
            stream.kill()
            raise
        busy = context.load.finish(stream)
        if server.info("persistence", "rdb_last_save_time") == saved:
            raise RuntimeError(f"{side}: the snapshot failed")
        file_bytes = (Path(server.directory.name) / SNAPSHOT).stat().st_size
        return {
            "idle_max_ms": idle["max_us"] / 1000,
            "max_ms": busy["max_us"] / 1000,
            "p999_ms": busy["p999_us"] / 1000,
            "seconds": took,
            "more_percent": 100 * max(height.bytes - height.before, 0) / before,
            "file_mb": file_bytes / 1e6,
        }


def _stream_seconds(keys):
    """Long enough for the slower of the two, by what a snapshot of so many keys may take."""
    return LEAD_SECONDS + TAIL_SECONDS + max(1.0, keys / 1_000_000 * 1.2)


def _load(context, side, file, keys):
    started = time.monotonic()
    with _Started(context, side, file) as server:
        while True:
            try:
                if server.call("DBSIZE") == keys:
                    return time.monotonic() - started
            except RuntimeError as error:
                if "LOADING" not in str(error):
                    raise
            if time.monotonic() > started + GIVE_UP_SECONDS:
                raise RuntimeError(f"{side}: loading takes too long")
            time.sleep(0.01)


class _Started:
    """A server that is started in a directory which has the snapshot."""

    def __init__(self, context, side, file):
        # Behind the directory of its own, which it does not get: the last one counts.
        self.server = context.start(side, "--dir", str(file.parent))
        self.server.expects_loading = True

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *error):
        self.server.__exit__(*error)


class _Height:
    """The most memory that a process and its children use while this is entered; pages they share count once."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self.bytes = _used(pid)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _watch(self):
        while not self.done.wait(POLL_SECONDS):
            self.bytes = max(self.bytes, _used(self.pid))


def _used(pid):
    children = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            children += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:
            # The thread has ended.
            continue
    if not children:
        # Reading what pages are shared would hold the process up.
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
    total = 0
    for process in [pid, *children]:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
