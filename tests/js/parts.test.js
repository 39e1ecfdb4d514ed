import assert from "node:assert/strict";
import { test } from "node:test";
import { Bundler } from "../../static/js/uploader/bundler.js";
import { Gate } from "../../static/js/uploader/gate.js";
import { HashPool } from "../../static/js/uploader/hash_pool.js";
import { SpeedMeter, secondsLeft } from "../../static/js/uploader/progress.js";

test("bundles keep the order and both limits", () => {
  const bundler = new Bundler({ maxBytes: 100, maxFiles: 3 });
  for (const size of [60, 30, 20, 0, 0, 0, 0, 100]) bundler.add({ size });
  assert.ok(bundler.isFull);
  const sizes = [];
  while (bundler.count > 0) sizes.push(bundler.take().map(({ size }) => size));
  assert.deepEqual(sizes, [[60, 30], [20, 0, 0], [0, 0, 100]]);
  assert.deepEqual(bundler.take(), []);
});

test("a gate lets no more than its places through, and survives failures", async () => {
  const gate = new Gate(2);
  let inside = 0;
  let most = 0;
  const work = async (fails) => {
    inside += 1;
    most = Math.max(most, inside);
    await new Promise((resolve) => setImmediate(resolve));
    inside -= 1;
    if (fails) throw new Error("failed");
  };
  const all = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => gate.run(() => work(n % 3 === 0))));
  assert.equal(most, 2);
  assert.equal(all.filter(({ status }) => status === "rejected").length, 4);
});

test("speed follows the last seconds and falls to nothing when nothing moves", () => {
  let now = 0;
  const meter = new SpeedMeter(() => now);
  for (now = 1; now <= 20; now += 1) meter.add(100);
  assert.ok(Math.abs(meter.speed - 100) < 15, String(meter.speed));
  now = 40;
  assert.equal(meter.speed, 0);
});

test("the slower of hashing and sending decides the time left", () => {
  assert.equal(secondsLeft({ toHash: 100, hashSpeed: 10, toSend: 100, sendSpeed: 50 }), 10);
  assert.equal(secondsLeft({ toHash: 0, hashSpeed: 0, toSend: 100, sendSpeed: 50 }), 2);
  assert.ok(Number.isNaN(secondsLeft({ toHash: 5, hashSpeed: 0, toSend: 5, sendSpeed: 0 })));
});

class FakeWorker extends EventTarget {
  batches = [];
  postMessage(batch) {
    this.batches.push(batch);
  }
  answer(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  terminate() {}
}

test("the hash pool batches small files, sends large ones alone, and keeps going after an error", async () => {
  const workers = [];
  const pool = new HashPool(() => workers[workers.push(new FakeWorker()) - 1], 2);
  const results = [];
  for (const size of [...Array(100).fill(10), 1e9, 5]) results.push(pool.hash({ size }).then(({ sha256 }) => sha256, (error) => error.name));
  await Promise.resolve();
  assert.deepEqual(workers.map(({ batches }) => batches.map((batch) => batch.length)), [[64, 1], [36, 1]]);
  workers[0].answer([{ id: workers[0].batches[1][0].id, done: 5 }]);
  for (const worker of workers) {
    for (const batch of worker.batches) worker.answer(batch.map(({ id }, n) => (n === 3 ? { id, error: { name: "NotReadableError", message: "" } } : { id, sha256: "x" })));
  }
  const answers = await Promise.all(results);
  assert.equal(answers.filter((answer) => answer === "NotReadableError").length, 2);
  assert.equal(pool.backlog, 0);
});
