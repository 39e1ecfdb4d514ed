// From a drop or a file input to a flat list of {file, path}. The path starts with the dropped folder's name, if there is one.
// The walk never blocks the page: directories are read by asynchronous calls, long lists are cut into slices.

const PARALLEL_READS = 16;
const SLICE_MILLISECONDS = 25;

/** Lets the browser paint and handle input before going on. */
export function breathe() {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}

/**
 * What a picking found.
 * @typedef {{path: string, cause: string, entry: FileSystemEntry, isFolder: boolean}} Unreadable
 * @typedef {{files: {file: File, path: string}[], emptyFolders: number, unreadable: Unreadable[]}} Found
 */

function nothingFound() {
  return { files: [], emptyFolders: 0, unreadable: [] };
}

/**
 * The roots of a drop. Must be called inside the drop event: the browser empties the list when the event is over.
 * @param {DataTransfer} transfer
 * @returns {(FileSystemEntry | File)[]}
 */
export function takeDropRoots(transfer) {
  const roots = [];
  for (const item of transfer.items ?? []) {
    if (item.kind !== "file") continue;
    const root = item.webkitGetAsEntry?.() ?? item.getAsFile();
    if (root) roots.push(root);
  }
  return roots.length > 0 ? roots : Array.from(transfer.files ?? []);
}

/**
 * Walks dropped roots. `onFound(count)` is told the running number of files.
 * @param {(FileSystemEntry | File)[]} roots
 * @returns {Promise<Found>}
 */
export async function walkDrop(roots, { onFound = () => {}, signal } = {}) {
  const found = nothingFound();
  const stack = [];
  for (const root of roots) {
    if (root instanceof File) found.files.push({ file: root, path: root.name });
    else stack.push({ entry: root, path: root.name });
  }
  let running = 0;
  await new Promise((resolve, reject) => {
    const next = () => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      while (stack.length > 0 && running < PARALLEL_READS) {
        running += 1;
        visit(stack.pop(), stack, found).then(() => {
          running -= 1;
          onFound(found.files.length);
          next();
        }, reject);
      }
      if (running === 0 && stack.length === 0) resolve();
    };
    next();
  });
  return found;
}

async function visit({ entry, path }, stack, found) {
  try {
    if (entry.isDirectory) {
      const children = await readDirectory(entry);
      if (children.length === 0) found.emptyFolders += 1;
      for (const child of children) stack.push({ entry: child, path: `${path}/${child.name}` });
    } else {
      const file = await new Promise((resolve, reject) => {
        entry.file(resolve, reject);
      });
      found.files.push({ file, path });
    }
  } catch (error) {
    found.unreadable.push({ path, cause: readFailure(error), entry, isFolder: entry.isDirectory });
  }
}

/** All entries of a directory: `readEntries` hands out at most 100 a call, so it is called until it gives none. */
async function readDirectory(directory) {
  const reader = directory.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/**
 * The files of an <input type="file">, with or without `webkitdirectory`.
 * @param {FileList | File[]} list
 * @returns {Promise<Found>}
 */
export async function walkInput(list, { onFound = () => {}, signal } = {}) {
  const found = nothingFound();
  const files = Array.from(list);
  let pausedAt = performance.now();
  for (const file of files) {
    // The first look at the size asks the file system, and waits for it: thousands of files take seconds.
    found.files.push({ file, path: file.webkitRelativePath || file.name, size: file.size });
    if (performance.now() - pausedAt < SLICE_MILLISECONDS) continue;
    onFound(found.files.length);
    await breathe();
    signal?.throwIfAborted();
    pausedAt = performance.now();
  }
  return found;
}

/** A cause a person can act on, for an error that reading a file or folder gave. */
export function readFailure(error) {
  switch (error?.name) {
    case "NotFoundError":
      return "It was moved or deleted after it was picked.";
    case "NotReadableError":
      return "It can't be read: it changed after it was picked, or the permission is missing.";
    case "SecurityError":
      return "The browser may not read it.";
    default:
      return `It can't be read (${error?.message || error?.name || "unknown cause"}).`;
  }
}
