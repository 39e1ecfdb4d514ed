// The files of one run and what is known of each, with totals that are kept rather than counted: the page asks four times a
// second, and there may be a million files.

/** In the order a file goes through them. `failed` may follow any. */
export const STATES = ["waiting", "hashing", "hashed", "queued", "sending", "done", "failed"];

/**
 * @typedef {{id: number, file?: File, entry?: FileSystemEntry, isFolder: boolean, path: string, size: number, state: string, sha256: string, hashed: number, sent: number,
 *   saved: boolean, cause: string, tries: number, url: string, kept: number, content?: ArrayBuffer}} Item
 *   Without a `file`, it is an `entry` that can't be read, perhaps a folder, and has failed.
 *   `content`: its bytes, kept from hashing until it is sent or found to be there (`kept` of them); `saved`: the server had the bytes; `url`: its unfinished tus upload; `cause`: why it failed.
 */

export class Items {
  /** @type {Item[]} */
  list = [];
  counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  bytes = 0;
  hashedBytes = 0;
  sentBytes = 0;
  doneBytes = 0;
  failedBytes = 0;
  savedBytes = 0;
  savedCount = 0;
  keptBytes = 0;
  #byPath = new Map();
  #nextId = 0;
  /** Folders that couldn't be read, by path. */
  #folders = new Set();

  /**
   * Adds files, and entries that can't be read; one whose path is there already takes that one's place (the user picked it again).
   * Returns the new items.
   */
  add(files) {
    return files.map(({ file, path, cause = "", entry, isFolder = false }) => {
      if (this.#folders.size > 0) this.#dropFoldersAbove(path);
      const item = this.#put({ file, path, entry, isFolder, size: file?.size ?? 0 });
      if (isFolder) this.#folders.add(path);
      else this.#folders.delete(path);
      if (!file) this.fail(item, cause);
      return item;
    });
  }

  #put({ path, ...what }) {
    const earlier = this.#byPath.get(path);
    if (earlier) return this.#replace(earlier, what);
    const item = {
      id: this.#nextId++, path, ...what, state: "waiting", sha256: "", hashed: 0, sent: 0, saved: false, cause: "", tries: 0, url: "", kept: 0, content: undefined,
    };
    this.list.push(item);
    this.#byPath.set(path, item);
    this.counts.waiting += 1;
    this.bytes += item.size;
    return item;
  }

  #replace(item, what) {
    this.reset(item);
    this.bytes += what.size - item.size;
    return Object.assign(item, what);
  }

  /** A folder that couldn't be read was picked again, and now its files are here. */
  #dropFoldersAbove(path) {
    for (const folder of this.#folders) if (path.startsWith(`${folder}/`)) this.drop(this.find(folder));
  }

  /** Forgets an entry that couldn't be read. */
  drop(item) {
    this.move(item, "waiting");
    this.counts.waiting -= 1;
    this.list.splice(this.list.indexOf(item), 1);
    this.#byPath.delete(item.path);
    this.#folders.delete(item.path);
  }

  find(path) {
    return this.#byPath.get(path);
  }

  get count() {
    return this.list.length;
  }

  /** Forgets the item's hash and progress: it begins anew. */
  reset(item) {
    this.setHashed(item, 0);
    this.setSent(item, 0);
    this.move(item, "waiting");
    Object.assign(item, { sha256: "", cause: "", tries: 0, url: "" });
  }

  move(item, state) {
    if (item.state === state) return;
    if (item.state === "done") {
      this.doneBytes -= item.size;
      if (item.saved) this.#countSaved(item, -1);
      item.saved = false;
    }
    if (item.state === "failed") this.failedBytes -= item.size;
    this.counts[item.state] -= 1;
    this.counts[state] += 1;
    item.state = state;
    if (state === "done") this.doneBytes += item.size;
    if (state === "failed") this.failedBytes += item.size;
    if (state === "done" || state === "failed" || state === "waiting") this.letGo(item);
  }

  /** Reserves memory for the item's content. */
  keep(item) {
    item.kept = item.size;
    this.keptBytes += item.kept;
  }

  /** Frees the item's content. */
  letGo(item) {
    this.keptBytes -= item.kept;
    item.kept = 0;
    item.content = undefined;
  }

  /** Done without sending: the server already had these bytes. */
  markSaved(item) {
    this.move(item, "done");
    item.saved = true;
    this.#countSaved(item, 1);
  }

  #countSaved(item, sign) {
    this.savedBytes += sign * item.size;
    this.savedCount += sign;
  }

  fail(item, cause) {
    item.cause = cause;
    this.setSent(item, 0);
    this.move(item, "failed");
  }

  setHashed(item, bytes) {
    this.hashedBytes += bytes - item.hashed;
    item.hashed = bytes;
  }

  /** Bytes of this item that the server has acknowledged or is receiving in this run. */
  setSent(item, bytes) {
    this.sentBytes += bytes - item.sent;
    item.sent = bytes;
  }

  /** Bytes that need nothing more, and those of files on their way: what the progress bar shows. */
  get settledBytes() {
    let flying = 0;
    for (const item of this.flying) flying += item.sent;
    return this.doneBytes + flying;
  }

  /** Items being sent; kept by the scheduler, few. */
  flying = new Set();
}
