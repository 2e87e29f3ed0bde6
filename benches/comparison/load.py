"""The load generator (benches/load) and redis-benchmark, as functions."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Requests of the first run, which finds how many redis-benchmark needs for the time wanted.
CALIBRATION_REQUESTS = 50_000


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
    """Pipeline 1 by the tool everybody knows; returns requests per second and CPU microseconds of each."""
    program = shutil.which("redis-benchmark")
    if not program:
        raise RuntimeError("redis-benchmark is not there; Debian has it in redis-tools")

    def run(requests):
        command = [program, "-h", "127.0.0.1", "-p", server.port, "--threads", 2, "-c", 50, "-r", keys, "-d", 16]
        command += ["-n", requests, "-t", test, "--csv"]
        cpu = server.cpu_seconds()
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        cpu = server.cpu_seconds() - cpu
        rows = list(csv.reader(io.StringIO(done.stdout)))
        for row in rows:
            if row and row[0].lower() == test:
                return float(row[1]), cpu / requests * 1e6
        raise RuntimeError(f"redis-benchmark: {done.stdout}{done.stderr}")

    rate, _ = run(CALIBRATION_REQUESTS)
    return run(max(int(rate * seconds), CALIBRATION_REQUESTS))
