import assert from "node:assert/strict";
import { test } from "node:test";
import { joinPath, pathProblem, cleanFolder } from "../../static/js/uploader/paths.js";

test("good paths have no problem", () => {
  for (const path of ["a", "a/b.txt", "日本/ファイル.txt", "a b/.hidden", "x".repeat(255), "é".repeat(127)]) {
    assert.equal(pathProblem(path), "", path);
  }
});

test("each rule of the tree is mirrored", () => {
  const bad = ["", "a//b", "/a", "a/", "./a", "a/..", "a\\b", "a\u0000", "a\nb", "\ud800", "x".repeat(256), "é".repeat(128), `${"abc/".repeat(1100)}x`];
  for (const path of bad) assert.notEqual(pathProblem(path), "", JSON.stringify(path.slice(0, 20)));
});

test("a typed folder loses stray slashes and spaces, and is composed", () => {
  assert.equal(cleanFolder(" /train/images/ "), "train/images");
  assert.equal(joinPath("", "a"), "a");
  assert.equal(joinPath("x/", "a"), "x/a");
  assert.equal(cleanFolder("e\u0301"), "é");
});
