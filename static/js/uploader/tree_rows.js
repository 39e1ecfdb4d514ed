// The destination tree as rows for the virtual list: folders first, then files, both by name.

const byName = new Intl.Collator("en", { numeric: true });

/**
 * @typedef {{name: string, path: string, folders: Map<string, Folder>, files: object[], count: number, bytes: number,
 *   problems: number, sorted: boolean}} Folder
 */

function newFolder(name, path) {
  return { name, path, folders: new Map(), files: [], count: 0, bytes: 0, problems: 0, sorted: false };
}

/**
 * Folders with their totals, from files with destination paths.
 * @param {{id: number, path: string, size: number}[]} files
 * @param {Map<number, string>} problems by file id
 */
export function buildTree(files, problems = new Map()) {
  const root = newFolder("", "");
  const known = new Map([["", root]]);
  for (const file of files) {
    const cut = file.path.lastIndexOf("/");
    const folder = openFolder(known, cut === -1 ? "" : file.path.slice(0, cut));
    folder.files.push(file);
    const troubled = problems.has(file.id) ? 1 : 0;
    for (let at = folder; at; at = at.parent) {
      at.count += 1;
      at.bytes += file.size;
      at.problems += troubled;
    }
  }
  return root;
}

function openFolder(known, path) {
  const there = known.get(path);
  if (there) return there;
  const cut = path.lastIndexOf("/");
  const parent = openFolder(known, cut === -1 ? "" : path.slice(0, cut));
  const name = path.slice(cut + 1);
  const folder = newFolder(name, path);
  folder.parent = parent;
  parent.folders.set(name, folder);
  known.set(path, folder);
  return folder;
}

function sortOnce(folder) {
  if (folder.sorted) return;
  folder.folders = new Map([...folder.folders].sort(([a], [b]) => byName.compare(a, b)));
  folder.files.sort((a, b) => byName.compare(a.path, b.path));
  folder.sorted = true;
}

/** Which folders to show opened at first: all of a small tree; of a large one the chain down to the first fork. */
export function foldersToOpen(root, smallTree = 200) {
  const open = new Set();
  const everything = root.count <= smallTree;
  const visit = (folder) => {
    for (const child of folder.folders.values()) {
      open.add(child.path);
      if (everything || child.folders.size === 1) visit(child);
    }
  };
  if (everything || (root.folders.size === 1 && root.files.length === 0)) visit(root);
  return open;
}

/**
 * The rows that are visible when the folders in `open` are opened.
 * @param {Folder} root
 * @param {Set<string>} open paths of opened folders
 * @returns {{kind: "folder" | "file", depth: number, name: string, path: string}[]}
 */
export function visibleRows(root, open) {
  const rows = [];
  const visit = (folder, depth) => {
    sortOnce(folder);
    for (const child of folder.folders.values()) {
      const isOpen = open.has(child.path);
      rows.push({
        kind: "folder", depth, name: child.name, path: child.path, isOpen,
        count: child.count, size: child.bytes, problems: child.problems,
      });
      if (isOpen) visit(child, depth + 1);
    }
    for (const file of folder.files) {
      rows.push({ kind: "file", depth, name: file.path.slice(file.path.lastIndexOf("/") + 1), path: file.path, size: file.size, id: file.id, cause: file.cause ?? "" });
    }
  };
  visit(root, 0);
  return rows;
}
