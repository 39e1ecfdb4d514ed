import assert from "node:assert/strict";
import { test } from "node:test";
import { renderTerminal } from "../../static/js/job_log.js";

test("progress bars show their last state", () => {
  assert.equal(renderTerminal("10%\r50%\r100%\ndone"), "100%\ndone");
  assert.equal(renderTerminal("10%\r50%\r"), "50%");
});

test("line ends of other systems are line ends", () => {
  assert.equal(renderTerminal("a\r\nb\r\r\nc"), "a\nb\nc");
});

test("colours and titles of terminals leave no trace", () => {
  assert.equal(renderTerminal("\u001b[1;31mred\u001b[0m \u001b]0;title\u0007ü日"), "red ü日");
  assert.equal(renderTerminal("\u001b[2K\u001b[1Aup"), "up");
});

test("plain text stays as it is", () => {
  assert.equal(renderTerminal("<b>a</b>\n\n  b\t1 [2] \n"), "<b>a</b>\n\n  b\t1 [2] \n");
});
