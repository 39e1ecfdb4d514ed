import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Problem, Unreachable } from "../../static/js/uploader/api.js";
import { Gate } from "../../static/js/uploader/gate.js";
import { Scheduler } from "../../static/js/uploader/scheduler.js";

const LARGE = 1000;
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");

globalThis.document ??= { baseURI: "http://test.invalid/" };

/** The protocol's server in memory: plan, bundles, and tus as `send` sees it. It verifies digests as the real one does. */
class FakeServer {
  known = new Set();
  staged = new Map();
  uploads = new Map();
  log = { plans: [], bundles: [], sent: 0, most: 0, now: 0 };
  trouble = async () => {};

  call = async (method, url, { files, paths } = {}) => {
    await this.trouble("call", url);
    if (url === "version") return { body: { staged: this.#counts() } };
    if (url === "plan") {
      this.log.plans.push(files.length);
      return { body: { files: files.map((file) => this.#plan(file)) } };
    }
    const id = `http://test.invalid/tus/${this.uploads.size}`;
    this.log.bundles.push(paths);
    this.uploads.set(id, { paths, parts: [] });
    return { location: id };
  };

  headers = () => ({});

  #counts() {
    const rows = [...this.staged.values()];
    const stored = rows.filter(({ sha256 }) => this.known.has(sha256));
    return { file_count: rows.length, stored_count: stored.length, stored_size: stored.reduce((sum, { size }) => sum + size, 0) };
  }

  #plan({ path, size, sha256 }) {
    const before = this.staged.get(path);
    if (!before || (sha256 !== undefined && before.sha256 !== sha256)) this.staged.set(path, { size, sha256, upload: null });
    const row = this.staged.get(path);
    if (this.known.has(row.sha256)) return { path, state: "stored" };
    return row.upload ? { path, state: "partial", upload: row.upload, offset: 0 } : { path, state: "needed" };
  }

  send = async ({ body, url, metadata, signal, onUrl, onOffset }) => {
    this.log.now += 1;
    this.log.most = Math.max(this.log.most, this.log.now);
    try {
      const id = url ?? `http://test.invalid/tus/${this.uploads.size}`;
      if (!url) this.uploads.set(id, { paths: [metadata.path], parts: [] });
      if (metadata) this.staged.get(metadata.path).upload = id;
      onUrl(id);
      onOffset(Math.floor(body.size / 2));
      await new Promise((resolve) => setTimeout(resolve, 2));
      signal.throwIfAborted();
      await this.trouble("send", id, this.uploads.get(id));
      const bytes = Buffer.from(await body.arrayBuffer());
      this.log.sent += bytes.length;
      this.#finish(this.uploads.get(id).paths, bytes);
      onOffset(body.size);
    } finally {
      this.log.now -= 1;
    }
  };

  #finish(paths, bytes) {
    let offset = 0;
    const errors = [];
    for (const path of paths) {
      const row = this.staged.get(path);
      const actual = sha(bytes.subarray(offset, offset + row.size));
      offset += row.size;
      if (actual === row.sha256) this.known.add(actual);
      else errors.push({ path, detail: "not what was declared" });
      row.upload = null;
    }
    if (errors.length > 0) throw new Problem(460, { detail: "damaged", errors });
  }
}

const pool = (digest = sha) => ({
  backlog: 0, pause() {}, resume() {},
  hash: async (file) => ({ sha256: digest(Buffer.from(await file.arrayBuffer())) }),
});
const online = { ready: async () => {}, lost: async () => {}, signedOut: async () => {} };

function begin(server, parts = {}) {
  return new Scheduler({
    api: server, connection: online, gate: new Gate(6), pool: pool(), send: server.send, urls: { version: "version", plan: "plan", bundles: "bundles", tus: "/tus" },
    limits: { requestBytes: 100, bundleBytes: 4000, largeBytes: LARGE }, identity: { team: "t", dataset: "d", version: "1" }, ...parts,
  });
}
const file = (path, bytes) => ({ path, size: bytes.length, file: new File([bytes], path) });
const small = (count, prefix = "f") => Array.from({ length: count }, (_, n) => file(`${prefix}/${n}`, `${prefix} ${n} `.repeat(n % 7)));

async function ended(run, phases = ["finished", "stopped"]) {
  for (let look = 0; !phases.includes(run.phase); look += 1) {
    assert.ok(look < 2000, `still ${run.phase}: ${JSON.stringify(run.items.counts)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("small files travel in bundles, large ones alone, and the server verifies all", async () => {
  const server = new FakeServer();
  const run = begin(server);
  run.start([...small(2500), file("large/1", "x".repeat(5000)), file("large/2", "y".repeat(1000)), file("empty", "")]);
  await ended(run);
  assert.equal(run.phase, "finished");
  assert.deepEqual([run.items.counts.done, run.items.counts.failed], [2503, 0]);
  assert.deepEqual(run.verified, { count: 2503, bytes: run.items.bytes });
  assert.equal(run.items.settledBytes, run.items.bytes);
  assert.ok(server.log.most <= 4);
  assert.ok(server.log.bundles.length < 30);
  assert.ok(server.log.plans.every((count) => count <= 1000));
});

test("a second run sends no byte, and equal files are sent once in the first", async () => {
  const server = new FakeServer();
  const files = [file("a", "same"), file("b", "same"), file("c", "same"), file("big1", "z".repeat(LARGE)), file("big2", "z".repeat(LARGE))];
  const first = begin(server);
  first.start(files);
  await ended(first);
  assert.equal(server.log.sent, 4 + LARGE);
  assert.equal(first.items.savedCount, 3);
  const again = begin(server);
  again.start(files);
  await ended(again);
  assert.equal(server.log.sent, 4 + LARGE);
  assert.equal(again.items.savedBytes, again.items.bytes);
});

test("one unreadable, one damaged and one refused file leave the others alone and can be retried", async () => {
  const server = new FakeServer();
  let broken = true;
  const bad = file("bad/unreadable", "abc");
  bad.file.arrayBuffer = async () => {
    if (broken) throw Object.assign(new Error("gone"), { name: "NotReadableError" });
    return new TextEncoder().encode("abc").buffer;
  };
  const lying = pool((bytes) => (broken && String(bytes) === "changed" ? sha("before") : sha(bytes)));
  const run = begin(server, { pool: lying });
  run.start([...small(50), bad, file("bad/changed", "changed"), file("bad/large", "q".repeat(LARGE))]);
  server.trouble = async (kind, id, upload) => {
    if (broken && kind === "send" && upload.paths[0] === "bad/large") throw new Problem(422, { errors: [{ path: "bad/large", detail: "no thanks" }] });
  };
  await ended(run);
  assert.deepEqual(run.items.list.filter(({ state }) => state === "failed").map(({ path, cause }) => [path, cause.slice(0, 13)]), [
    ["bad/unreadable", "It can't be r"], ["bad/changed", "not what was "], ["bad/large", "no thanks"],
  ]);
  assert.equal(run.items.counts.done, 50);
  broken = false;
  run.retry(run.items.list);
  await ended(run);
  assert.deepEqual([run.items.counts.done, run.items.counts.failed], [53, 0]);
});

test("pausing stops the sending, resuming continues with the same uploads", async () => {
  const server = new FakeServer();
  const run = begin(server);
  run.start([...small(300), file("large", "x".repeat(5000))]);
  // In the middle of the first transfer, half of its bytes on the way.
  server.trouble = async (kind) => {
    if (kind !== "send") return;
    server.trouble = async () => {};
    run.pause();
    throw new DOMException("halted", "AbortError");
  };
  await ended(run, ["paused"]);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { sent } = server.log;
  assert.equal(server.log.now, 0);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(server.log.sent, sent);
  assert.equal(run.phase, "paused");
  run.resume();
  await ended(run);
  assert.equal(run.items.counts.done, 301);
  assert.equal([...server.uploads.values()].filter(({ paths }) => paths[0] === "large").length, 1);
});

test("a lost network is waited for, then the same upload goes on", async () => {
  const server = new FakeServer();
  let losses = 0;
  let waits = 0;
  server.trouble = async (kind) => {
    if (kind !== "send") return;
    losses += 1;
    if (losses < 5) throw new Unreachable(new TypeError("offline"));
  };
  const run = begin(server, { connection: { ...online, lost: async () => { waits += 1; } } });
  run.start([...small(20), file("large", "x".repeat(5000))]);
  await ended(run);
  assert.equal(run.items.counts.done, 21);
  assert.ok(waits >= 3);
});

test("an upload that vanished on the server is planned and sent anew", async () => {
  const server = new FakeServer();
  let gone = 1;
  server.trouble = async (kind, id, upload) => {
    if (kind === "send" && upload.paths[0] === "large" && gone > 0) {
      gone -= 1;
      server.staged.get("large").upload = null;
      throw new Problem(410, { detail: "expired" });
    }
  };
  const run = begin(server);
  run.start([file("large", "x".repeat(5000))]);
  await ended(run);
  assert.equal(run.items.counts.done, 1);
});

test("a version that takes no more files stops everything; a full disk pauses", async () => {
  const sealed = new FakeServer();
  sealed.trouble = async () => {
    throw new Problem(409, { detail: "sealed" });
  };
  const run = begin(sealed);
  run.start(small(5));
  await ended(run);
  assert.deepEqual([run.phase, run.cause], ["stopped", "sealed"]);

  const full = new FakeServer();
  let space = false;
  full.trouble = async (kind) => {
    if (kind === "send" && !space) {
      throw new Problem(413, { type: "urn:flexai:problem:out-of-space", title: "Not enough disk space", detail: "no room" });
    }
  };
  const paused = begin(full);
  paused.start(small(5));
  await ended(paused, ["paused"]);
  assert.equal(paused.cause, "no room");
  space = true;
  paused.resume();
  await ended(paused);
  assert.equal(paused.items.counts.done, 5);
});

test("what another client took away meanwhile is found out at the end", async () => {
  const server = new FakeServer();
  const run = begin(server);
  server.trouble = async (kind, url) => {
    if (url === "version") server.known.delete(sha("two"));
  };
  run.start([file("a", "one"), file("b", "two")]);
  await ended(run);
  assert.deepEqual(run.items.list.map(({ state }) => state), ["done", "failed"]);
  assert.deepEqual(run.verified, { count: 1, bytes: 3 });
});

test("a proxy that refuses large requests gets smaller ones; a file the server never takes fails at once", async () => {
  const server = new FakeServer();
  const chunks = [];
  const send = (sending) => {
    chunks.push(sending.chunkBytes);
    if (sending.metadata?.path === "huge") throw new Problem(413, { title: "Too large", detail: "too large for this server" });
    if (sending.chunkBytes > 400_000) throw new Problem(413);
    return server.send(sending);
  };
  const limits = { requestBytes: 1_600_000, bundleBytes: 4000, largeBytes: LARGE };
  const run = begin(server, { send: async (sending) => send(sending), limits });
  run.start([file("large", "x".repeat(5000))]);
  await ended(run);
  assert.deepEqual(chunks, [1_600_000, 800_000, 400_000]);
  run.start([file("huge", "y".repeat(5000))]);
  await ended(run);
  assert.deepEqual(chunks.slice(3), [400_000]);
  assert.equal(run.items.find("huge").cause, "too large for this server");
});

test("a file that can't be read is declared, so that the server refuses to seal without it", async () => {
  const server = new FakeServer();
  const bad = file("bad", "abc");
  bad.file.arrayBuffer = async () => {
    throw new DOMException("gone", "NotFoundError");
  };
  const run = begin(server);
  run.start([bad, ...small(1500)]);
  await ended(run);
  assert.equal(run.items.counts.failed, 1);
  assert.equal(server.staged.size, 1501);
});

test("a name that the server refuses fails alone", async () => {
  const server = new FakeServer();
  server.trouble = async (kind, url) => {
    if (url === "plan" && !server.refused) {
      server.refused = true;
      throw new Problem(422, { detail: "bad", errors: [{ path: "f/3", detail: "a bad name" }] });
    }
  };
  const run = begin(server);
  run.start(small(10));
  await ended(run);
  assert.deepEqual([run.items.counts.done, run.items.counts.failed], [9, 1]);
});

test("what can't be read in a drop has failed from the start, and files are declared, so that no seal misses them", async () => {
  const server = new FakeServer();
  const run = begin(server);
  const cause = "It can't be read.";
  run.start([
    ...small(10), { path: "locked.bin", cause, entry: {} }, { path: "locked", cause, entry: {}, isFolder: true },
  ]);
  await ended(run);
  assert.deepEqual([run.items.counts.done, run.items.counts.failed, run.items.count], [10, 2, 12]);
  assert.equal(run.items.find("locked.bin").cause, cause);
  assert.ok(server.staged.has("locked.bin"));
  assert.ok(!server.staged.has("locked"), "a folder would stand in the way of its own files");
  assert.ok(server.staged.has("locked/"), "the server is told of it in a way of its own");

  // Both are picked again, and can be read now: the folder gives way to its files.
  run.retry(run.items.list);
  await ended(run);
  assert.equal(run.items.counts.failed, 2);
  run.start([file("locked.bin", "abc"), file("locked/a", "def")]);
  await ended(run);
  assert.deepEqual([run.items.counts.done, run.items.counts.failed, run.items.count], [12, 0, 12]);
  assert.equal(run.items.bytes, server.log.sent);
});

test("a refused name keeps nothing unreadable from being declared", async () => {
  const server = new FakeServer();
  server.trouble = async (kind, url) => {
    if (url === "plan" && !server.refused) {
      server.refused = true;
      throw new Problem(422, { detail: "bad", errors: [{ path: "f/3", detail: "a bad name" }] });
    }
  };
  const run = begin(server);
  run.start([...small(10), { path: "locked.bin", cause: "It can't be read.", entry: {} }]);
  await ended(run);
  assert.deepEqual([run.items.counts.done, run.items.counts.failed], [9, 2]);
  assert.ok(server.staged.has("locked.bin"));
});

test("what is added while the server is asked for the last word is sent, too", async () => {
  const server = new FakeServer();
  const run = begin(server);
  server.trouble = async (kind, url) => {
    if (url !== "version" || run.items.count > 5) return;
    assert.equal(run.phase, "checking");
    run.start([file("late", "late")]);
  };
  run.start(small(5));
  await ended(run);
  assert.deepEqual([run.phase, run.items.counts.done], ["finished", 6]);
});
