// SHA-256 of files, off the page's thread. Small files are hashed whole by WebCrypto (three to five times faster), large ones
// stream through WebAssembly, so that memory stays at two blocks a worker. Message in: [{id, file, keep}]. Messages out are lists
// of {id, sha256, content?}, {id, error: {name, message}}, or one {id, done} as a large file goes on. `content` is the file's
// bytes, handed over when `keep` asks for them: the page then need not read a small file a second time to send it.

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
  const content = await file.arrayBuffer();
  return { content, sha256: toHex(new Uint8Array(await subtle.digest("SHA-256", content))) };
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

async function hashOne({ id, file, keep }) {
  try {
    if (subtle === undefined || file.size > WHOLE_FILE_BYTES) {
      return { id, sha256: await hashStream(file, (done) => self.postMessage([{ id, done }])) };
    }
    const { sha256, content } = await hashWhole(file);
    return keep ? { id, sha256, content } : { id, sha256 };
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
  self.postMessage(answers, answers.flatMap(({ content }) => content ?? []));
});
