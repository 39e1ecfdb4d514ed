import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, formatCount, formatPercent, formatPlural, formatSeconds } from "../../static/js/uploader/format.js";

test("figures are written as the server writes them", () => {
  assert.equal(formatCount(1234567), "1\u202f234\u202f567");
  assert.deepEqual([0, 999, 1000, 12_345, 999_499, 999_999, 20e9].map(formatBytes), ["0 B", "999 B", "1.00 kB", "12.3 kB", "999 kB", "1.00 MB", "20.0 GB"]);
  assert.equal(formatPlural(1, "file"), "1 file");
  assert.equal(formatPlural(2, "entry", "entries"), "2 entries");
});

test("times have two units at most", () => {
  assert.deepEqual([0.2, 59, 60, 200, 3600, 7500, 90_000].map(formatSeconds), ["1 s", "59 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min", "1 d 1 h"]);
  assert.equal(formatSeconds(Number.NaN), "");
});

test("a hundred per cent is said only when all is there", () => {
  assert.equal(formatPercent(9999, 10_000), "99 %");
  assert.equal(formatPercent(5, 5), "100 %");
  assert.equal(formatPercent(0, 0), "100 %");
});
