import assert from "node:assert/strict";
import { test } from "node:test";
import { buildTree, foldersToOpen, visibleRows } from "../../static/js/uploader/tree_rows.js";

const files = (...paths) => paths.map((path, id) => ({ id, path, size: 10 }));

test("folders come first, by name with numbers in order, and carry totals", () => {
  const root = buildTree(files("b.txt", "a10/x", "a2/y", "a2/z/w"));
  const rows = visibleRows(root, new Set(["a2"]));
  assert.deepEqual(rows.map(({ path, depth }) => [path, depth]), [["a2", 0], ["a2/z", 1], ["a2/y", 1], ["a10", 0], ["b.txt", 0]]);
  assert.deepEqual([rows[0].count, rows[0].size], [2, 20]);
  assert.equal(root.count, 4);
});

test("problems are counted up to the root, so that a closed folder shows them", () => {
  const root = buildTree(files("a/b/bad", "a/good"), new Map([[0, "why"]]));
  assert.equal(visibleRows(root, new Set())[0].problems, 1);
});

test("a small tree opens whole, a large one only down to the first fork", () => {
  const small = foldersToOpen(buildTree(files("a/b/c", "d/e")));
  assert.deepEqual([...small].sort(), ["a", "a/b", "d"]);
  const many = Array.from({ length: 300 }, (_, n) => `only/way/d${n}/f`);
  assert.deepEqual([...foldersToOpen(buildTree(files(...many)))].filter((path) => path.split("/").length < 3).sort(), ["only", "only/way"]);
});
