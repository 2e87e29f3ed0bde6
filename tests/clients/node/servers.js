// Starts the servers that the tests of this folder talk to.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

const WITHIN_MS = 20_000;

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function until(condition, what = "what was waited for", withinMs = WITHIN_MS) {
  const giveUp = Date.now() + withinMs;
  while (!(await condition())) {
    assert.ok(Date.now() < giveUp, `${what} did not come`);
    await sleep(5);
  }
}

/** Servers with one working directory, which goes with them. */
class Servers {
  #directory = fs.mkdtempSync(path.join(os.tmpdir(), "nuthatch-node-"));
  #processes = new Map();

  /** Starts a server with more options; gives its port once it listens. */
  async start(...options) {
    const port = await freePort();
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", ...options];
    const server = spawn(process.env.NUTHATCH, args, { cwd: this.#directory, stdio: ["ignore", "ignore", "inherit"] });
    this.#processes.set(port, server);
    await until(async () => {
      assert.equal(server.exitCode, null, "the server ended");
      return new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
        socket.unref();
        setTimeout(() => socket.destroy(), 1000).unref();
      });
    }, "the server");
    return port;
  }

  /** Ends one server at once, as a crash would. */
  async kill(port) {
    const server = this.#processes.get(port);
    this.#processes.delete(port);
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGKILL");
    await ended;
  }

  async stop() {
    for (const server of this.#processes.values()) {
      const ended = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
      server.kill("SIGTERM");
      assert.equal(await ended, 0);
    }
    fs.rmSync(this.#directory, { recursive: true });
  }
}

module.exports = { Servers, sleep, until };
