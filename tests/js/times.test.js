import assert from "node:assert/strict";
import { test } from "node:test";
import { words } from "../../static/js/times.js";

test("the last hours are told in seconds, minutes and hours", () => {
  assert.deepEqual([0, 9, 10, 59, 60, 3599, 3600, 86_399].map(words), ["just now", "just now", "10 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "23 h ago"]);
});

test("days and times ahead keep the server's words", () => {
  assert.equal(words(86_400), null);
  assert.equal(words(-1), null);
  assert.equal(words(-14 * 86_400), null);
});
