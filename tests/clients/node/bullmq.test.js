// BullMQ's queues, workers, flows, schedulers and events do with Nuthatch what they do with Redis. All of BullMQ's
// changes are scripts, many of which build the names of keys from what they read.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { after, afterEach, before, beforeEach, test } = require("node:test");
const { DelayedError, FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require("bullmq");
const Redis = require("ioredis");
const { Servers, sleep, until } = require("./servers.js");

// The clocks of the server and of the test may be read this far apart, and a timer may be early by it.
const CLOCKS_MS = 30;

const servers = new Servers();
let connection;
let client;
let opened = [];

before(async () => {
  const port = await servers.start();
  connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  client = new Redis(port);
});

beforeEach(() => client.flushall());

afterEach(async () => {
  const closing = opened.reverse().map((each) => each.close());
  opened = [];
  await Promise.all(closing);
});

after(async () => {
  await client.quit();
  await servers.stop();
});

function open(Kind, ...args) {
  const options = typeof args.at(-1) === "object" ? args.pop() : {};
  const one = new Kind(...args, { connection, ...options });
  one.on("error", (error) => {
    throw error;
  });
  opened.push(one);
  return one;
}

const queueOf = (name, options = {}) => open(Queue, name, options);
const workerOf = (name, work, options = {}) => open(Worker, name, work, options);

/** The events of a queue from its beginning, as [event, job] in their order. */
async function eventsOf(name, ...kinds) {
  const events = open(QueueEvents, name, { lastEventId: "0-0" });
  const heard = [];
  for (const kind of kinds) events.on(kind, ({ jobId, ...more }) => heard.push([kind, jobId, more]));
  await events.waitUntilReady();
  return { events, heard };
}

async function counts(queue) {
  const all = await queue.getJobCounts("waiting", "active", "delayed", "prioritized", "completed", "failed", "paused");
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count !== 0));
}

const allDone = (queue, completed) =>
  until(async () => (await queue.getCompletedCount()) === completed, "the last job");

test("every job is done exactly once by several workers while more are added", async () => {
  const JOBS = 600;
  const queue = queueOf("many");
  const { heard } = await eventsOf("many", "completed", "failed");
  const runs = new Map();
  const byWorker = [0, 0, 0];
  byWorker.forEach((_, worker) => {
    workerOf("many", async (job) => {
      runs.set(job.data.number, (runs.get(job.data.number) ?? 0) + 1);
      byWorker[worker] += 1;
      await sleep(1);
      return job.data.number * 2;
    }, { concurrency: 8 });
  });
  const added = [];
  for (let first = 0; first < JOBS; first += 100) {
    added.push(queue.addBulk(Array.from({ length: 50 }, (_, index) => (
      { name: "bulk", data: { number: first + index } }))));
    for (let number = first + 50; number < first + 100; number++) added.push(queue.add("single", { number }));
  }
  const jobs = (await Promise.all(added)).flat();
  assert.equal(new Set(jobs.map((job) => job.id)).size, JOBS);
  await allDone(queue, JOBS);
  assert.deepEqual(await counts(queue), { completed: JOBS });
  assert.equal(runs.size, JOBS);
  assert.ok([...runs.values()].every((count) => count === 1));
  assert.ok(byWorker.every((count) => count > 0), `jobs by worker: ${byWorker}`);
  for (const job of await queue.getCompleted()) assert.equal(job.returnvalue, job.data.number * 2);
  await until(() => heard.length === JOBS, "the last event");
  assert.ok(heard.every(([kind]) => kind === "completed"));
  assert.equal(new Set(heard.map(([, job]) => job)).size, JOBS);
});

test("one worker takes the jobs in their order, and new ones first where that is asked", async () => {
  const queue = queueOf("order");
  const order = [];
  for (let number = 0; number < 50; number++) await queue.add("job", { number });
  await queue.add("job", { number: -1 }, { lifo: true });
  workerOf("order", async (job) => void order.push(job.data.number));
  await allDone(queue, 51);
  assert.deepEqual(order, Array.from({ length: 51 }, (_, index) => index - 1));
});

test("delayed jobs come when they are due", async () => {
  const queue = queueOf("delays");
  const started = [];
  workerOf("delays", async (job) => void started.push([job.name, Date.now() - job.timestamp, job.delay]));
  const delays = { third: 450, first: 150, second: 300 };
  for (const [name, delay] of Object.entries(delays)) await queue.add(name, {}, { delay });
  const promoted = await queue.add("promoted", {}, { delay: 3_600_000 });
  const hastened = await queue.add("hastened", {}, { delay: 3_600_000 });
  assert.deepEqual(await counts(queue), { delayed: 5 });
  await hastened.changeDelay(600);
  await promoted.promote();
  await allDone(queue, 5);
  assert.deepEqual(started.map(([name]) => name), ["promoted", "first", "second", "third", "hastened"]);
  for (const [name, after] of started) {
    if (name in delays) assert.ok(after >= delays[name] - CLOCKS_MS, `${name} came after ${after} ms`);
  }
});

test("a job delays itself", async () => {
  const queue = queueOf("later");
  const starts = [];
  workerOf("later", async (job, token) => {
    starts.push(Date.now());
    if (starts.length === 1) {
      await job.moveToDelayed(Date.now() + 200, token);
      throw new DelayedError();
    }
  });
  await queue.add("job", {});
  await allDone(queue, 1);
  assert.equal(starts.length, 2);
  assert.ok(starts[1] - starts[0] >= 200 - CLOCKS_MS);
});

test("priorities, and the order within one", async () => {
  const queue = queueOf("priorities");
  const expected = [];
  for (let number = 0; number < 30; number++) {
    const priority = [3, 1, 2][number % 3];
    await queue.add("job", { number, priority }, { priority });
    expected.push([priority, number]);
  }
  const last = await queue.add("job", { number: 30, priority: 9 }, { priority: 9 });
  await queue.add("job", { number: 31, priority: 0 });
  assert.deepEqual(await queue.getCountsPerPriority([0, 1, 2, 3, 9]), { 0: 1, 1: 10, 2: 10, 3: 10, 9: 1 });
  await last.changePriority({ priority: 2 });
  expected.push([2, 30], [0, 31]);
  const order = [];
  workerOf("priorities", async (job) => void order.push(job.data.number));
  await allDone(queue, 32);
  expected.sort(([a, first], [b, second]) => a - b || first - second);
  assert.deepEqual(order, expected.map(([, number]) => number));
});

test("a rate limit holds across workers", async () => {
  const [MAX, DURATION_MS, JOBS] = [5, 300, 20];
  const queue = queueOf("limited");
  const started = [];
  await queue.addBulk(Array.from({ length: JOBS }, (_, number) => ({ name: "job", data: { number } })));
  for (let worker = 0; worker < 2; worker++) {
    workerOf("limited", async () => void started.push(Date.now()), {
      concurrency: 4,
      limiter: { max: MAX, duration: DURATION_MS },
    });
  }
  await allDone(queue, JOBS);
  assert.equal(started.length, JOBS);
  started.sort((a, b) => a - b);
  // The window opens with its first job: what comes MAX jobs later is in a later window.
  for (let first = 0; first + MAX < JOBS; first += MAX) {
    const apart = started[first + MAX] - started[first];
    assert.ok(apart >= DURATION_MS - CLOCKS_MS, `jobs ${first} and ${first + MAX} started ${apart} ms apart`);
  }
});

test("a queue has no more jobs at work than it is allowed", async () => {
  const queue = queueOf("narrow");
  await queue.setGlobalConcurrency(2);
  let atWork = 0;
  let most = 0;
  for (let worker = 0; worker < 3; worker++) {
    workerOf("narrow", async () => {
      most = Math.max(most, (atWork += 1));
      await sleep(10);
      atWork -= 1;
    }, { concurrency: 5 });
  }
  await queue.addBulk(Array.from({ length: 40 }, () => ({ name: "job", data: {} })));
  await allDone(queue, 40);
  assert.equal(most, 2);
});

test("flows: a parent waits for its children and has their results", async () => {
  const flows = open(FlowProducer);
  const assembly = queueOf("assembly");
  const order = [];
  workerOf("parts", async (job) => {
    order.push(job.name);
    const below = Object.values(await job.getChildrenValues());
    return below.reduce((sum, value) => sum + value, job.data.weight);
  }, { concurrency: 4 });
  workerOf("assembly", async (job) => {
    order.push(job.name);
    return Object.values(await job.getChildrenValues()).reduce((sum, value) => sum + value, 0);
  });
  const trees = await Promise.all(Array.from({ length: 20 }, (_, number) => flows.add({
    name: `car ${number}`,
    queueName: "assembly",
    children: [
      {
        name: `engine ${number}`,
        queueName: "parts",
        data: { weight: 100 },
        children: Array.from({ length: 4 }, (_, piston) => (
          { name: `piston ${number}`, queueName: "parts", data: { weight: piston } })),
      },
      { name: `body ${number}`, queueName: "parts", data: { weight: 1000 } },
    ],
  })));
  await allDone(assembly, 20);
  for (let number = 0; number < 20; number++) {
    const [car, engine, body] = ["car", "engine", "body"].map((part) => order.indexOf(`${part} ${number}`));
    assert.ok(order.lastIndexOf(`piston ${number}`) < engine && engine < car && body < car);
    assert.equal((await assembly.getJob(trees[number].job.id)).returnvalue, 1106);
  }
  assert.equal(order.length, 140);
  const { processed, unprocessed } = await trees[0].job.getDependencies();
  assert.deepEqual([Object.values(processed).sort(), unprocessed ?? []], [[106, 1000].sort(), []]);
  const tree = await flows.getFlow({ id: trees[3].job.id, queueName: "assembly" });
  assert.deepEqual(tree.children.map((child) => child.children?.length ?? 0).sort(), [0, 4]);
});

test("flows: what a child's failure does to its parent", async () => {
  const flows = open(FlowProducer);
  const parents = queueOf("parents");
  workerOf("children", async (job) => {
    if (job.data.fails) throw new Error("broken");
    return "fine";
  });
  workerOf("parents", async (job) => {
    const ignored = Object.values(await job.getIgnoredChildrenFailures());
    return [Object.values(await job.getChildrenValues()), ignored];
  });
  const flow = (name, opts) => flows.add({
    name,
    queueName: "parents",
    children: [
      { name: "good", queueName: "children", data: {} },
      { name: "bad", queueName: "children", data: { fails: true }, opts },
    ],
  });
  const fails = await flow("fails", { failParentOnFailure: true });
  const ignores = await flow("ignores", { ignoreDependencyOnFailure: true });
  const waits = await flow("waits", {});
  await until(async () => (await fails.job.getState()) === "failed", "the parent's failure");
  await until(async () => (await ignores.job.getState()) === "completed", "the parent's end");
  const failed = await parents.getJob(fails.job.id);
  assert.match(failed.failedReason, /child .* failed/);
  assert.deepEqual((await parents.getJob(ignores.job.id)).returnvalue, [["fine"], ["broken"]]);
  assert.equal(await waits.job.getState(), "waiting-children");
});

test("schedulers repeat a job as often as they shall", async () => {
  const queue = queueOf("repeats");
  const ticks = [];
  workerOf("repeats", async (job) => void ticks.push([job.name, job.data.of, Date.now()]));
  await queue.upsertJobScheduler("every", { every: 200, limit: 4 }, { name: "tick", data: { of: "every" } });
  const secondly = { pattern: "* * * * * *", limit: 2 };
  await queue.upsertJobScheduler("cron", secondly, { name: "second", data: { of: "cron" } });
  await queue.upsertJobScheduler("never", { every: 3_600_000, startDate: Date.now() + 3_600_000 }, { name: "never" });
  assert.equal(await queue.getJobSchedulersCount(), 3);
  await until(() => ticks.length === 6, "the last repetition");
  assert.equal(await queue.removeJobScheduler("never"), true);
  assert.equal(await queue.removeJobScheduler("never"), false);
  await sleep(500);
  const every = ticks.filter(([, of]) => of === "every");
  const cron = ticks.filter(([, of]) => of === "cron");
  assert.deepEqual([every.length, cron.length], [4, 2]);
  assert.ok(every.every(([name]) => name === "tick") && cron.every(([name]) => name === "second"));
  assert.ok(every[3][2] - every[0][2] >= 400 - CLOCKS_MS);
  assert.deepEqual(await counts(queue), { completed: 6 });
  // A scheduler that is put again replaces what it was.
  await queue.upsertJobScheduler("changed", { every: 3_600_000 }, { name: "old" });
  await queue.upsertJobScheduler("changed", { every: 100, limit: 2 }, { name: "new" });
  await until(() => ticks.filter(([name]) => name === "new").length === 2, "the changed scheduler's jobs");
});

test("retries with fixed and exponential pauses, and failures for good", async () => {
  const queue = queueOf("retries");
  const { heard } = await eventsOf("retries", "failed", "completed", "retries-exhausted");
  const attempts = {};
  workerOf("retries", async (job) => {
    (attempts[job.name] ??= []).push(Date.now());
    if (job.name === "hopeless") throw new UnrecoverableError("no use");
    if (attempts[job.name].length < job.data.succeedsAt) throw new Error(`attempt ${job.attemptsMade}`);
    return attempts[job.name].length;
  }, { concurrency: 5 });
  const backoff = (type, delay) => ({ type, delay });
  const fixed = await queue.add("fixed", { succeedsAt: 3 }, { attempts: 3, backoff: backoff("fixed", 100) });
  const growing = await queue.add("growing", { succeedsAt: 4 }, { attempts: 5, backoff: backoff("exponential", 50) });
  const immediate = await queue.add("immediate", { succeedsAt: 3 }, { attempts: 3 });
  const short = await queue.add("short", { succeedsAt: 3 }, { attempts: 2 });
  const hopeless = await queue.add("hopeless", {}, { attempts: 5 });
  await until(async () => {
    const { completed, failed } = await counts(queue);
    return completed === 3 && failed === 2;
  }, "the last attempt");
  const made = Object.fromEntries(Object.entries(attempts).map(([name, times]) => [name, times.length]));
  assert.deepEqual(made, { fixed: 3, growing: 4, immediate: 3, short: 2, hopeless: 1 });
  const pauses = ({ name }) => attempts[name].slice(1).map((time, index) => time - attempts[name][index]);
  assert.ok(pauses(fixed).every((pause) => pause >= 100 - CLOCKS_MS), `pauses: ${pauses(fixed)}`);
  pauses(growing).forEach((pause, index) => {
    assert.ok(pause >= 50 * 2 ** index - CLOCKS_MS, `pauses: ${pauses(growing)}`);
  });
  assert.equal((await queue.getJob(immediate.id)).returnvalue, 3);
  const ended = await queue.getJob(short.id);
  assert.deepEqual([ended.attemptsMade, ended.failedReason, ended.stacktrace.length], [2, "attempt 1", 2]);
  assert.equal((await queue.getJob(hopeless.id)).failedReason, "no use");
  await until(() => heard.filter(([kind]) => kind === "completed").length === 3, "the events");
  const exhausted = heard.filter(([kind]) => kind === "retries-exhausted");
  assert.ok(exhausted.some(([, job, { attemptsMade }]) => job === short.id && attemptsMade === "2"));
  // By hand.
  await ended.retry();
  await until(async () => (await ended.getState()) === "completed", "the job that was retried by hand");
  assert.deepEqual(await counts(queue), { completed: 4, failed: 1 });
});

test("a job whose worker was killed is given to another; one that stalls too often fails", async () => {
  const queue = queueOf("stalls");
  const program = `
    const { Worker } = require("bullmq");
    new Worker("stalls", () => new Promise((_, reject) => setTimeout(reject, 60_000)), {
      connection: ${JSON.stringify(connection)}, lockDuration: 300, stalledInterval: 200, concurrency: 2,
    });`;
  const victim = () => spawn(process.execPath, ["-e", program], { cwd: __dirname, stdio: "ignore" });
  const take = async (jobs) => {
    const process = victim();
    await until(async () => (await queue.getActiveCount()) === jobs, "the start of the jobs");
    process.kill("SIGKILL");
  };
  const { heard } = await eventsOf("stalls", "stalled", "completed", "failed");
  await queue.addBulk([{ name: "a", data: {} }, { name: "b", data: {} }]);
  await take(2);
  const done = [];
  const work = async (job) => void done.push(job.name);
  const rescuer = workerOf("stalls", work, { stalledInterval: 200, maxStalledCount: 1 });
  await allDone(queue, 2);
  assert.deepEqual(done.sort(), ["a", "b"]);
  await until(() => heard.filter(([kind]) => kind === "completed").length === 2, "the events");
  assert.equal(heard.filter(([kind]) => kind === "stalled").length, 2);
  await rescuer.close();
  const cursed = await queue.add("cursed", {});
  await take(1);
  workerOf("stalls", work, { stalledInterval: 200, maxStalledCount: 0 });
  await until(async () => (await cursed.getState()) === "failed", "the failure");
  assert.match((await queue.getJob(cursed.id)).failedReason, /stalled more than allowable limit/);
  assert.equal(done.includes("cursed"), false);
});

test("events tell a job's life in order, and progress, logs and results arrive", async () => {
  const queue = queueOf("events");
  const { events, heard } = await eventsOf("events", "added", "waiting", "active", "progress", "completed", "failed");
  workerOf("events", async (job) => {
    await job.updateProgress(50);
    await job.updateProgress({ part: "two" });
    await job.log("first line");
    await job.log("second line");
    if (job.data.fails) throw new Error("as asked");
    return { answer: [1, 2.5, null, "three"] };
  });
  const good = await queue.add("good", { text: "ä€\u0000" });
  assert.deepEqual(await good.waitUntilFinished(events, 10_000), { answer: [1, 2.5, null, "three"] });
  const bad = await queue.add("bad", { fails: true });
  await assert.rejects(bad.waitUntilFinished(events, 10_000), /as asked/);
  await until(() => heard.length === 12, "the last event");
  const life = (id) => heard.filter(([, job]) => job === id).map(([kind]) => kind);
  assert.deepEqual(life(good.id), ["added", "waiting", "active", "progress", "progress", "completed"]);
  assert.deepEqual(life(bad.id), ["added", "waiting", "active", "progress", "progress", "failed"]);
  const progress = heard.filter(([kind, id]) => kind === "progress" && id === good.id);
  assert.deepEqual(progress.map(([, , { data }]) => data), [50, { part: "two" }]);
  assert.deepEqual(await queue.getJobLogs(good.id), { logs: ["first line", "second line"], count: 2 });
  const seen = await queue.getJob(good.id);
  assert.deepEqual([seen.data, seen.progress], [{ text: "ä€\u0000" }, { part: "two" }]);
});

test("a paused queue keeps its jobs, a paused worker takes none", async () => {
  const queue = queueOf("pauses");
  const done = [];
  const worker = workerOf("pauses", async (job) => void done.push(job.data.number));
  await worker.waitUntilReady();
  await queue.pause();
  assert.equal(await queue.isPaused(), true);
  for (let number = 0; number < 10; number++) await queue.add("job", { number }, number === 9 ? { priority: 1 } : {});
  await sleep(200);
  assert.deepEqual(done, []);
  await queue.resume();
  await allDone(queue, 10);
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await worker.pause();
  await queue.add("job", { number: 10 });
  await sleep(200);
  assert.deepEqual(await counts(queue), { waiting: 1, completed: 10 });
  worker.resume();
  await allDone(queue, 11);
});

test("jobs of one name or one purpose are not doubled", async () => {
  const queue = queueOf("once");
  const { heard } = await eventsOf("once", "deduplicated", "duplicated");
  await Promise.all(Array.from({ length: 20 }, () => queue.add("job", {}, { jobId: "one" })));
  const first = await queue.add("job", { version: 0 }, { deduplication: { id: "purpose" } });
  for (let version = 1; version < 5; version++) {
    const again = await queue.add("job", { version }, { deduplication: { id: "purpose" } });
    assert.equal(again.id, first.id);
  }
  const throttled = { deduplication: { id: "throttle", ttl: 200 } };
  const shortly = await queue.add("job", {}, throttled);
  assert.equal((await queue.add("job", {}, throttled)).id, shortly.id);
  await sleep(250);
  assert.notEqual((await queue.add("job", {}, throttled)).id, shortly.id);
  assert.deepEqual(await counts(queue), { waiting: 4 });
  assert.equal(await queue.getDeduplicationJobId("purpose"), first.id);
  await until(() => heard.length === 24, "the events");
  let runs = 0;
  workerOf("once", async () => void (runs += 1));
  await allDone(queue, 4);
  assert.equal(runs, 4);
  assert.notEqual((await queue.add("job", {}, { deduplication: { id: "purpose" } })).id, first.id);
});

test("what is kept, cleaned, drained and removed", async () => {
  const queue = queueOf("tidy");
  const worker = workerOf("tidy", async (job) => {
    if (job.name === "fails") throw new Error("as asked");
  }, { metrics: { maxDataPoints: 10 } });
  const few = { removeOnComplete: 3, removeOnFail: { count: 2 } };
  const named = (number) => ({ name: number % 2 ? "fails" : "works", data: {}, opts: few });
  await queue.addBulk(Array.from({ length: 20 }, (_, number) => named(number)));
  await until(async () => (await queue.getMetrics("completed")).meta.count === 10, "the last job");
  await until(async () => (await queue.getMetrics("failed")).meta.count === 10, "the last failure");
  assert.deepEqual(await counts(queue), { completed: 3, failed: 2 });
  await queue.add("gone", {}, { removeOnComplete: true });
  await until(async () => (await queue.getMetrics("completed")).meta.count === 11, "the job that goes");
  assert.deepEqual(await counts(queue), { completed: 3, failed: 2 });
  await worker.close();
  assert.equal((await queue.clean(0, 2, "completed")).length, 2);
  assert.equal((await queue.clean(0, 0, "failed")).length, 2);
  const jobs = await queue.addBulk(Array.from({ length: 10 }, (_, number) => ({ name: "job", data: { number } })));
  await queue.add("later", {}, { delay: 3_600_000 });
  assert.equal(await queue.remove(jobs[4].id), 1);
  await jobs[5].updateData({ number: 50 });
  assert.deepEqual((await queue.getWaiting(2, 5)).map((job) => job.data.number), [2, 3, 50, 6]);
  await queue.drain();
  assert.deepEqual(await counts(queue), { delayed: 1, completed: 1 });
  await queue.drain(true);
  assert.deepEqual(await counts(queue), { completed: 1 });
});

test("an obliterated queue leaves nothing behind", async () => {
  const flows = open(FlowProducer);
  const queue = queueOf("doomed");
  const other = queueOf("survivor");
  await other.add("job", {});
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const worker = workerOf("doomed", () => held);
  await queue.add("active", {});
  await until(async () => (await queue.getActiveCount()) === 1, "the start of the job");
  await queue.addBulk(Array.from({ length: 2500 }, (_, number) => ({ name: "waits", data: { number } })));
  await queue.add("delayed", {}, { delay: 3_600_000 });
  await queue.add("prioritized", {}, { priority: 4 });
  await queue.upsertJobScheduler("scheduler", { every: 3_600_000, startDate: Date.now() + 3_600_000 });
  await flows.add({ name: "parent", queueName: "doomed", children: [{ name: "child", queueName: "doomed" }] });
  await assert.rejects(queue.obliterate(), /non-empty queue|active jobs/);
  await queue.obliterate({ force: true });
  assert.deepEqual(await client.keys("bull:doomed:*"), []);
  assert.deepEqual(await counts(other), { waiting: 1 });
  worker.removeAllListeners("error");
  worker.on("error", () => {});
  release();
});
