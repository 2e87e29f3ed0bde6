"""A queue of jobs as Sidekiq for Ruby has one: lists that workers block on, sorted sets of what is due later, from which
a script pops, and scripts that are called by their digest while somebody flushes them."""

import hashlib
import json
import random
import threading
import time
from collections import Counter

import pytest
import redis
from conftest import together, until
from redis.exceptions import NoScriptError

JOBS = 600
WORKERS = 12
SCHEDULERS = 3
WITHIN_S = 60

# Takes the first member whose time has come.
POP_DUE = """
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, 1)
if #due == 0 then
  return false
end
redis.call('ZREM', KEYS[1], due[1])
return due[1]
"""
POP_DUE_SHA = hashlib.sha1(POP_DUE.encode()).hexdigest()


@pytest.fixture
def connect(own_port):
    clients = []

    def connect():
        clients.append(redis.Redis(port=own_port, decode_responses=True))
        return clients[-1]

    connect().flushall()
    yield connect
    for client in clients:
        client.close()


class Poller:
    """Moves what is due to the queues."""

    def __init__(self, client):
        self.client = client
        self.fallbacks = 0

    def pop(self, key):
        now = time.time()
        try:
            return self.client.evalsha(POP_DUE_SHA, 1, key, now)
        except NoScriptError:
            self.fallbacks += 1
            return self.client.eval(POP_DUE, 1, key, now)

    def poll(self):
        moved = 0
        for key in ("retry", "schedule"):
            while job := self.pop(key):
                push(self.client, json.loads(job))
                moved += 1
        return moved


def push(client, job):
    with client.pipeline() as pipeline:
        pipeline.sadd("queues", job["queue"])
        pipeline.lpush(f"queue:{job['queue']}", json.dumps(job))
        pipeline.execute()


def test_every_job_succeeds_once(connect):
    succeeded = Counter()
    attempts = Counter()
    recorded = threading.Lock()
    all_done = threading.Event()

    def produce():
        client, chance = connect(), random.Random(1)
        for number in range(JOBS):
            job = {"id": number, "queue": chance.choice(["mail", "default"]), "fails": number % 10 == 0, "tries": 0}
            if number % 3 == 0:
                client.zadd("schedule", {json.dumps(job): time.time() + chance.random() / 2})
            else:
                push(client, job)

    def work(worker):
        client = connect()
        while not all_done.is_set():
            popped = client.brpop(["queue:mail", "queue:default"], timeout=0.2)
            if popped is None:
                continue
            queue, text = popped
            job = json.loads(text)
            assert queue == f"queue:{job['queue']}"
            with client.pipeline() as pipeline:
                pipeline.hset(f"process:{worker}", mapping={"busy": 1, "beat": time.time()})
                pipeline.expire(f"process:{worker}", 60)
                pipeline.execute()
            job["tries"] += 1
            with recorded:
                attempts[job["id"]] += 1
            if job["fails"] and job["tries"] < 3:
                client.zadd("retry", {json.dumps(job): time.time() + 0.05})
                client.incr("stat:failed")
                continue
            client.incr("stat:processed")
            with recorded:
                succeeded[job["id"]] += 1
                if len(succeeded) == JOBS:
                    all_done.set()

    def schedule():
        poller, moved = Poller(connect()), 0
        while not all_done.wait(0.005):
            moved += poller.poll()
        return moved, poller.fallbacks

    def flush():
        client = connect()
        while not all_done.wait(0.02):
            client.script_flush(random.choice(["SYNC", "ASYNC"]))

    def give_up():
        assert all_done.wait(WITHIN_S) or all_done.set(), f"{len(succeeded)} of {JOBS} jobs done"

    workers = [lambda worker=worker: work(worker) for worker in range(WORKERS)]
    results = together(*([schedule] * SCHEDULERS), produce, flush, give_up, *workers)
    assert len(succeeded) == JOBS and set(succeeded.values()) == {1}
    assert attempts == {number: 3 if number % 10 == 0 else 1 for number in range(JOBS)}
    moved, fallbacks = (sum(counts) for counts in zip(*results[:SCHEDULERS], strict=True))
    assert moved == JOBS // 3 + 2 * JOBS // 10
    assert fallbacks > 0
    client = connect()
    assert client.get("stat:processed") == str(JOBS) and client.get("stat:failed") == str(2 * JOBS // 10)
    expected = {"queues", "stat:processed", "stat:failed"} | {f"process:{worker}" for worker in range(WORKERS)}
    assert set(client.keys("*")) <= expected


def test_what_is_due_is_popped_once_in_its_order(connect):
    client = connect()
    client.zadd("schedule", {f"job {number:03}": number for number in range(300)})
    client.zadd("schedule", {"later": time.time() + 60})

    def pop():
        poller, popped = Poller(connect()), []
        while job := poller.pop("schedule"):
            popped.append(job)
        return popped

    popped = together(*([pop] * 8))
    assert sorted(sum(popped, [])) == [f"job {number:03}" for number in range(300)]
    assert all(each == sorted(each) for each in popped)
    assert client.zrange("schedule", 0, -1) == ["later"]


def test_jobs_in_hand_survive_their_worker(connect):
    """Each worker moves what it takes to a list of its own; who finds a list without a worker puts it back."""
    client = connect()
    client.lpush("queue:default", *range(100))
    taken = Counter()
    recorded = threading.Lock()

    def work(worker):
        own, alone = f"queue:default:{worker}", connect()
        alone.set(f"alive:{worker}", 1, px=100)
        mine = 0
        while job := alone.blmove("queue:default", own, 0.2, src="RIGHT", dest="LEFT"):
            mine += 1
            if worker % 2 and mine == 4:
                return
            with recorded:
                taken[job] += 1
            assert alone.lrem(own, 1, job) == 1

    together(*(lambda worker=worker: work(worker) for worker in range(6)))
    until(lambda: not list(client.scan_iter("alive:*")), "the end of the signs of life")
    for own in list(client.scan_iter("queue:default:*")):
        while client.lmove(own, "queue:default", src="RIGHT", dest="RIGHT"):
            pass
    assert client.llen("queue:default") == 3
    work(0)
    assert taken == {str(number): 1 for number in range(100)}
    assert client.keys("queue:*") == []
