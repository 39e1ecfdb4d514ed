import assert from "node:assert/strict";
import { test } from "node:test";
import { Selection } from "../../static/js/uploader/selection.js";

let stamp = 1;
const pick = (...paths) => paths.map((path) => {
  stamp += 1;
  return { path, file: new File(["x".repeat(path.length)], path.split("/").at(-1), { lastModified: stamp }) };
});
const paths = (selection) => selection.resolve().files.map(({ path }) => path).sort();

function selected(...names) {
  const selection = new Selection();
  selection.add(pick(...names));
  return selection;
}

test("a single top folder is dropped, several are kept, and the user has the last word", () => {
  const selection = selected("photos/a.jpg", "photos/sub/b.jpg");
  assert.deepEqual(paths(selection), ["a.jpg", "sub/b.jpg"]);
  selection.add(pick("labels/a.txt"));
  assert.deepEqual(paths(selection), ["labels/a.txt", "photos/a.jpg", "photos/sub/b.jpg"]);
  selection.keepTop = false;
  assert.deepEqual(paths(selection), ["a.jpg", "a.txt", "sub/b.jpg"]);
});

test("loose files keep their names whatever is chosen for folders", () => {
  const selection = selected("readme.md", "top/readme.md");
  assert.deepEqual(paths(selection), ["readme.md"]);
  assert.equal(selection.resolve().replacedCount, 1);
  selection.keepTop = true;
  assert.deepEqual(paths(selection), ["readme.md", "top/readme.md"]);
});

test("system files are left out and counted; dot files too when asked", () => {
  const selection = selected("t/a", "t/.DS_Store", "t/x/Thumbs.db", "t/__MACOSX/y", "t/.git/config", "t/._a", "t/.env", "t/.cache/z");
  assert.deepEqual(paths(selection), [".cache/z", ".env", "a"]);
  assert.equal(selection.resolve().leftOutCount, 5);
  selection.hidden = "dot";
  assert.deepEqual(paths(selection), ["a"]);
  selection.hidden = "all";
  assert.equal(selection.resolve().files.length, 8);
});

test("a prefix and renames compose", () => {
  const selection = selected("t/a/one", "t/a/two", "t/b");
  selection.prefix = "/train/";
  assert.deepEqual(paths(selection), ["train/a/one", "train/a/two", "train/b"]);
  selection.renameFolder("train/a", "train/c/d");
  const { id } = selection.resolve().files.find(({ path }) => path === "train/b");
  selection.renameFile(id, "elsewhere/b");
  assert.deepEqual(paths(selection), ["elsewhere/b", "train/c/d/one", "train/c/d/two"]);
  selection.prefix = "val";
  assert.deepEqual(paths(selection), ["elsewhere/b", "val/c/d/one", "val/c/d/two"]);
});

test("removed entries can be put back", () => {
  const selection = selected("t/a", "t/b");
  selection.remove([selection.resolve().files[0].id]);
  assert.deepEqual(paths(selection), ["b"]);
  selection.restoreRemoved();
  assert.deepEqual(paths(selection), ["a", "b"]);
});

test("decomposed names become one spelling", () => {
  const selection = selected("t/e\u0301", "t/é");
  assert.deepEqual(paths(selection), ["é"]);
});

test("a path that is a file and a folder, and illegal names, are problems of their entries", () => {
  const selection = selected("t/a", "t/a/b", "t/back\\slash", "t/good");
  const { problems, files } = selection.resolve();
  assert.deepEqual(files.filter(({ id }) => problems.has(id)).map(({ path }) => path).sort(), ["a", "back\\slash"]);
});

test("picking the same folder again with kept choices gives the same destinations", () => {
  const names = ["t/a/one", "t/b", "t/c"];
  const first = selected(...names);
  first.keepTop = true;
  first.prefix = "p";
  first.renameFolder("p/t/a", "p/moved");
  first.remove([first.resolve().files.find(({ path }) => path === "p/t/c").id]);
  const again = selected(...names);
  again.applyChoices(JSON.parse(JSON.stringify(first.choices())));
  assert.deepEqual(paths(again), paths(first));
});

test("thirty thousand files resolve fast", () => {
  const selection = new Selection();
  selection.add(Array.from({ length: 30_000 }, (_, n) => ({ path: `top/d${n % 300}/file ${n}.bin`, file: { size: 1, lastModified: 1, name: "f" } })));
  const start = performance.now();
  selection.prefix = "x";
  assert.equal(selection.resolve().files.length, 30_000);
  assert.ok(performance.now() - start < 3000);
});
