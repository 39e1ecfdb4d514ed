// Carries one job over the network: a large file, or a bundle of small ones. It outlives lost connections, restarts of the server
// and expired sessions, and throws only what the scheduler must decide.

import { Unreachable, isAway, onThisOrigin, sleep } from "./api.js";
import { readFailure } from "./collect.js";

const LEAST_CHUNK_BYTES = 256 * 1024;
const PARALLEL_READS = 32;
const BARREN_TRIES = 8; // attempts in a row that moved nothing

/** A file that can't be read, or is not what it was when it was picked. */
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
   * Resolves when the server has acknowledged all bytes of the job. Items that turn out unreadable are handed to `onUnreadable`
   * and leave `job.items`.
   */
  async carry(job, { signal, onUnreadable }) {
    const body = job.kind === "bundle" ? await this.#readBundle(job, onUnreadable) : job.items[0].file;
    if (job.items.length === 0) return;
    signal.throwIfAborted();
    if (job.kind === "bundle" && job.url === "") job.url = await this.#createBundle(job.items);
    if (job.kind === "file") job.url = job.items[0].url;
    for (const item of job.items) this.#items.flying.add(item);
    job.offset = 0;
    job.next = 0;
    job.base = 0;
    await this.#sendUntilDone(job, body, signal);
  }

  /** Small files are read into memory, so that one that can't be read is known by name and leaves the others alone. */
  async #readBundle(job, onUnreadable) {
    const { items } = job;
    const buffers = new Array(items.length);
    let next = 0;
    const lane = async () => {
      while (next < items.length) {
        const index = next;
        next += 1;
        buffers[index] = await readWhole(items[index]).catch((error) => error);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_READS, items.length) }, lane));
    const good = [];
    const parts = [];
    for (const [index, item] of items.entries()) {
      if (buffers[index] instanceof Error) onUnreadable(item, buffers[index].message);
      else {
        good.push(item);
        parts.push(buffers[index]);
      }
    }
    if (good.length < items.length) Object.assign(job, { items: good, url: "" });
    return new Blob(parts);
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
      if (job.kind === "file") await checkReadable(job.items[0], job.offset);
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
    if (status === 413 && this.#smallerChunks()) return;
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

async function readWhole(item) {
  let buffer;
  try {
    buffer = await item.file.arrayBuffer();
  } catch (error) {
    throw new ReadFailure(readFailure(error));
  }
  if (buffer.byteLength !== item.size) throw new ReadFailure("Its size changed after it was picked.");
  return buffer;
}

/** Browsers report a file that changed under a request as a network error: reading a byte tells the two apart. */
async function checkReadable(item, offset) {
  try {
    await item.file.slice(offset, offset + 1).arrayBuffer();
  } catch (error) {
    throw new ReadFailure(readFailure(error));
  }
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
