// What the server knows: declares files to it, asks what it lacks, and lets it say at the end whether it has everything.

import { sleep } from "./api.js";

/** The server's limit for one plan, bundle or remove call. */
export const PLAN_FILES = 1000;
const CHECK_SECONDS = 2;

/** How the server names an item: a folder that couldn't be read ends with a slash. */
export function declaredPath({ path, isFolder }) {
  return isFolder ? `${path}/` : path;
}

export class Planner {
  #api;
  #urls;

  /** @param {object} api @param {{version: string, plan: string}} urls */
  constructor(api, urls) {
    this.#api = api;
    this.#urls = urls;
  }

  /** Tells the server of files whose digest is not known yet, and of folders that couldn't be read. */
  async declare(batch) {
    await this.#api.call("POST", this.#urls.plan, { files: batch.map((item) => ({ path: declaredPath(item), size: item.size })) });
  }

  /** Takes back what was declared. */
  async leaveOut(paths) {
    for (let start = 0; start < paths.length; start += PLAN_FILES) {
      await this.#api.call("POST", `${this.#urls.version}/leave-out`, { paths: paths.slice(start, start + PLAN_FILES) });
    }
  }

  /** Asks about hashed items: pairs of item and answer ({state, upload?, offset?}). */
  async ask(batch) {
    const files = batch.map(({ path, size, sha256 }) => ({ path, size, sha256 }));
    const { body } = await this.#api.call("POST", this.#urls.plan, { files });
    const answers = new Map(body.files.map((answer) => [answer.path, answer]));
    return batch.map((item) => [item, answers.get(item.path) ?? { state: "missing" }]);
  }

  /** The server's counts of the version: {file_count, stored_count, stored_size, ..}; null when it is no longer open. */
  async counts() {
    return (await this.#api.call("GET", this.#urls.version)).body.staged;
  }
}

/**
 * Resolves to what the server has verified, {count, bytes}. Where its counts are ours, that says all; otherwise (an earlier session, another
 * client) every sent file is planned once more, and `onMissing(item)` is told of those that are not stored.
 */
export async function checkWithServer(planner, items, { onMissing, onBatch }) {
  const sent = items.list.filter(({ state }) => state === "done");
  const staged = await planner.counts();
  const agree = staged?.file_count === items.count && staged.stored_count === sent.length && staged.stored_size === items.doneBytes;
  if (agree) return { count: staged.stored_count, bytes: staged.stored_size };
  const verified = { count: 0, bytes: 0 };
  for (let start = 0; start < sent.length; start += PLAN_FILES) {
    await checkBatch(planner, sent.slice(start, start + PLAN_FILES), verified, onMissing);
    onBatch();
  }
  return verified;
}

async function checkBatch(planner, batch, verified, onMissing) {
  for (let unsure = batch; unsure.length > 0; ) {
    const later = [];
    for (const [item, { state, offset }] of await planner.ask(unsure)) {
      if (state === "stored") {
        verified.count += 1;
        verified.bytes += item.size;
      } else if (state === "partial" && offset === item.size) later.push(item);
      else onMissing(item);
    }
    // All bytes of a very large file are there, and a worker reads them once more.
    if (later.length > 0) await sleep(CHECK_SECONDS);
    unsure = later;
  }
}
