// What the user picked and where it is to go. Pure: no DOM, no network. The page asks `resolve()` for the result.

import { cleanFolder, joinPath, nameOf, normalise, pathProblem } from "./paths.js";

/** Written by operating systems and tools, of no use to a training job; left out unless the user says otherwise. */
const SYSTEM_FILES = new Set([".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized"]);
const SYSTEM_FOLDERS = new Set(["__macosx", ".git", ".svn", ".hg", ".ipynb_checkpoints", ".trashes", ".spotlight-v100", ".fseventsd"]);

/** Nearly every path is cleared by one look, before it is taken apart. */
const SUSPECT = /(?:^|\/)(?:\.|__macosx|thumbs\.db|ehthumbs\.db|desktop\.ini)/iu;

/** The name that makes a path hidden under the choice "system" or "dot"; "" when it stays. */
export function hiddenBy(path, choice) {
  if (choice === "all" || !SUSPECT.test(path)) return "";
  const parts = path.split("/");
  for (let index = 0; index < parts.length; index += 1) {
    const name = parts[index];
    const isLast = index === parts.length - 1;
    const lower = name.toLowerCase();
    if (isLast ? SYSTEM_FILES.has(lower) || lower.startsWith("._") : SYSTEM_FOLDERS.has(lower)) {
      return isLast && lower.startsWith("._") ? "._*" : name;
    }
    if (choice === "dot" && name.startsWith(".")) return isLast ? ".*" : name;
  }
  return "";
}

/**
 * @typedef {{id: number, file?: File, source: string, path: string, size: number, cause?: string, entry?: FileSystemEntry,
 *   isFolder?: boolean}} Destined one file and its destination; without `file` what can't be read (`cause`), perhaps a folder
 * @typedef {{files: Destined[], bytes: number, leftOut: Map<string, number>, leftOutCount: number, removedCount: number,
 *   replacedCount: number, problems: Map<number, string>, keepTop: boolean, topFolders: string[]}} Resolved
 */
export class Selection {
  #entries = [];
  #topFolders = new Set();
  #removed = new Set();
  #renamed = new Map();
  #resolved = null;
  #keepTop = null;
  #prefix = "";
  #hidden = "system";

  /** What one picking found, readable or not, from `walkDrop` or `walkInput`. Picking again adds to what is there. */
  add(files) {
    for (const { file, path, cause, entry, isFolder } of files) {
      const source = normalise(path);
      const cut = source.indexOf("/");
      if (cut > 0) this.#topFolders.add(source.slice(0, cut));
      this.#entries.push({ id: this.#entries.length, file, source, size: file?.size ?? 0, cause, entry, isFolder });
    }
    this.#resolved = null;
  }

  get pickedCount() {
    return this.#entries.length;
  }

  clear() {
    this.#entries = [];
    this.#topFolders.clear();
    this.#removed.clear();
    this.#renamed.clear();
    this.#resolved = null;
  }

  get prefix() {
    return this.#prefix;
  }

  set prefix(folder) {
    this.#prefix = cleanFolder(folder);
    this.#resolved = null;
  }

  get hidden() {
    return this.#hidden;
  }

  /** "system": leave out what systems write; "dot": every name that starts with a dot as well; "all": keep everything. */
  set hidden(choice) {
    this.#hidden = choice;
    this.#resolved = null;
  }

  /** null: the default, which drops the name of a single folder and keeps the names of several. */
  set keepTop(choice) {
    this.#keepTop = choice;
    this.#resolved = null;
  }

  get keepTop() {
    return this.#keepTop ?? this.#topFolders.size > 1;
  }

  remove(ids) {
    for (const id of ids) this.#removed.add(id);
    this.#resolved = null;
  }

  restoreRemoved() {
    this.#removed.clear();
    this.#resolved = null;
  }

  /** Gives one file a new destination, typed in full (with the prefix, as the tree shows it). */
  renameFile(id, path) {
    this.#renamed.set(id, this.#withoutPrefix(normalise(path.trim())));
    this.#resolved = null;
  }

  /** Moves everything below one destination folder to another. An empty new name moves it to the level of the prefix. */
  renameFolder(folder, newFolder) {
    const to = cleanFolder(newFolder);
    for (const { id, path } of this.resolve().files) {
      if (!path.startsWith(`${folder}/`)) continue;
      const rest = path.slice(folder.length + 1);
      this.#renamed.set(id, this.#withoutPrefix(to === "" ? rest : `${to}/${rest}`));
    }
    this.#resolved = null;
  }

  #withoutPrefix(path) {
    if (this.#prefix === "") return path;
    if (path.startsWith(`${this.#prefix}/`)) return path.slice(this.#prefix.length + 1);
    return `/${path}`; // outside the prefix: an absolute destination
  }

  #destination(entry, keepTop) {
    const renamed = this.#renamed.get(entry.id);
    if (renamed !== undefined) return renamed.startsWith("/") ? renamed.slice(1) : joinPath(this.#prefix, renamed);
    const cut = keepTop ? -1 : entry.source.indexOf("/");
    return joinPath(this.#prefix, entry.source.slice(cut + 1));
  }

  /** @returns {Resolved} Cached until something changes. */
  resolve() {
    this.#resolved ??= this.#work();
    return this.#resolved;
  }

  #work() {
    const keepTop = this.keepTop;
    const leftOut = new Map();
    const byPath = new Map();
    let leftOutCount = 0;
    let replacedCount = 0;
    for (const entry of this.#entries) {
      if (this.#removed.has(entry.id)) continue;
      const hidden = hiddenBy(entry.isFolder ? `${entry.source}/` : entry.source, this.#hidden);
      if (hidden !== "") {
        leftOut.set(hidden, (leftOut.get(hidden) ?? 0) + 1);
        leftOutCount += 1;
        continue;
      }
      const path = this.#destination(entry, keepTop);
      const earlier = byPath.get(path);
      if (earlier?.file && entry.file && !isSameFile(earlier.file, entry.file)) replacedCount += 1;
      byPath.set(path, { ...entry, path });
    }
    const folders = foldersOf(byPath.keys());
    // A folder that couldn't be read may have been picked again since, and its files are here.
    const files = [...byPath.values()].filter(({ path, isFolder }) => !(isFolder && folders.has(path)));
    const problems = findProblems(files, folders);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    return {
      files, bytes, leftOut, leftOutCount, replacedCount, problems, keepTop,
      removedCount: this.#removed.size, topFolders: [...this.#topFolders],
    };
  }

  /** The choices alone, to be kept in the browser: picking the same folder again then gives the same destinations. */
  choices() {
    const renamed = [];
    for (const [id, path] of this.#renamed) renamed.push([this.#entries[id].source, path]);
    const removed = [...this.#removed].map((id) => this.#entries[id].source);
    return { keepTop: this.keepTop, prefix: this.#prefix, hidden: this.#hidden, renamed, removed };
  }

  /** Applies choices from `choices()` to what is picked now. */
  applyChoices({ keepTop, prefix, hidden, renamed, removed }) {
    this.#keepTop = keepTop;
    this.#prefix = prefix;
    this.#hidden = hidden;
    const newPaths = new Map(renamed);
    const gone = new Set(removed);
    for (const { id, source } of this.#entries) {
      if (newPaths.has(source)) this.#renamed.set(id, newPaths.get(source));
      if (gone.has(source)) this.#removed.add(id);
    }
    this.#resolved = null;
  }
}

function isSameFile(a, b) {
  return a.size === b.size && a.lastModified === b.lastModified && a.name === b.name;
}

function foldersOf(paths) {
  const folders = new Set();
  for (const path of paths) {
    for (let cut = path.lastIndexOf("/"); cut > 0; cut = path.lastIndexOf("/", cut - 1)) {
      const folder = path.slice(0, cut);
      if (folders.has(folder)) break;
      folders.add(folder);
    }
  }
  return folders;
}

function findProblems(files, folders) {
  const problems = new Map();
  for (const { id, path } of files) {
    const problem = pathProblem(path);
    if (problem !== "") problems.set(id, problem);
    if (folders.has(path)) problems.set(id, `“${nameOf(path)}” is both a file and a folder.`);
  }
  return problems;
}
