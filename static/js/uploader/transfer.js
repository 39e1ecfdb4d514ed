// One tus upload from its present offset to its end, by tus-js-client. Retries are not the library's here: a shared Connection
// decides when to try again, so that a lost network is one event and not one per transfer.

import "../../vendor/tus-js-client/tus.min.js";
import { Unreachable, onThisOrigin, parseProblem } from "./api.js";

const STALL_SECONDS = 60; // no byte moved while bytes were left to move
const ANSWER_SECONDS = 900; // all bytes are out and the server checks them

/**
 * @typedef {{body: Blob, url?: string, endpoint?: string, metadata?: Record<string, string>, chunkBytes: number,
 *   headers: () => Record<string, string>, onUrl?: (url: string) => void, onOffset?: (bytes: number) => void,
 *   signal?: AbortSignal}} Sending `url` continues an upload at the server's offset; `endpoint` with `metadata` creates one.
 */

/**
 * Sends until the server has acknowledged the last byte.
 * Rejects with Problem (the server's answer), Unreachable (no answer), or the signal's reason.
 * @param {Sending} sending
 */
export function sendTus({ body, url, endpoint, metadata, chunkBytes, headers, onUrl = () => {}, onOffset = () => {}, signal }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    let moved = performance.now();
    const finish = (settle, value) => {
      clearInterval(watch);
      signal?.removeEventListener("abort", abort);
      settle(value);
    };
    const upload = new globalThis.tus.Upload(body, {
      ...(url ? { uploadUrl: url } : { endpoint, metadata }),
      chunkSize: chunkBytes,
      retryDelays: null,
      storeFingerprintForResuming: false,
      fingerprint: () => Promise.resolve(null),
      onBeforeRequest(request) {
        moved = performance.now();
        if (request.getMethod() === "HEAD") return;
        for (const [name, value] of Object.entries(headers())) request.setHeader(name, value);
      },
      onUploadUrlAvailable() {
        upload.url = onThisOrigin(upload.url);
        onUrl(upload.url);
      },
      onProgress(offset) {
        moved = performance.now();
        onOffset(offset);
      },
      onSuccess: () => finish(resolve),
      onError: (error) => finish(reject, explain(error)),
    });
    const abort = () => {
      upload.abort();
      finish(reject, signal.reason);
    };
    signal?.addEventListener("abort", abort);
    // A laptop that slept or a network that vanished may leave a request that never ends.
    const watch = setInterval(() => {
      const quiet = (performance.now() - moved) / 1000;
      const everythingOut = upload._offset !== null && body.size - upload._offset <= chunkBytes;
      if (quiet < (everythingOut ? ANSWER_SECONDS : STALL_SECONDS)) return;
      upload.abort();
      finish(reject, new Unreachable(new Error("The transfer stalled.")));
    }, 5000);
    upload.start();
  });
}

function explain(error) {
  const response = error.originalResponse;
  if (!response || response.getStatus() === 0) return new Unreachable(error);
  const problem = parseProblem(response.getStatus(), response.getBody());
  problem.retryAfter = Number(response.getHeader("Retry-After")) || 0;
  return problem;
}
