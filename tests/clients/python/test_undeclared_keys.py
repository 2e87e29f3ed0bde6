"""A queue of tasks as Asynq for Go has one: scripts that build the names of most of their keys from arguments and from
what they read. Producers, workers (some of which vanish), a scheduler, a rescuer and inspectors run at once; no task is
lost or done twice, and an inspector, which adds up every queue in one script, never sees the sums differ."""

import json
import random
import threading
import time
from collections import Counter

import pytest
import redis
from conftest import together, until

QUEUES = ["critical", "default", "low"]
PRODUCERS = 6
WORKERS = 10
TASKS_EACH = 100
WITHIN_S = 60

# A worker that took a task and was not heard of for so long has vanished. No test waits for that: a worker that
# vanishes puts the end of its lease into the past.
LEASE_S = 3600

# KEYS: task, pending | ARGV: prefix of the queue, id, message, when it is due ('' for at once)
# Returns 0 if there is a task with that id.
ENQUEUE = """
local prefix, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local state = ARGV[4] == '' and 'pending' or 'scheduled'
redis.call('HSET', KEYS[1], 'message', ARGV[3], 'state', state, 'tries', 0)
if state == 'pending' then
  redis.call('LPUSH', KEYS[2], id)
else
  redis.call('ZADD', prefix .. 'scheduled', ARGV[4], id)
end
redis.call('INCR', prefix .. 'enqueued')
return 1
"""

# As above, for a task of which there is one at a time. KEYS: lock, task, pending | ARGV: id, message, seconds, prefix
ENQUEUE_UNIQUE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[3]) then
  return redis.error_reply('DUPLICATE of ' .. redis.call('GET', KEYS[1]))
end
redis.call('HSET', KEYS[2], 'message', ARGV[2], 'state', 'pending', 'tries', 0, 'lock', KEYS[1])
redis.call('LPUSH', KEYS[3], ARGV[1])
redis.call('INCR', ARGV[4] .. 'enqueued')
return redis.status_reply('QUEUED')
"""

# No keys at all | ARGV: end of the lease, prefixes of the queues in the order they are to be looked at
# Returns the prefix, the id, the message and the try, or nil.
TAKE = """
for index = 2, #ARGV do
  local prefix = ARGV[index]
  if redis.call('EXISTS', prefix .. 'paused') == 0 then
    local id = redis.call('RPOPLPUSH', prefix .. 'pending', prefix .. 'active')
    if id then
      local task = prefix .. 't:' .. id
      redis.call('HSET', task, 'state', 'active')
      local try = redis.call('HINCRBY', task, 'tries', 1)
      redis.call('ZADD', prefix .. 'lease', ARGV[1], id)
      return {prefix, id, redis.call('HGET', task, 'message'), try}
    end
  end
end
return nil
"""

# KEYS: active, lease | ARGV: id, prefix, when the statistics end
DONE = """
local id, prefix = ARGV[1], ARGV[2]
if redis.call('LREM', KEYS[1], 0, id) == 0 or redis.call('ZREM', KEYS[2], id) == 0 then
  return redis.error_reply('NOT FOUND')
end
local task = prefix .. 't:' .. id
local lock = redis.call('HGET', task, 'lock')
if lock and redis.call('GET', lock) == id then
  redis.call('DEL', lock)
end
redis.call('DEL', task)
redis.call('INCR', prefix .. 'processed')
local today = prefix .. 'processed:today'
if redis.call('INCR', today) == 1 then
  redis.call('EXPIREAT', today, ARGV[3])
end
return redis.status_reply('OK')
"""

# What failed is due again later. ARGV: id, prefix, when
RETRY = """
local id, prefix = ARGV[1], ARGV[2]
if redis.call('LREM', prefix .. 'active', 0, id) == 0 or redis.call('ZREM', prefix .. 'lease', id) == 0 then
  return redis.error_reply('NOT FOUND')
end
redis.call('ZADD', prefix .. 'scheduled', ARGV[3], id)
redis.call('HSET', prefix .. 't:' .. id, 'state', 'scheduled')
return 1
"""

# What is due becomes pending. ARGV: now, prefix
FORWARD = """
local prefix = ARGV[2]
local due = redis.call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', ARGV[1], 'LIMIT', 0, 100)
for _, id in ipairs(due) do
  redis.call('LPUSH', prefix .. 'pending', id)
  redis.call('ZREM', prefix .. 'scheduled', id)
  redis.call('HSET', prefix .. 't:' .. id, 'state', 'pending')
end
return table.getn(due)
"""

# What a vanished worker held becomes pending again. ARGV: now, prefix
RESCUE = """
local prefix, rescued = ARGV[2], 0
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'lease', '-inf', ARGV[1], 'BYSCORE')) do
  rescued = rescued + redis.call('LREM', prefix .. 'active', 1, id)
  redis.call('ZREM', prefix .. 'lease', id)
  redis.call('RPUSH', prefix .. 'pending', id)
  redis.call('HSET', prefix .. 't:' .. id, 'state', 'pending')
end
return rescued
"""

# Adds up every queue. ARGV: the key of the set of queues
INSPECT = """
local seen = {}
for _, queue in ipairs(redis.call('SMEMBERS', ARGV[1])) do
  local prefix = 'tasks:{' .. queue .. '}:'
  local count = {
    pending = redis.call('LLEN', prefix .. 'pending'),
    active = redis.call('LLEN', prefix .. 'active'),
    leased = redis.call('ZCARD', prefix .. 'lease'),
    scheduled = redis.call('ZCARD', prefix .. 'scheduled'),
    processed = tonumber(redis.call('GET', prefix .. 'processed') or 0),
    enqueued = tonumber(redis.call('GET', prefix .. 'enqueued') or 0),
    states = {},
  }
  for _, key in ipairs({'pending', 'active'}) do
    for _, id in ipairs(redis.call('LRANGE', prefix .. key, 0, 3)) do
      count.states[#count.states + 1] = {key, redis.call('HGET', prefix .. 't:' .. id, 'state')}
    end
  end
  seen[queue] = count
end
return cjson.encode(seen)
"""

SOURCES = {
    "enqueue": ENQUEUE,
    "enqueue_unique": ENQUEUE_UNIQUE,
    "take": TAKE,
    "done": DONE,
    "retry": RETRY,
    "forward": FORWARD,
    "rescue": RESCUE,
    "inspect": INSPECT,
}


def prefix(queue):
    return f"tasks:{{{queue}}}:"


class Broker:
    """One client's view of the queues."""

    def __init__(self, port):
        self.client = redis.Redis(port=port, decode_responses=True)
        self.scripts = {name: self.client.register_script(source) for name, source in SOURCES.items()}

    def run(self, name, *args, keys=()):
        return self.scripts[name](keys=keys, args=args)

    def enqueue(self, queue, id, message, due=""):
        self.client.sadd("tasks:queues", queue)
        at = prefix(queue)
        return self.run("enqueue", at, id, json.dumps(message), due, keys=[f"{at}t:{id}", f"{at}pending"])

    def enqueue_unique(self, queue, id, message, lock):
        self.client.sadd("tasks:queues", queue)
        at = prefix(queue)
        keys = [f"{at}unique:{lock}", f"{at}t:{id}", f"{at}pending"]
        return self.run("enqueue_unique", id, json.dumps(message), 60, at, keys=keys)

    def take(self, lease_s=LEASE_S):
        return self.run("take", time.time() + lease_s, *map(prefix, QUEUES))

    def done(self, at, id):
        return self.run("done", id, at, int(time.time()) + 3600, keys=[f"{at}active", f"{at}lease"])


@pytest.fixture
def connect(own_port):
    brokers = []

    def connect():
        brokers.append(Broker(own_port))
        return brokers[-1]

    connect().client.flushall()
    yield connect
    for broker in brokers:
        broker.client.close()


def test_no_task_is_lost_or_done_twice(connect):
    finished = Counter()
    recorded = threading.Lock()
    all_done = threading.Event()
    total = PRODUCERS * TASKS_EACH

    def produce(producer):
        broker, chance = connect(), random.Random(producer)
        for number in range(TASKS_EACH):
            id = f"{producer}-{number}"
            due = "" if number % 3 else time.time() + chance.random() / 2
            assert broker.enqueue(chance.choice(QUEUES), id, {"id": id, "kind": number % 10}, due) == 1

    def work():
        broker = connect()
        while not all_done.is_set():
            taken = broker.take()
            if taken is None:
                time.sleep(0.002)
                continue
            at, id, message, tries = taken
            message = json.loads(message)
            assert message["id"] == id
            if tries == 1 and message["kind"] == 7:
                assert broker.client.zadd(f"{at}lease", {id: 0}, xx=True, ch=True) == 1
            elif tries == 1 and message["kind"] == 4:
                assert broker.run("retry", id, at, time.time() + 0.05) == 1
            else:
                assert broker.done(at, id) == "OK"
                with recorded:
                    finished[id] += 1
                    if len(finished) == total:
                        all_done.set()

    def schedule():
        broker = connect()
        while not all_done.wait(0.01):
            for queue in QUEUES:
                broker.run("forward", time.time(), prefix(queue))

    def rescue():
        broker, rescued = connect(), 0
        while not all_done.wait(0.05):
            rescued += sum(broker.run("rescue", time.time(), prefix(queue)) for queue in QUEUES)
        return rescued

    def inspect():
        broker, looks = connect(), 0
        while not all_done.is_set():
            for queue in json.loads(broker.run("inspect", "tasks:queues")).values():
                assert queue["active"] == queue["leased"]
                assert queue["pending"] + queue["active"] + queue["scheduled"] + queue["processed"] == queue["enqueued"]
                assert all(key == state for key, state in queue["states"] or [])
            looks += 1
        assert looks > 10

    def give_up():
        assert all_done.wait(WITHIN_S) or all_done.set(), f"{len(finished)} of {total} tasks done"

    helpers = [schedule, rescue, inspect, inspect, give_up]
    producers = [lambda producer=producer: produce(producer) for producer in range(PRODUCERS)]
    results = together(*helpers, *producers, *([work] * WORKERS))
    assert len(finished) == total and set(finished.values()) == {1}
    rescued = results[helpers.index(rescue)]
    assert rescued == total // 10

    client = connect().client
    for queue in QUEUES:
        at = prefix(queue)
        for key in ("pending", "active", "lease", "scheduled"):
            assert not client.exists(at + key)
        assert client.get(at + "processed") == client.get(at + "enqueued")
        assert 3500 <= client.ttl(at + "processed:today") <= 3600
    assert list(client.scan_iter("tasks:*:t:*")) == []
    assert sum(int(client.get(prefix(queue) + "processed")) for queue in QUEUES) == total


def test_order_priority_and_pause(connect):
    broker = connect()
    for number in range(3):
        for queue in reversed(QUEUES):
            broker.enqueue(queue, f"{queue} {number}", {})
    broker.client.set(prefix("default") + "paused", 1)
    taken = [broker.take()[1] for _ in range(6)]
    assert taken == [f"{queue} {number}" for queue in ("critical", "low") for number in range(3)]
    assert broker.take() is None
    broker.client.delete(prefix("default") + "paused")
    assert [broker.take()[1] for _ in range(3)] == [f"default {number}" for number in range(3)]


def test_ids_and_locks_are_unique(connect):
    brokers = [connect() for _ in range(8)]
    added = together(*(lambda broker=broker: broker.enqueue("default", "same", {}) for broker in brokers))
    assert sum(added) == 1

    def unique(number):
        try:
            return brokers[number].enqueue_unique("low", f"unique {number}", {}, "purpose")
        except redis.ResponseError as error:
            return str(error)

    replies = Counter(together(*(lambda number=number: unique(number) for number in range(8))))
    assert replies.pop("QUEUED") == 1
    [(refusal, count)] = replies.items()
    assert count == 7 and refusal.startswith("DUPLICATE of unique ")
    broker = brokers[0]
    while taken := broker.take():
        assert broker.done(*taken[:2]) == "OK"
        with pytest.raises(redis.ResponseError, match="^NOT FOUND$"):
            broker.done(*taken[:2])
    assert not broker.client.exists(prefix("low") + "unique:purpose")
    assert broker.enqueue_unique("low", "next", {}, "purpose") == "QUEUED"


def test_a_lease_that_is_renewed_is_not_rescued(connect):
    broker = connect()
    for id in ("renewed", "lost"):
        broker.enqueue("default", id, {})
        assert broker.take(0.1)[1] == id
    lease = prefix("default") + "lease"
    assert broker.client.zadd(lease, {"renewed": time.time() + 60}, xx=True, ch=True) == 1
    until(lambda: broker.run("rescue", time.time(), prefix("default")) == 1, "the lost task")
    assert broker.client.zrange(lease, 0, -1) == ["renewed"]
    assert broker.take()[1:] == ["lost", "{}", 2]
