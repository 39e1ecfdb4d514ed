// Before anything is sent: what was picked, where it will lie, and the choices about it.

import { icon } from "../icon.js";
import { announce, askDialog, make, namedElements, rowButton, setIcon, setText } from "./dom.js";
import { formatBytes, formatCount, formatPlural } from "./format.js";
import { pathProblem } from "./paths.js";
import { buildTree, foldersToOpen, visibleRows } from "./tree_rows.js";
import { VirtualList } from "./virtual_list.js";

const INDENT_PIXELS = 18;
const DEEPEST_INDENT = 10;

/** Events: "start" when the user wants the selection sent, "change" when it became empty or filled. */
export class ReviewView extends EventTarget {
  #selection;
  #root;
  #el;
  #list;
  #tree;
  #open = new Set();
  #rows = [];
  #seenFolders = new Set();

  /** @param {HTMLElement} root @param {import("./selection.js").Selection} selection */
  constructor(root, selection) {
    super();
    this.#root = root;
    this.#selection = selection;
    this.#el = namedElements(root);
    this.#list = new VirtualList(this.#el.tree, { makeRow: makeTreeRow, fillRow: (row, index) => this.#fill(row, this.#rows[index]) });
    this.#list.addEventListener("act", ({ detail }) => this.#act(detail.action, this.#rows[detail.index]));
    this.#list.addEventListener("key", (event) => this.#key(event));
    this.#el.keepTop.addEventListener("change", () => this.#choose({ keepTop: this.#el.keepTop.checked }));
    this.#el.prefix.addEventListener("input", () => this.#choose({ prefix: this.#el.prefix.value }));
    this.#el.hidden.addEventListener("change", () => this.#choose({ hidden: this.#el.hidden.value }));
    this.#el.restore.addEventListener("click", () => this.#change(() => selection.restoreRemoved()));
    this.#el.startOver.addEventListener("click", () => this.#change(() => selection.clear()));
    this.#el.start.addEventListener("click", () => this.dispatchEvent(new Event("start")));
  }

  #choose(choice) {
    this.#change(() => Object.assign(this.#selection, choice));
  }

  #change(mutate) {
    mutate();
    this.show();
    this.dispatchEvent(new Event("change"));
  }

  /** Draws the selection anew. */
  show() {
    const resolved = this.#selection.resolve();
    this.#tree = buildTree(resolved.files, resolved.problems);
    // Folders that are new to the tree open by the rule; what the user opened or closed stays so.
    for (const path of foldersToOpen(this.#tree)) if (!this.#seenFolders.has(path)) this.#open.add(path);
    this.#rememberFolders(this.#tree);
    this.#showChoices(resolved);
    this.#showNotes(resolved);
    this.#showRows();
    setText(this.#el.total, `${formatPlural(resolved.files.length, "file")}, ${formatBytes(resolved.bytes)}`);
    setText(this.#el.startLabel, `Upload ${formatPlural(resolved.files.length, "file")}`);
    // What can't be read alone is nothing to upload.
    this.#el.start.disabled = resolved.problems.size > 0 || !resolved.files.some(({ file }) => file);
  }

  #rememberFolders(folder) {
    for (const child of folder.folders.values()) {
      this.#seenFolders.add(child.path);
      this.#rememberFolders(child);
    }
  }

  #showChoices({ topFolders, keepTop }) {
    const { keepTop: box, keepTopField, keepTopLabel, hidden, prefix } = this.#el;
    keepTopField.hidden = topFolders.length === 0;
    const one = topFolders.length === 1;
    setText(keepTopLabel, one ? `Keep the top folder “${topFolders[0]}”` : `Keep the names of the ${topFolders.length} top folders`);
    box.checked = keepTop;
    hidden.value = this.#selection.hidden;
    if (document.activeElement !== prefix) prefix.value = this.#selection.prefix;
    const shown = this.#selection.prefix;
    const problem = shown === "" ? "" : pathProblem(shown);
    setText(this.#el.prefixError, problem);
    prefix.setAttribute("aria-invalid", String(problem !== ""));
  }

  #showNotes({ files, leftOut, leftOutCount, removedCount, replacedCount, problems }) {
    const names = [...leftOut].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([name, count]) => `${name} ×${formatCount(count)}`);
    const hidden = leftOutCount === 0 ? "" : `${formatPlural(leftOutCount, "hidden or system file")} left out: ${names.join(", ")}${leftOut.size > 4 ? " …" : ""}.`;
    this.#note("leftOut", hidden);
    this.#note("replaced", replacedCount === 0 ? "" : `${formatPlural(replacedCount, "file has", "files have")} the same destination as another; the one added last is used.`);
    const unreadable = files.filter(({ file }) => !file).length;
    this.#note("unreadable", unreadable === 0 ? "" : `${formatPlural(unreadable, "entry", "entries")} can't be read; the list says why. The version is not sealed without what is in this list, unless you say so.`);
    this.#note("problems", problems.size === 0 ? "" : `${formatPlural(problems.size, "path")} can't be used. Rename or remove what is marked in the list.`);
    this.#note("removed", removedCount === 0 ? "" : `${formatPlural(removedCount, "file")} removed from the list.`);
    this.#el.restore.hidden = removedCount === 0;
  }

  #note(name, text) {
    const note = this.#el[`${name}Note`];
    note.hidden = text === "";
    setText(note.querySelector("[data-text]"), text);
  }

  #showRows() {
    this.#rows = visibleRows(this.#tree, this.#open);
    this.#list.update(this.#rows.length);
  }

  #fill(row, data) {
    const { cell, toggle, glyph, name, note, size, edit, remove } = row.parts;
    const isFolder = data.kind === "folder";
    const problem = isFolder ? "" : this.#selection.resolve().problems.get(data.id) ?? data.cause;
    row.setAttribute("aria-level", String(data.depth + 1));
    if (isFolder) row.setAttribute("aria-expanded", String(data.isOpen));
    else row.removeAttribute("aria-expanded");
    row.classList.toggle("is-bad", problem !== "" || data.problems > 0);
    cell.style.paddingInlineStart = `${8 + INDENT_PIXELS * Math.min(data.depth, DEEPEST_INDENT)}px`;
    toggle.hidden = !isFolder;
    setIcon(glyph, isFolder ? (data.isOpen ? "folder-open" : "folder") : "file");
    setText(name, data.name || "(no name)");
    name.title = data.path;
    setText(note, problem || (isFolder ? formatPlural(data.count, "file") : ""));
    setText(size, formatBytes(data.size));
    for (const [button, verb] of [[edit, "Rename"], [remove, "Remove"]]) {
      const label = `${verb} ${data.path}`;
      if (button.title !== label) {
        button.title = label;
        button.setAttribute("aria-label", label);
      }
    }
  }

  #key(event) {
    const data = this.#rows[event.detail.index];
    const action = { Enter: "toggle", " ": "toggle", ArrowRight: "open", ArrowLeft: "close", F2: "rename", Delete: "remove", Backspace: "remove" }[event.detail.key];
    if (!action) return;
    event.preventDefault();
    this.#act(action, data);
  }

  #act(action, data) {
    if (action === "remove") this.#remove(data);
    else if (action === "rename") this.#rename(data);
    else if (data.kind === "folder") this.#toggle(data, action);
    else if (action === "close") this.#goToParent(data);
  }

  #toggle(data, action) {
    const open = action === "toggle" ? !data.isOpen : action === "open";
    if (open === data.isOpen) {
      if (!open) this.#goToParent(data);
      return;
    }
    if (open) this.#open.add(data.path);
    else this.#open.delete(data.path);
    this.#showRows();
  }

  #goToParent({ path }) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    const index = this.#rows.findIndex((row) => row.kind === "folder" && row.path === parent);
    if (index >= 0) this.#list.go(index);
  }

  #remove(data) {
    const ids = data.kind === "file" ? [data.id]
      : this.#selection.resolve().files.filter(({ path }) => path.startsWith(`${data.path}/`)).map(({ id }) => id);
    this.#change(() => this.#selection.remove(ids));
    announce(`Removed ${data.path}, ${formatPlural(ids.length, "file")}.`);
  }

  async #rename(data) {
    const { renameDialog, renamePath, renameTitle, renameError } = this.#el;
    setText(renameTitle, data.kind === "folder" ? "Move or rename the folder" : "Move or rename the file");
    renamePath.value = data.path;
    const check = () => {
      const problem = pathProblem(renamePath.value.trim());
      // An empty folder path is fine: it moves the files up to the top.
      setText(renameError, data.kind === "folder" && renamePath.value.trim() === "" ? "" : problem);
      renamePath.setAttribute("aria-invalid", String(renameError.textContent !== ""));
    };
    check();
    renamePath.oninput = check;
    const answer = await askDialog(renameDialog);
    const path = renamePath.value.trim();
    if (answer !== "rename" || renameError.textContent !== "" || path === data.path) return;
    this.#change(() => {
      if (data.kind === "folder") this.#selection.renameFolder(data.path, path);
      else this.#selection.renameFile(data.id, path);
    });
    this.#el.tree.focus();
  }
}

function makeTreeRow() {
  const toggle = make("button", "tree-toggle", { type: "button", "data-act": "toggle", tabindex: "-1", "aria-hidden": "true" }, icon("chevron-right"));
  const glyph = icon("file");
  const name = make("span", "vlist-name clip");
  const note = make("span", "vlist-note clip muted small");
  const size = make("span", "vlist-size num muted", { role: "gridcell" });
  const edit = rowButton("rename", "edit", "Rename");
  const remove = rowButton("remove", "x", "Remove");
  const cell = make("span", "vlist-main", { role: "gridcell" }, toggle, glyph, name, note);
  const row = make("div", "vlist-row", { role: "row" }, cell, size, make("span", "vlist-act", { role: "gridcell" }, edit, remove));
  row.parts = { cell, toggle, glyph, name, note, size, edit, remove };
  return row;
}
