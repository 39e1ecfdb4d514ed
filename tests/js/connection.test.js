import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../../static/js/uploader/connection.js";

/** A clock that the test winds: timers run when asked, and the pauses are recorded. */
function wound(probe) {
  const timers = [];
  const connection = new Connection(probe, {
    setTimeout: (run, milliseconds) => timers.push({ run, milliseconds }),
    clearTimeout: () => timers.pop(),
    random: () => 1,
    now: () => 0,
  });
  return { connection, timers };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("pauses double up to half a minute, and everyone waits for one probe", async () => {
  let probes = 0;
  const { connection, timers } = wound(async () => {
    probes += 1;
    return probes < 8 ? "down" : "ok";
  });
  const waiting = Promise.all([connection.lost("gone"), connection.lost("gone too"), connection.ready()]);
  assert.equal(connection.state, "waiting");
  for (let look = 0; look < 8; look += 1) {
    timers.at(-1).run();
    await settle();
  }
  await waiting;
  assert.equal(connection.state, "online");
  assert.deepEqual(timers.map(({ milliseconds }) => milliseconds), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("an expired session is told apart from a lost network, and both end in one wait", async () => {
  const answers = ["signed-out", "signed-out", "ok"];
  const { connection, timers } = wound(async () => answers.shift());
  const states = [];
  connection.addEventListener("change", () => states.push(connection.state));
  const waiting = connection.lost();
  for (let look = 0; look < 3; look += 1) {
    timers.at(-1).run();
    await settle();
  }
  await waiting;
  assert.deepEqual([...new Set(states)], ["waiting", "signed-out", "online"]);
});

test("trying now does not wait for the timer, and never probes twice at once", async () => {
  let probes = 0;
  let answer;
  const { connection } = wound(() => {
    probes += 1;
    return new Promise((resolve) => {
      answer = resolve;
    });
  });
  const waiting = connection.lost();
  connection.tryNow();
  connection.tryNow();
  assert.equal(probes, 1);
  answer("ok");
  await waiting;
});

test("a probe that throws counts as down", async () => {
  let probes = 0;
  const { connection } = wound(async () => {
    probes += 1;
    if (probes === 1) throw new TypeError("network");
    return "ok";
  });
  const waiting = connection.lost();
  connection.tryNow();
  await settle();
  assert.equal(connection.state, "waiting");
  connection.tryNow();
  await waiting;
});
