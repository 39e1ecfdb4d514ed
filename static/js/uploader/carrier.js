// Carries one job over the network: a large file, or a bundle of small ones. It outlives lost connections, restarts of the server
// and expired sessions, and throws only what the scheduler must decide.

import { Unreachable, isAway, onThisOrigin, sleep } from "./api.js";
import { readFailure } from "./collect.js";

const LEAST_CHUNK_BYTES = 256 * 1024;
const BARREN_TRIES = 8; // attempts in a row that moved nothing

/** A file that can't be read, or is not what it was when it was picked. `causes`: one for each item of the job, "" for good ones. */
export class ReadFailure extends Error {
  name = "ReadFailure";
}

export class Carrier {
  #api;
  #connection;
  #gate;
  #send;
  #urls;
  #identity;
  #items;
  #meter;
  #chunkBytes;

  constructor({ api, connection, gate, send, urls, identity, chunkBytes, items, meter }) {
    this.#api = api;
    this.#connection = connection;
    this.#gate = gate;
    this.#send = send;
    this.#urls = urls;
    this.#identity = identity;
    this.#items = items;
    this.#meter = meter;
    this.#chunkBytes = chunkBytes;
  }

  /**
   * Resolves when the server has acknowledged all bytes of the job. Items of a bundle that turn out unreadable
   * are handed to `onUnreadable` and leave `job.items`.
   */
  async carry(job, { signal, onUnreadable }) {
    for (const item of job.items) this.#items.flying.add(item);
    while (job.items.length > 0) {
      signal.throwIfAborted();
      if (job.kind === "bundle" && job.url === "") job.url = await this.#createBundle(job.items);
      if (job.kind === "file") job.url = job.items[0].url;
      Object.assign(job, { offset: 0, next: 0, base: 0 });
      try {
        await this.#sendUntilDone(job, job.kind === "bundle" ? this.#bundleBody(job) : job.items[0].file, signal);
        return;
      } catch (error) {
        if (!(error instanceof ReadFailure) || job.kind === "file") throw error;
        this.#dropUnreadable(job, error.causes, onUnreadable);
      }
    }
  }

  /** The bytes back to back. Files whose content was not kept are read by the browser while it sends. */
  #bundleBody({ items }) {
    return new Blob(items.map(({ content, file }) => content ?? file));
  }

  /** Takes the items that can't be read out of the job, and makes it one that has to be created anew. */
  #dropUnreadable(job, causes, onUnreadable) {
    const { items } = job;
    Object.assign(job, { items: items.filter((_, index) => causes[index] === ""), url: "" });
    for (const [index, item] of items.entries()) if (causes[index] !== "") onUnreadable(item, causes[index]);
  }

  async #createBundle(items) {
    const { location } = await this.#api.call("POST", this.#urls.bundles, { paths: items.map(({ path }) => path) });
    return onThisOrigin(location);
  }

  async #sendUntilDone(job, body, signal) {
    for (let barren = 0; ; barren += 1) {
      await untilReady(this.#connection, signal);
      const before = job.offset;
      try {
        await this.#gate.run(() => this.#attempt(job, body, signal));
        return;
      } catch (error) {
        if (error.name === "AbortError") throw error;
        if (job.offset > before) barren = 0;
        await this.#decide(error, job, barren, signal);
      }
    }
  }

  #attempt(job, body, signal) {
    const [item] = job.items;
    const { team, dataset, version } = this.#identity;
    const target = job.url
      ? { url: job.url }
      : { endpoint: this.#urls.tus, metadata: { team, dataset, version, path: item.path, sha256: item.sha256 } };
    return this.#send({
      ...target, body, signal, chunkBytes: this.#chunkBytes, headers: () => this.#api.headers(),
      onUrl: (url) => {
        job.url = url;
        if (job.kind === "file") item.url = url;
      },
      onOffset: (offset) => this.#moved(job, offset),
    });
  }

  /** Spreads the offset of a job over its items, in order. */
  #moved(job, offset) {
    if (offset < job.offset) {
      job.next = 0;
      job.base = 0;
      for (const item of job.items) this.#items.setSent(item, 0);
    }
    this.#meter.add(offset - job.offset);
    job.offset = offset;
    while (job.next < job.items.length) {
      const item = job.items[job.next];
      const sent = Math.min(item.size, offset - job.base);
      this.#items.setSent(item, sent);
      if (sent < item.size) return;
      job.base += item.size;
      job.next += 1;
    }
  }

  /** Waits until another attempt makes sense, or throws the error when none does. */
  async #decide(error, job, barren, signal) {
    const { status } = error;
    if (error instanceof Unreachable || isAway(status)) {
      await checkReadable(job);
      // The probe is answered and yet requests die: a proxy that cuts off large bodies looks like this.
      if (barren >= BARREN_TRIES) throw error;
      if (barren >= 2) this.#smallerChunks();
      await untilReady({ ready: () => this.#connection.lost(error.message) }, signal);
      return;
    }
    if (status === 401) {
      await untilReady({ ready: () => this.#connection.signedOut() }, signal);
      return;
    }
    // Our own server says 413 with a problem, for a file it never takes. Without one it is a proxy, and the request was too large.
    if (status === 413 && !error.title && this.#smallerChunks()) return;
    // 409: the offset is not what we thought, and the next attempt asks for it; or the version takes no more files.
    const most = { 409: 2, 403: 1, 423: BARREN_TRIES, 429: BARREN_TRIES, 500: BARREN_TRIES }[status] ?? 0;
    if (barren >= most) throw error;
    await sleep(error.retryAfter || Math.min(10, 0.25 * 2 ** barren));
    signal.throwIfAborted();
  }

  #smallerChunks() {
    if (this.#chunkBytes <= LEAST_CHUNK_BYTES) return false;
    this.#chunkBytes = Math.max(LEAST_CHUNK_BYTES, Math.floor(this.#chunkBytes / 2));
    return true;
  }
}

/** Why a byte of the file can't be read; "" when it can. An empty file can always. */
async function readingProblem({ file }, offset) {
  try {
    await file.slice(offset, offset + 1).arrayBuffer();
    return "";
  } catch (error) {
    return readFailure(error);
  }
}

/** Browsers report a file that changed under a request as a network error: reading a byte tells the two apart. */
async function checkReadable(job) {
  const offset = job.kind === "file" ? job.offset : 0;
  const causes = await Promise.all(job.items.map((item) => (item.content ? "" : readingProblem(item, offset))));
  const cause = causes.find((text) => text !== "");
  if (cause) throw Object.assign(new ReadFailure(cause), { causes });
}

/** Waits for the connection, but not beyond a pause or a cancel. */
function untilReady(connection, signal) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    connection.ready().then(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}
