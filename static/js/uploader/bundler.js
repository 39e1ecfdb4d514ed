// Packs small files into bundles: many files travel as one upload and rest in one pack.

export class Bundler {
  #queue = [];
  #bytes = 0;
  #maxBytes;
  #maxFiles;

  constructor({ maxBytes, maxFiles }) {
    this.#maxBytes = maxBytes;
    this.#maxFiles = maxFiles;
  }

  add(item) {
    this.#queue.push(item);
    this.#bytes += item.size;
  }

  get count() {
    return this.#queue.length;
  }

  /** A bundle could be cut that has no room left. */
  get isFull() {
    return this.#bytes >= this.#maxBytes || this.#queue.length >= this.#maxFiles;
  }

  /** The next bundle's items, in the order they came; empty when there are none. */
  take() {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < this.#maxFiles) {
      if (count > 0 && bytes + this.#queue[count].size > this.#maxBytes) break;
      bytes += this.#queue[count].size;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#queue.splice(0, count);
  }
}
