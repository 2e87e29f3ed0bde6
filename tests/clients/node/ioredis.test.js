// ioredis does with Nuthatch what it does with Redis.
"use strict";

const assert = require("node:assert/strict");
const { after, before, beforeEach, test } = require("node:test");
const Redis = require("ioredis");
const { Servers, sleep, until } = require("./servers.js");

const PASSWORD = "correct horse";

const servers = new Servers();
let port;
let client;

before(async () => {
  port = await servers.start();
  client = new Redis(port);
});

beforeEach(() => client.flushall());

after(async () => {
  await client.quit();
  await servers.stop();
});

test("strings", async () => {
  assert.equal(await client.set("k", "v"), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.get("none"), null);
  assert.equal(await client.set("k", "w", "NX"), null);
  assert.equal(await client.set("k", "w", "EX", 100, "XX", "GET"), "v");
  assert.ok((await client.ttl("k")) > 98);
  assert.equal(await client.getdel("k"), "w");
  assert.equal(await client.mset({ a: "1", b: "2" }), "OK");
  assert.deepEqual(await client.mget("a", "none", "b"), ["1", null, "2"]);
  assert.equal(await client.incrby("a", 41), 42);
  assert.equal(await client.incrbyfloat("a", 0.5), "42.5");
});

test("binary values", async () => {
  const value = Buffer.alloc(500_000, Buffer.from([0, 13, 10, 255, 36, 42]));
  const key = Buffer.from([0, 255, 13, 10]);
  await client.set(key, value);
  assert.ok(value.equals(await client.getBuffer(key)));
});

test("keys and expiry", async () => {
  await client.set("k", "v", "PX", 30);
  await sleep(100);
  assert.equal(await client.exists("k"), 0);
  await client.mset("a", "1", "b", "2");
  assert.deepEqual((await client.keys("*")).sort(), ["a", "b"]);
  assert.equal(await client.rename("a", "c"), "OK");
  assert.equal(await client.copy("c", "d"), 1);
  assert.equal(await client.type("d"), "string");
  assert.equal(await client.unlink("b", "c", "d"), 3);
});

test("a scan stream finds every key", async () => {
  const names = new Set(Array.from({ length: 1000 }, (_, number) => `key:${number}`));
  await client.mset([...names].flatMap((name) => [name, "v"]));
  const found = new Set();
  for await (const names of client.scanStream({ match: "key:*", count: 50, type: "string" })) {
    names.forEach((name) => found.add(name));
  }
  assert.deepEqual(found, names);
});

test("pipelines, and errors within them", async () => {
  const pipeline = client.pipeline();
  for (let number = 0; number < 5000; number++) pipeline.set(`k${number}`, number).get(`k${number}`);
  const replies = await pipeline.exec();
  replies.forEach(([error, value], index) => {
    assert.equal(error, null);
    assert.equal(value, index % 2 ? String((index - 1) / 2) : "OK");
  });
  const [, [error]] = await client.pipeline().set("k", "text").incr("k").exec();
  assert.equal(error.message, "ERR value is not an integer or out of range");
});

test("transactions", async () => {
  const replies = await client.multi().set("n", 1).incr("n").get("n").exec();
  assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
  const [[, set], [error], [, text]] = await client.multi().set("k", "text").incr("k").get("k").exec();
  assert.deepEqual([set, text], ["OK", "text"]);
  assert.equal(error.message, "ERR value is not an integer or out of range");
  await assert.rejects(client.multi().set("k", "never").get().exec(), /EXECABORT/);
  assert.equal(await client.get("k"), "text");
  // Without a pipeline, each command goes out on its own.
  const alone = new Redis(port);
  assert.equal(await alone.multi({ pipeline: false }), "OK");
  assert.equal(await alone.set("k", "queued"), "QUEUED");
  assert.equal(await client.get("k"), "text");
  assert.deepEqual(await alone.exec(), [[null, "OK"]]);
  // What is watched.
  await alone.watch("k");
  await client.set("k", "changed");
  assert.equal(await alone.multi().set("k", "lost").exec(), null);
  await alone.watch("k");
  assert.deepEqual(await alone.multi().get("k").exec(), [[null, "changed"]]);
  await alone.quit();
});

test("calls of one tick go out together", async () => {
  const batching = new Redis(port, { enableAutoPipelining: true });
  const counts = await Promise.all(Array.from({ length: 1000 }, () => batching.incr("n")));
  assert.deepEqual(counts, Array.from({ length: 1000 }, (_, index) => index + 1));
  await batching.quit();
});

test("errors", async () => {
  await assert.rejects(client.call("GET"), { message: "ERR wrong number of arguments for 'get' command" });
  await assert.rejects(client.call("NONSENSE", "x"), {
    message: "ERR unknown command 'NONSENSE', with args beginning with: 'x' ",
  });
});

test("databases and names", async () => {
  const other = new Redis({ port, db: 3, connectionName: "other" });
  await other.set("k", "in three");
  assert.equal(await client.get("k"), null);
  assert.equal(await other.client("GETNAME"), "other");
  assert.match(await client.client("LIST"), /name=other .* db=3 /);
  assert.match(await other.info("server"), /redis_version:/);
  await other.quit();
});

test("passwords", async () => {
  const guarded = await servers.start("--requirepass", PASSWORD);
  const welcome = new Redis({ port: guarded, password: PASSWORD });
  assert.equal(await welcome.ping(), "PONG");
  await welcome.quit();
  const stranger = new Redis({ port: guarded, enableReadyCheck: false });
  await assert.rejects(stranger.get("k"), { message: "NOAUTH Authentication required." });
  stranger.disconnect();
});

test("a lost connection comes back", async () => {
  const restless = new Redis({ port, retryStrategy: () => 10 });
  const id = await restless.client("ID");
  assert.equal(await client.client("KILL", "ID", id), 1);
  await restless.set("k", "v");
  assert.notEqual(await restless.client("ID"), id);
  await restless.quit();
});

test("publish and subscribe", async () => {
  const listener = new Redis(port);
  const heard = [];
  listener.on("message", (channel, message) => heard.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  assert.equal(await listener.subscribe("news", "weather"), 2);
  assert.equal(await listener.psubscribe("n*"), 3);
  assert.equal(await client.publish("news", "hello"), 2);
  for (let number = 0; number < 1000; number++) client.publish("weather", number);
  assert.deepEqual(await client.pubsub("NUMSUB", "news"), ["news", 1]);
  await assert.rejects(listener.get("k"), /Connection in subscriber mode/);
  await until(() => heard.length === 1002);
  assert.deepEqual(heard.slice(0, 2), [["news", "hello"], ["n*", "news", "hello"]]);
  assert.deepEqual(heard.slice(2), Array.from({ length: 1000 }, (_, number) => ["weather", String(number)]));
  assert.equal(await listener.unsubscribe("news", "weather"), 1);
  assert.equal(await listener.punsubscribe("n*"), 0);
  assert.equal(await listener.get("k"), null);
  await listener.quit();
});

test("shard channels", async () => {
  const listener = new Redis(port);
  const heard = [];
  listener.on("smessage", (channel, message) => heard.push([channel, message]));
  assert.equal(await listener.ssubscribe("news"), 1);
  assert.equal(await client.spublish("news", "hello"), 1);
  await until(() => heard.length === 1);
  assert.deepEqual(heard, [["news", "hello"]]);
  listener.disconnect();
});

test("subscriptions survive a lost connection", async () => {
  const listener = new Redis(port, { retryStrategy: () => 10 });
  const heard = [];
  listener.on("message", (channel, message) => heard.push(message));
  await listener.subscribe("news");
  assert.equal(await client.client("KILL", "TYPE", "pubsub"), 1);
  await until(async () => (await client.publish("news", "back")) === 1);
  await until(() => heard.length === 1);
  listener.disconnect();
});

test("monitor", async () => {
  // The monitor is a connection of its own beside that of the client that makes it.
  const maker = new Redis(port);
  const monitor = await maker.monitor();
  const heard = [];
  monitor.on("monitor", (time, args, source, database) => heard.push([args, database]));
  await client.set("k", "a b");
  await until(() => heard.some(([args]) => args[0] === "set"));
  assert.deepEqual(heard.find(([args]) => args[0] === "set"), [["set", "k", "a b"], "0"]);
  monitor.disconnect();
  maker.disconnect();
});
