"""The load generator (benches/load) and redis-benchmark, as functions."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# More requests than redis-benchmark gets done while it is watched.
ENDLESS_REQUESTS = 1_000_000_000
WARMUP_SECONDS = 0.5


class Load:
    def __init__(self, path):
        self.path = path

    @classmethod
    def find(cls, path):
        """The given generator, or the one built from this repository."""
        if path:
            return cls(path.resolve())
        print("building the load generator ...", file=sys.stderr)
        command = ["cargo", "bench", "--no-run", "--bench", "load", "--message-format", "json-render-diagnostics"]
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        for line in built.stdout.splitlines():
            message = json.loads(line)
            if message.get("executable") and message["target"]["name"] == "load":
                return cls(Path(message["executable"]))
        raise RuntimeError("the load generator could not be built")

    def start(self, server, command, **options):
        """Starts a run in the background; `finish` returns its report."""
        words = [str(self.path), "--json", "--port", str(server.port), "--pid", str(server.pid), "--command", command]
        for name, value in options.items():
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def finish(process):
        try:
            output, errors = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise RuntimeError(errors.strip())
        report = json.loads(output)
        if report.get("errors") or report.get("preload_errors"):
            raise RuntimeError(f"the server answered {process.args} with errors: {report}")
        return report

    def run(self, server, command, **options):
        return self.finish(self.start(server, command, **options))

    def fill(self, server, amount, command="set", **options):
        """Fills the keys that a command reads, numbered from 0; with a template, those that it names."""
        return self.run(server, command, preload=amount, seconds=0, **options)


def redis_benchmark(server, test, seconds, keys):
    """Pipeline 1 by the tool everybody knows; returns requests per second and CPU microseconds of each.

    With threads, redis-benchmark looks only every 250 ms whether it is done, and counts the wait as part of the run:
    an error of up to 8% in 3 s. So it gets more requests than it can send, and the server's own count of commands is
    read twice meanwhile.
    """
    program = shutil.which("redis-benchmark")
    if not program:
        raise RuntimeError("redis-benchmark is not there; Debian has it in redis-tools")
    command = [program, "-h", "127.0.0.1", "-p", server.port, "--threads", 2, "-c", 50, "-r", keys, "-d", 16]
    command += ["-n", ENDLESS_REQUESTS, "-t", test, "--csv"]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        time.sleep(WARMUP_SECONDS)
        samples = []
        for wait in (seconds, 0):
            commands = server.info("stats", "total_commands_processed")
            samples.append((time.monotonic(), commands, server.cpu_seconds()))
            time.sleep(wait)
        if process.poll() is not None:
            raise RuntimeError(f"redis-benchmark ended early: {process.stderr.read().decode()}")
    finally:
        process.kill()
        process.communicate()
    took, requests, cpu = (end - start for start, end in zip(*samples, strict=True))
    return requests / took, cpu / max(requests, 1) * 1e6
