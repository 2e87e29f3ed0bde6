"""Limiters in scripts let through exactly what they shall, however many clients ask at once."""

import time
from bisect import bisect_left
from collections import Counter

import pytest
import redis
from conftest import together

CLIENTS = 16

# What was let through within a window, by the times the clients give.
SLIDING_WINDOW = """
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used = redis.call('ZCARD', KEYS[1])
if used >= limit then
  return {0, used}
end
redis.call('ZADD', KEYS[1], now, ARGV[4])
redis.call('EXPIRE', KEYS[1], math.ceil(window / 1000))
return {1, used + 1}
"""

# The same by the server's clock. It gives the microsecond of the call.
SLIDING_WINDOW_BY_SERVER = """
local time = redis.call('TIME')
local now, window = time[1] * 1000000 + time[2], tonumber(ARGV[1]) * 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
local used = redis.call('ZCARD', KEYS[1])
if used >= tonumber(ARGV[2]) then
  return {0, used, now}
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[1] / 1000))
return {1, used + 1, now}
"""

FIXED_WINDOW = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return used <= tonumber(ARGV[1]) and 1 or 0
"""

# Fractions of a token are kept as text, with which they lose nothing.
TOKEN_BUCKET = """
local now, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1] or burst), tonumber(kept[2] or now)
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local granted = tokens >= 1
if granted then
  tokens = tokens - 1
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', math.max(now, at))
redis.call('PEXPIRE', KEYS[1], 60000)
return granted and 1 or 0
"""


@pytest.fixture
def clients(own_port):
    clients = [redis.Redis(port=own_port, decode_responses=True) for _ in range(CLIENTS)]
    clients[0].flushall()
    yield clients
    for client in clients:
        client.close()


def test_sliding_window_counts_exactly(clients):
    limit, window_ms, keys, asked = 50, 10_000, 7, 300
    script = clients[0].register_script(SLIDING_WINDOW)
    start = 1_700_000_000_000

    def ask(number, now):
        client, granted = clients[number], Counter()
        for call in range(asked):
            key = f"limit:{(number + call) % keys}"
            allowed, used = script(keys=[key], args=[now, window_ms, limit, f"{number}:{call}:{now}"], client=client)
            assert used <= limit and (allowed or used == limit)
            granted[key] += allowed
        return granted

    def round_of_all(now):
        return sum(together(*(lambda number=number: ask(number, now) for number in range(CLIENTS))), Counter())

    full = {f"limit:{key}": limit for key in range(keys)}
    assert round_of_all(start) == full
    # Nothing has left the window yet, and then everything.
    assert round_of_all(start + window_ms - 1).total() == 0
    assert round_of_all(start + window_ms) == full
    for key in full:
        assert clients[0].zcard(key) == limit
        assert 8 <= clients[0].ttl(key) <= 10


def test_sliding_window_with_pipelines(clients):
    limit, asked = 1000, 60
    sha = clients[0].script_load(SLIDING_WINDOW)

    def ask(number):
        granted = 0
        for first in range(0, asked):
            pipeline = clients[number].pipeline(transaction=False)
            for call in range(16):
                pipeline.evalsha(sha, 1, "limit", 5000, 1000, limit, f"{number}:{first}:{call}")
            granted += sum(allowed for allowed, _ in pipeline.execute())
        return granted

    granted = together(*(lambda number=number: ask(number) for number in range(CLIENTS)))
    assert sum(granted) == limit == clients[0].zcard("limit")


def test_sliding_window_by_the_clock_of_the_server(clients):
    limit, window_ms, seconds = 40, 500, 2.2
    script = clients[0].register_script(SLIDING_WINDOW_BY_SERVER)
    until = time.monotonic() + seconds

    def ask(number):
        granted, call = [], 0
        while time.monotonic() < until:
            call += 1
            member = f"{number}:{call}"
            allowed, used, at = script(keys=["limit"], args=[window_ms, limit, member], client=clients[number])
            # Only a full window refuses.
            assert 1 <= used <= limit and (allowed or used == limit)
            if allowed:
                granted.append(at)
        return granted

    granted = together(*(lambda number=number: ask(number) for number in range(CLIENTS)))
    granted = sorted(at for each in granted for at in each)
    for index, at in enumerate(granted):
        assert bisect_left(granted, at + window_ms * 1000) - index <= limit
    # Asked without a pause, the limiter is full in each window from the first on.
    assert len(granted) >= limit * int(seconds * 1000 / window_ms)


def test_fixed_window_counts_exactly(clients):
    limit, asked, keys = 100, 200, 5
    script = clients[0].register_script(FIXED_WINDOW)

    def ask(number):
        granted = Counter()
        for call in range(asked):
            key = f"limit:{call % keys}"
            granted[key] += script(keys=[key], args=[limit, 100], client=clients[number])
        return granted

    granted = sum(together(*(lambda number=number: ask(number) for number in range(CLIENTS))), Counter())
    assert granted == {f"limit:{key}": limit for key in range(keys)}
    for key in granted:
        assert clients[0].get(key) == str(asked * CLIENTS // keys)
        assert 90 <= clients[0].ttl(key) <= 100


def test_token_bucket_counts_exactly(clients):
    burst, rate, asked = 30, 0.75, 100
    script = clients[0].register_script(TOKEN_BUCKET)

    def ask(number, now):
        return sum(script(keys=["bucket"], args=[now, rate, burst], client=clients[number]) for _ in range(asked))

    def round_of_all(now):
        return sum(together(*(lambda number=number: ask(number, now) for number in range(CLIENTS))))

    assert round_of_all(1000) == burst
    assert round_of_all(1000) == 0
    # 3.75 tokens, of which the fraction stays; with the next second it is half a token more than five.
    assert round_of_all(1005) == 3
    assert clients[0].hget("bucket", "tokens") == "0.75"
    assert round_of_all(1006) == 1
    assert clients[0].hget("bucket", "tokens") == "0.5"
    assert round_of_all(9000) == burst
