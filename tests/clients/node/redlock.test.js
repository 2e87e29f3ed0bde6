// Redlock: locks that hold while a majority of independent servers grant them, as the package `redlock` takes, extends
// and releases them by scripts.
"use strict";

const assert = require("node:assert/strict");
const { after, before, beforeEach, test } = require("node:test");
const Redis = require("ioredis");
const { default: Redlock, ExecutionError } = require("redlock");
const { Servers, sleep, until } = require("./servers.js");

const CONTENDERS = 16;
const ROUNDS = 15;

const servers = new Servers();
let ports;
let clients;

before(async () => {
  ports = [];
  for (let number = 0; number < 3; number++) ports.push(await servers.start());
  clients = ports.map((port) => new Redis(port));
});

beforeEach(() => Promise.all(clients.map((client) => client.flushall())));

after(async () => {
  clients.forEach((client) => client.disconnect());
  await servers.stop();
});

function contender(connections, options = {}) {
  const settings = { retryDelay: 5, retryJitter: 5, automaticExtensionThreshold: 100, ...options };
  const redlock = new Redlock(connections, settings);
  redlock.on("error", () => {});
  return redlock;
}

/**
 * Takes the lock with attempts of one round each: only an attempt that gives up releases what a minority granted, and
 * were that kept while it is tried again, three contenders with one server each would wait until their grants expire.
 */
async function acquire(redlock) {
  for (;;) {
    try {
      return await redlock.acquire(["the lock"], 10_000, { retryCount: 0 });
    } catch (error) {
      assert.ok(error instanceof ExecutionError, error);
      await sleep(Math.random() * 20);
    }
  }
}

/** Adds to a number that only the lock protects: it is read, and written after a pause. */
async function contend(all) {
  let inside = 0;
  let sum = 0;
  await Promise.all(all.map(async (redlock) => {
    for (let round = 0; round < ROUNDS; round++) {
      const lock = await acquire(redlock);
      assert.equal((inside += 1), 1);
      const read = sum;
      await sleep(0);
      sum = read + 1;
      inside -= 1;
      await lock.release();
    }
  }));
  assert.equal(sum, all.length * ROUNDS);
}

// A release is complete with the majority's answers; those of the others may be under way.
const allReleased = (client) => until(async () => (await client.dbsize()) === 0, "the last release");

test("one server: nobody else is inside", async () => {
  const connections = Array.from({ length: CONTENDERS }, () => new Redis(ports[0]));
  await contend(connections.map((connection) => contender([connection])));
  await allReleased(clients[0]);
  connections.forEach((connection) => connection.disconnect());
});

test("a lock belongs to who took it, until it ends", async () => {
  const redlock = contender([clients[0]], { retryCount: 0 });
  const lock = await redlock.acquire(["a", "b"], 5000);
  assert.equal(await clients[0].get("a"), lock.value);
  assert.equal(await clients[0].get("b"), lock.value);
  assert.ok((await clients[0].pttl("a")) > 4000);
  await assert.rejects(redlock.acquire(["b", "c"], 5000), /unable to achieve a quorum/);
  assert.equal(await clients[0].exists("c"), 0);
  const extended = await lock.extend(20_000);
  assert.ok((await clients[0].pttl("b")) > 15_000);
  await extended.release();
  assert.equal(await clients[0].dbsize(), 0);
  // What ran out and was taken by another is neither extended nor released.
  const brief = await redlock.acquire(["a"], 50);
  await sleep(100);
  const next = await redlock.acquire(["a"], 5000);
  await assert.rejects(brief.release(), /unable to achieve a quorum/);
  assert.equal(await clients[0].get("a"), next.value);
  await next.release();
});

test("a lock is extended for as long as the work takes", async () => {
  const redlock = contender([clients[0]]);
  const impatient = contender([clients[0]], { retryCount: 0 });
  await redlock.using(["long"], 200, async (signal) => {
    for (let part = 0; part < 6; part++) {
      await sleep(100);
      assert.equal(signal.aborted, false);
      await assert.rejects(impatient.acquire(["long"], 200), /unable to achieve a quorum/);
    }
  });
  await (await impatient.acquire(["long"], 200)).release();
});

test("three servers, and then two: the majority decides", async () => {
  const all = Array.from({ length: 6 }, () => ports.map((port) => new Redis(port, { maxRetriesPerRequest: 0 })));
  all.flat().forEach((connection) => connection.on("error", () => {}));
  const contenders = all.map((connections) => contender(connections));
  await contend(contenders);
  for (const client of clients) await allReleased(client);
  clients[2].disconnect();
  await servers.kill(ports[2]);
  await contend(contenders);
  for (const client of clients.slice(0, 2)) await allReleased(client);
  all.flat().forEach((connection) => connection.disconnect());
});
