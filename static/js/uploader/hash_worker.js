// SHA-256 of files, off the page's thread. Small files are hashed whole by WebCrypto (three to five times faster), large ones
// stream through WebAssembly, so that memory stays at one block a worker. Message in: [{id, file}]. Messages out: {id, sha256},
// {id, error: {name, message}}, or {id, bytes} as a large file goes on.

import "../../vendor/hash-wasm/sha256.umd.min.js";

const WHOLE_FILE_BYTES = 8 * 1024 * 1024;
const BLOCK_BYTES = 4 * 1024 * 1024;
const PARALLEL_SMALL = 16;

// WebCrypto exists in secure contexts only; over plain http from another machine everything streams through WebAssembly.
const subtle = globalThis.crypto?.subtle;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function toHex(bytes) {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

async function hashWhole(file) {
  const buffer = await file.arrayBuffer();
  return toHex(new Uint8Array(await subtle.digest("SHA-256", buffer)));
}

async function hashStream(file, onBytes) {
  const hasher = await globalThis.hashwasm.createSHA256();
  hasher.init();
  // Slices, not file.stream(): a block is then of a known size, and the next is read while this one is hashed.
  const read = (offset) => (offset < file.size ? file.slice(offset, offset + BLOCK_BYTES).arrayBuffer() : null);
  let ahead = read(0);
  for (let offset = 0; ahead !== null; ) {
    const block = await ahead;
    offset += BLOCK_BYTES;
    ahead = read(offset);
    // Failures of the block that is read ahead surface when it is awaited.
    ahead?.catch(() => {});
    hasher.update(new Uint8Array(block));
    onBytes(Math.min(offset, file.size));
  }
  return hasher.digest("hex");
}

async function hashOne({ id, file }) {
  try {
    const whole = subtle !== undefined && file.size <= WHOLE_FILE_BYTES;
    const sha256 = whole ? await hashWhole(file) : await hashStream(file, (bytes) => self.postMessage([{ id, bytes }]));
    return { id, sha256 };
  } catch (error) {
    return { id, error: { name: error.name, message: error.message } };
  }
}

self.addEventListener("message", async ({ data: batch }) => {
  const answers = [];
  let next = 0;
  const lane = async () => {
    while (next < batch.length) {
      const file = batch[next];
      next += 1;
      answers.push(await hashOne(file));
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_SMALL, batch.length) }, lane));
  self.postMessage(answers);
});
