"""Starts one server for all tests, and gives each test clients of either protocol on empty databases."""

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

START_WITHIN_S = 20
PASSWORD = "correct horse"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(directory, *options):
    """Starts a server; returns the process and its port once it answers."""
    port = free_port()
    command = [os.environ["NUTHATCH"], "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
    give_up = time.monotonic() + START_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < give_up, "the server does not listen"
            time.sleep(0.02)


def stop(process):
    process.terminate()
    assert process.wait(timeout=20) == 0


def until(condition, what="what was waited for", within_s=20):
    """Waits for a condition; returns the first true value it gives."""
    give_up = time.monotonic() + within_s
    while not (met := condition()):
        assert time.monotonic() < give_up, f"{what} did not come"
        time.sleep(0.01)
    return met


def together(*functions):
    """Runs functions at once, each in a thread; raises what the first of them raises, returns what they return."""
    with ThreadPoolExecutor(len(functions)) as threads:
        return [future.result() for future in [threads.submit(function) for function in functions]]


@pytest.fixture(scope="session")
def port(tmp_path_factory):
    process, port = start(tmp_path_factory.mktemp("server"))
    yield port
    stop(process)


@pytest.fixture(scope="module")
def own_port(tmp_path_factory):
    """The port of a server that only this module's tests, and the processes that they start, talk to."""
    process, port = start(tmp_path_factory.mktemp("own"))
    yield port
    stop(process)


@pytest.fixture(scope="session")
def guarded_port(tmp_path_factory):
    """The port of a server that wants a password."""
    process, port = start(tmp_path_factory.mktemp("guarded"), "--requirepass", PASSWORD)
    yield port
    stop(process)


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request):
    return request.param


@pytest.fixture
def connect(port, protocol):
    """A function that makes one more client."""
    clients = []

    def connect(**options):
        client = redis.Redis(port=port, **{"protocol": protocol, "decode_responses": True, **options})
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def client(connect):
    client = connect()
    client.flushall()
    return client
