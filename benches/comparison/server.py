"""One server process on a port of its own: start it, ask it, watch it, stop it."""

import os
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 10
STOP_SECONDS = 5
# RSS counts as settled when it moved by less than this share in a second; jemalloc gives freed pages back, and Redis
# moves its table, for a while after the load ends.
SETTLED_SHARE = 0.001
SETTLE_SECONDS = 20
# jemalloc, which both servers use, keeps freed pages for up to 10 s (dirty_decay_ms).
DECAY_SECONDS = 10


class Server:
    """A context manager: the server runs inside, with default settings but without persistence."""

    def __init__(self, path, port, directives=()):
        self.path, self.port = path, port
        self.directives = directives
        self.process = self.client = self.directory = None
        # Whether it is no error that it has to load data first.
        self.expects_loading = False

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="compare-")
        command = [str(self.path), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.log = open(os.path.join(self.directory.name, "log"), "w+b")
        try:
            self.process = subprocess.Popen(
                [*command, "--dir", self.directory.name, *map(str, self.directives)],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            )
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.client:
            self.client.close()
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.directory.cleanup()

    def _wait_until_up(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.client = Client(self.port)
                break
            except OSError:
                time.sleep(0.02)
        # Whoever answers must be the process just started, not an older one on the same port.
        if not self.expects_loading:
            time.sleep(0.1)
        if self.client is None or self.process.poll() is not None:
            self.log.seek(0)
            text = self.log.read().decode(errors="replace")[-1000:]
            raise RuntimeError(f"{self.path} did not start on port {self.port}:\n{text}")
        if not self.expects_loading:
            self.client.call("PING")

    @property
    def pid(self):
        return self.process.pid

    def call(self, *words):
        return self.client.call(*words)

    def info(self, section, field):
        """One number of INFO."""
        for line in self.call("INFO", section).splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value)
        raise RuntimeError(f"{self.path}: INFO {section} has no {field}")

    def cpu_seconds(self):
        """User and system time of the process so far, to the tick (see the load generator's process.rs)."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self):
        """Resident bytes now."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS in /proc")

    def settled_rss(self, after_load=False):
        """Resident bytes once they hardly move any more; after a load, once freed pages had the time to go back."""
        if after_load:
            time.sleep(DECAY_SECONDS)
        last = self.rss()
        for _ in range(SETTLE_SECONDS):
            time.sleep(1)
            now = self.rss()
            if abs(now - last) <= SETTLED_SHARE * last:
                return now
            last = now
        return last


class Client:
    """A connection that sends one command at a time; replies are str, int, list or None."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def call(self, *words):
        words = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(words)
        self.socket.sendall(request + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._reply()

    def _reply(self):
        line = self.stream.readline()
        if not line:
            raise RuntimeError("the server closed the connection")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RuntimeError(f"error reply: {text}")
        if kind == b"+":
            return text
        number = int(text)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"$":
            return self.stream.read(number + 2)[:-2].decode(errors="replace")
        return [self._reply() for _ in range(number)]

    def close(self):
        self.stream.close()
        self.socket.close()
