"""redis-py does with Nuthatch what it does with Redis, in both protocols."""

import asyncio
import threading
import time

import pytest
import redis
import redis.asyncio
from conftest import PASSWORD
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry


def test_strings(client):
    assert client.set("k", "v") is True
    assert client.get("k") == "v"
    assert client.get("none") is None
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", xx=True, get=True) == "v"
    assert client.getset("k", "x") == "w"
    assert client.append("k", "yz") == 3
    assert client.strlen("k") == 3
    assert client.getrange("k", 1, -1) == "yz"
    assert client.setrange("k", 1, "--") == 3
    assert client.getdel("k") == "x--"
    assert client.setnx("k", "1") is True
    assert client.incr("k") == 2
    assert client.incrby("k", 40) == 42
    assert client.decr("k", 2) == 40
    assert client.incrbyfloat("k", 0.5) == 40.5
    assert client.mset({"a": "1", "b": "2"}) is True
    assert client.mget("a", "none", "b") == ["1", None, "2"]
    assert client.msetnx({"a": "9", "c": "9"}) is False
    assert client.exists("c") == 0


def test_binary_values(connect):
    client = connect(decode_responses=False)
    value = bytes(range(256)) * 5000
    client.set(b"\x00\xff\r\n", value)
    assert client.get(b"\x00\xff\r\n") == value


def test_lcs(client, protocol):
    client.mset({"a": "ohmytext", "b": "mynewtext"})
    assert client.lcs("a", "b") == "mytext"
    assert client.lcs("a", "b", len=True) == 6
    found = client.lcs("a", "b", idx=True, minmatchlen=4, withmatchlen=True)
    matches = [[[4, 7], [5, 8], 4]]
    if isinstance(found, dict):
        assert found == {"matches": matches, "len": 6}
    else:
        assert found == ["matches", matches, "len", 6]


def test_expiry(client):
    client.set("k", "v", ex=100)
    assert 99 <= client.ttl("k") <= 100
    assert 99_000 < client.pttl("k") <= 100_000
    assert client.persist("k") is True
    assert client.ttl("k") == -1
    assert client.ttl("none") == -2
    assert client.expire("k", 50, nx=True) == 1
    assert client.expire("k", 40, gt=True) == 0
    deadline = int(time.time()) + 1000
    assert client.expireat("k", deadline) == 1
    assert client.expiretime("k") == deadline
    assert client.getex("k", px=30) == "v"
    time.sleep(0.1)
    assert client.get("k") is None


def test_keys(client):
    client.mset({"a": "1", "b": "2", "c": "3"})
    assert sorted(client.keys("[ab]")) == ["a", "b"]
    assert client.dbsize() == 3
    assert client.randomkey() in ("a", "b", "c")
    assert client.rename("a", "d") is True
    assert client.renamenx("b", "c") is False
    assert client.copy("d", "e") is True
    assert client.type("d") == "string"
    assert client.touch("d", "e", "none") == 2
    assert client.move("e", 1) == 1
    assert client.swapdb(0, 1) is True
    assert client.keys() == ["e"]
    assert client.unlink("e", "none") == 1
    client.flushdb(asynchronous=True)
    assert client.dbsize() == 0


def test_scan(client):
    names = {f"key:{number}" for number in range(1000)}
    client.mset(dict.fromkeys(names, "v"))
    assert set(client.scan_iter(match="key:*", count=37)) == names
    assert set(client.scan_iter(match="key:1?", _type="string")) == {f"key:1{digit}" for digit in range(10)}
    assert list(client.scan_iter(_type="list")) == []


def test_pipeline(client):
    with client.pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set(f"k{number}", number)
            pipeline.get(f"k{number}")
        pipeline.incr("k7", 3)
        replies = pipeline.execute()
    assert replies[1:10_000:2] == [str(number) for number in range(5000)]
    assert replies[-1] == 10
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("k", "text").incr("k").get("k")
        replies = pipeline.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"


def test_transactions(client):
    with client.pipeline() as pipeline:
        assert pipeline.set("n", 1).incr("n").get("n").mget("n", "none").execute() == [True, 2, "2", ["2", None]]
    with client.pipeline() as pipeline:
        pipeline.set("k", "text").incr("k").get("k")
        replies = pipeline.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"
    with client.pipeline() as pipeline, pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        pipeline.set("k", "never").execute_command("GET")
        pipeline.execute()
    assert client.get("k") == "text"


def test_watched_keys(client, connect):
    other = connect()
    with client.pipeline() as pipeline:
        pipeline.watch("n")
        assert pipeline.get("n") is None
        other.set("n", 5)
        pipeline.multi()
        pipeline.set("n", 1)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert client.get("n") == "5"

    def add(connection):
        def twice(pipeline):
            before = int(pipeline.get("n"))
            pipeline.multi()
            pipeline.set("n", before + 1)

        for _ in range(50):
            connection.transaction(twice, "n")

    threads = [threading.Thread(target=add, args=(connect(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("n") == "205"


def test_errors(client):
    client.set("k", "text")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("k")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments for 'get' command"):
        client.execute_command("GET")
    with pytest.raises(redis.ResponseError, match="unknown command 'NONSENSE'"):
        client.execute_command("NONSENSE", "x")


def test_connection(client, protocol):
    assert client.ping() is True
    assert client.echo("hello") == "hello"
    assert client.client_setname("tester") is True
    assert client.client_getname() == "tester"
    info = client.client_info()
    assert info["id"] == client.client_id()
    assert int(info["resp"]) == protocol
    assert info["lib-name"].startswith("redis-py")
    seconds, micros = client.time()
    assert abs(seconds + micros / 1e6 - time.time()) < 5


def test_database_of_the_url(connect, client, port):
    other = connect(db=3)
    other.set("k", "in three")
    assert client.get("k") is None
    url = redis.Redis.from_url(f"redis://127.0.0.1:{port}/3", decode_responses=True)
    assert url.get("k") == "in three"
    url.close()


def test_introspection(client):
    assert client.info("server")["tcp_port"] > 0
    assert "used_memory" in client.info()
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    assert client.config_set("slowlog-log-slower-than", 10_000) is True
    assert client.command_count() > 50
    assert "get" in client.command()
    assert client.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    assert client.slowlog_len() >= 0
    client.set("k", "v")
    assert client.memory_usage("k") > 0
    assert client.object("encoding", "k") == "embstr"


def test_kill(connect, client):
    victim = connect(single_connection_client=True, client_name="victim", retry=None)
    assert victim.ping()
    found = [entry["id"] for entry in client.client_list() if entry["name"] == "victim"]
    assert len(found) == 1
    assert client.client_kill_filter(_id=found[0]) == 1


def test_authentication(guarded_port, protocol):
    def ping(**credentials):
        # Once: a refusal is not worth another try.
        retry = Retry(NoBackoff(), 0)
        with redis.Redis(port=guarded_port, protocol=protocol, retry=retry, **credentials) as remote:
            return remote.ping()

    with pytest.raises(redis.AuthenticationError):
        ping()
    with pytest.raises(redis.AuthenticationError):
        ping(password="wrong")
    assert ping(password=PASSWORD)
    assert ping(username="default", password=PASSWORD)


def test_threads_share_a_pool(client):
    def count():
        for _ in range(500):
            client.incr("total")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("total") == "4000"


def test_asyncio(client, port, protocol):
    async def run():
        async with redis.asyncio.Redis(port=port, protocol=protocol, decode_responses=True) as remote:
            await asyncio.gather(*(remote.set(f"k{number}", number) for number in range(80)))
            values = await asyncio.gather(*(remote.get(f"k{number}") for number in range(80)))
            async with remote.pipeline(transaction=False) as pipeline:
                pipeline.incr("n").incr("n")
                return values, await pipeline.execute()

    values, counts = asyncio.run(run())
    assert values == [str(number) for number in range(80)]
    assert counts == [1, 2]


def messages(pubsub, count):
    """The next messages of a subscription, its confirmations among them."""
    found = []
    give_up = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < give_up, found
        message = pubsub.get_message(timeout=1)
        if message:
            found.append((message["type"], message["pattern"], message["channel"], message["data"]))
    return found


def test_publish_and_subscribe(connect, client, protocol):
    with connect().pubsub() as pubsub:
        pubsub.subscribe("news", "weather")
        pubsub.psubscribe("n*")
        assert messages(pubsub, 3) == [
            ("subscribe", None, "news", 1),
            ("subscribe", None, "weather", 2),
            ("psubscribe", None, "n*", 3),
        ]
        assert client.publish("news", "hello") == 2
        assert client.publish("weather", "rain") == 1
        assert messages(pubsub, 3) == [
            ("message", None, "news", "hello"),
            ("pmessage", "n*", "news", "hello"),
            ("message", None, "weather", "rain"),
        ]
        assert client.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)]
        assert sorted(client.pubsub_channels()) == ["news", "weather"]
        assert client.pubsub_numpat() == 1
        if protocol == 2:
            # In RESP3 it is a reply like any other, which this client takes for a message.
            pubsub.ping("still there?")
            assert messages(pubsub, 1) == [("pong", None, None, "still there?")]
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        assert {message[0] for message in messages(pubsub, 3)} == {"unsubscribe", "punsubscribe"}
        assert not pubsub.subscribed


def test_shard_channels(connect, client):
    with connect().pubsub() as pubsub:
        pubsub.ssubscribe("news")
        assert messages(pubsub, 1) == [("ssubscribe", None, "news", 1)]
        assert client.spublish("news", "hello") == 1
        assert client.publish("news", "not for shards") == 0
        assert messages(pubsub, 1) == [("smessage", None, "news", "hello")]
        assert client.pubsub_shardchannels() == ["news"]
        assert client.pubsub_shardnumsub("news") == [("news", 1)]


def test_handlers_in_a_thread(connect, client):
    heard = []
    pubsub = connect().pubsub()
    pubsub.subscribe(news=lambda message: heard.append(message["data"]))
    thread = pubsub.run_in_thread(sleep_time=0.01)
    try:
        give_up = time.monotonic() + 10
        while not client.publish("news", "first"):
            assert time.monotonic() < give_up
        for number in range(1000):
            client.publish("news", number)
        while len(heard) < 1001:
            assert time.monotonic() < give_up, len(heard)
            time.sleep(0.01)
    finally:
        thread.stop()
        thread.join()
    assert heard == ["first", *map(str, range(1000))]


def test_monitor(connect, client):
    with connect().monitor() as monitor:
        client.set("k", "some value")
        for command in monitor.listen():
            if command["command"].startswith("SET"):
                break
        assert command["command"] == "SET k some value"
        assert command["db"] == 0
        assert command["client_type"] == "tcp"


def test_publish_and_subscribe_by_asyncio(port, protocol):
    async def run():
        async with redis.asyncio.Redis(port=port, protocol=protocol, decode_responses=True) as remote:
            async with remote.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.psubscribe("chan*")
                while not await remote.publish("channel", "0"):
                    await asyncio.sleep(0.01)
                await asyncio.gather(*(remote.publish("channel", "1") for _ in range(50)))
                heard = []
                async for message in pubsub.listen():
                    heard.append(message["data"])
                    if len(heard) == 51:
                        return heard

    assert asyncio.run(asyncio.wait_for(run(), 20)) == ["0"] + ["1"] * 50


def test_client_side_cache(connect, client):
    """What is cached is not asked for again, until somebody changes it."""
    reader = connect(protocol=3, cache_config=CacheConfig(max_size=1000))
    cache = reader.get_cache()

    def gets():
        return int(client.info("commandstats")["cmdstat_get"]["calls"])

    def read_until(key, value):
        give_up = time.monotonic() + 10
        while reader.get(key) != value:
            assert time.monotonic() < give_up

    client.mset({"a": "1", "b": "2"})
    assert [reader.get("a"), reader.get("b")] == ["1", "2"]
    before = gets()
    assert [reader.get("a") for _ in range(100)] == ["1"] * 100
    assert gets() == before and cache.size == 2
    client.set("a", "changed")
    read_until("a", "changed")
    assert reader.mget("a", "b") == ["changed", "2"]
    # The reader's own changes, those of expiry, and of everything.
    assert reader.set("a", "own")
    read_until("a", "own")
    client.set("b", "short", px=30)
    read_until("b", "short")
    read_until("b", None)
    client.flushall()
    read_until("a", None)
    for n in range(200):
        client.set("a", n)
        read_until("a", str(n))


def test_keyspace_notifications(connect, client):
    assert client.config_set("notify-keyspace-events", "KEA")
    try:
        with connect().pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.psubscribe("__key*__:*")
            # Ignored: the confirmation.
            pubsub.get_message(timeout=10)
            client.set("k", "v", px=20)
            heard = []
            give_up = time.monotonic() + 10
            while len(heard) < 6 and time.monotonic() < give_up:
                message = pubsub.get_message(timeout=1)
                if message:
                    heard.append((message["channel"], message["data"]))
            expected = []
            for event in ("set", "expire", "expired"):
                expected += [("__keyspace@0__:k", event), (f"__keyevent@0__:{event}", "k")]
            assert heard == expected
    finally:
        client.config_set("notify-keyspace-events", "")
