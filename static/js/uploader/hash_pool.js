// Hands files to a few workers in batches: a message per file would cost more than hashing it.

const BATCH_FILES = 64;
const BATCH_BYTES = 16 * 1024 * 1024;
const BATCHES_AHEAD = 2; // a worker finds its next batch waiting when one is done

/** As many workers as the machine has cores, at most four: more would only take cores from the browser and its network. */
export function workerCount(cores = globalThis.navigator?.hardwareConcurrency) {
  return Math.max(1, Math.min(cores || 2, 4));
}

export class HashPool {
  #workers;
  #queue = [];
  #waiting = new Map();
  #nextId = 1;
  #paused = false;

  /** @param {() => Worker} makeWorker */
  constructor(makeWorker, count = workerCount()) {
    this.#workers = Array.from({ length: count }, () => {
      const worker = makeWorker();
      const lane = { worker, batches: [] };
      worker.addEventListener("message", ({ data }) => this.#answered(lane, data));
      worker.addEventListener("error", (event) => this.#broken(lane, event));
      return lane;
    });
  }

  /** Files handed in and not answered yet. */
  get backlog() {
    return this.#waiting.size;
  }

  /**
   * Resolves to {sha256, content}: the digest in hex, and with `keep` the bytes of a small file. `onBytes(done)` reports on large
   * files. Rejects with the error of reading the file (name and message as the browser gave them).
   */
  hash(file, { keep = false, onBytes = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { resolve, reject, onBytes });
      this.#queue.push({ id, file, keep });
      // Batches are cut after the caller has handed in all that it has.
      if (this.#queue.length === 1) queueMicrotask(() => this.#feed());
    });
  }

  /** Batches that workers already hold are finished; nothing new is begun. */
  pause() {
    this.#paused = true;
  }

  resume() {
    this.#paused = false;
    this.#feed();
  }

  /** Ends the workers; whatever was not hashed yet never answers. */
  close() {
    for (const { worker } of this.#workers) worker.terminate();
    this.#queue = [];
    this.#waiting.clear();
  }

  #feed() {
    if (this.#paused) return;
    for (let ahead = 1; ahead <= BATCHES_AHEAD; ahead += 1) {
      for (const lane of this.#workers) {
        if (this.#queue.length === 0) return;
        if (lane.batches.length >= ahead) continue;
        const batch = this.#cutBatch();
        lane.batches.push(batch);
        lane.worker.postMessage(batch);
      }
    }
  }

  #cutBatch() {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < BATCH_FILES) {
      bytes += this.#queue[count].file.size;
      if (count > 0 && bytes > BATCH_BYTES) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  #answered(lane, answers) {
    for (const answer of answers) {
      const waiter = this.#waiting.get(answer.id);
      if (answer.done !== undefined) {
        waiter?.onBytes(answer.done);
        return;
      }
      this.#waiting.delete(answer.id);
      if (answer.error) waiter?.reject(Object.assign(new Error(answer.error.message), { name: answer.error.name }));
      else waiter?.resolve(answer);
    }
    lane.batches.shift();
    this.#feed();
  }

  #broken(lane, event) {
    const cause = new Error(event.message || "The hash worker could not be started.");
    for (const batch of lane.batches) {
      for (const { id } of batch) {
        this.#waiting.get(id)?.reject(cause);
        this.#waiting.delete(id);
      }
    }
    lane.batches = [];
    this.#feed();
  }
}
