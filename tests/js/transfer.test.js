import assert from "node:assert/strict";
import { register } from "node:module";
import { mock, test } from "node:test";
import { Unreachable } from "../../static/js/uploader/api.js";

// The server gives the library at this address; here a fake stands in for it.
const hooks = `export const resolve = (name, context, next) =>
  name.includes("/vendor/") ? { url: "data:text/javascript,", shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
globalThis.document ??= { baseURI: "http://test.invalid/" };
const page = new EventTarget();
globalThis.addEventListener ??= page.addEventListener.bind(page);
globalThis.removeEventListener ??= page.removeEventListener.bind(page);
const { sendTus } = await import("../../static/js/uploader/transfer.js");

/** tus-js-client as far as `sendTus` sees it: the test decides what the network does. */
class FakeUpload {
  static last = null;
  aborted = false;

  constructor(body, options) {
    this.options = options;
    FakeUpload.last = this;
  }

  start() {}

  abort() {
    this.aborted = true;
  }
}
globalThis.tus = { Upload: FakeUpload };

const BYTES = 1000;

/** Begins a transfer in chunks as large as its body, with a clock that the test turns. */
function begin(context) {
  mock.timers.enable({ apis: ["setInterval", "Date"], now: 1_000_000 });
  context.after(() => mock.timers.reset());
  const told = { error: null, done: false };
  sendTus({ body: new Blob(["x".repeat(BYTES)]), url: "/tus/1", chunkBytes: BYTES, headers: () => ({}) }).then(
    () => { told.done = true; }, (error) => { told.error = error; },
  );
  const pass = async (seconds) => {
    for (let second = 0; second < seconds; second += 1) mock.timers.tick(1000);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { told, pass, upload: FakeUpload.last };
}

test("a connection that died in the middle of a request is noticed after a minute", async (context) => {
  const { told, pass, upload } = begin(context);
  upload.options.onProgress(300);
  await pass(55);
  assert.equal(told.error, null);
  await pass(10);
  assert.ok(told.error instanceof Unreachable);
  assert.ok(upload.aborted);
});

test("a server that checks what has arrived whole is waited for", async (context) => {
  const { told, pass, upload } = begin(context);
  upload.options.onProgress(BYTES);
  await pass(800);
  assert.equal(told.error, null);
  upload.options.onSuccess();
  await pass(1000);
  assert.deepEqual(told, { error: null, done: true });
});

test("a transfer begins anew when the machine has slept", async (context) => {
  const { told, pass, upload } = begin(context);
  upload.options.onProgress(BYTES);
  await pass(20);
  mock.timers.setTime(Date.now() + 600_000);
  await pass(5);
  assert.ok(told.error instanceof Unreachable);
  assert.ok(upload.aborted);
});

test("a transfer begins anew when the network is back", async (context) => {
  const { told, pass, upload } = begin(context);
  page.dispatchEvent(new Event("online"));
  await pass(1);
  assert.ok(told.error instanceof Unreachable);
  assert.ok(upload.aborted);
});

test("a transfer that has ended is left alone", async (context) => {
  const { told, pass, upload } = begin(context);
  upload.options.onSuccess();
  await pass(1);
  page.dispatchEvent(new Event("online"));
  assert.deepEqual([told.done, upload.aborted], [true, false]);
});
