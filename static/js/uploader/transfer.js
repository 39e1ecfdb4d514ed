// One tus upload from its present offset to its end, by tus-js-client. Retries are not the library's here: a shared Connection
// decides when to try again, so that a lost network is one event and not one per transfer.

import "../../vendor/tus-js-client/tus.min.js";
import { Unreachable, onThisOrigin, parseProblem } from "./api.js";

const STALL_SECONDS = 60; // no byte moved while bytes were left to move
const ANSWER_SECONDS = 900; // all bytes are out and the server checks them
const WATCH_SECONDS = 5;
// Timers stand still while the machine sleeps. In a page that is not seen, browsers let them wait for a minute.
const SLEEP_SECONDS = 90;

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
    // By the wall clock: others stop while the machine sleeps.
    let moved = Date.now();
    let out = 0;
    const finish = (settle, value) => {
      clearInterval(watch);
      globalThis.removeEventListener("online", restart);
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
        moved = Date.now();
        if (request.getMethod() === "HEAD") return;
        for (const [name, value] of Object.entries(headers())) request.setHeader(name, value);
      },
      onUploadUrlAvailable() {
        upload.url = onThisOrigin(upload.url);
        onUrl(upload.url);
      },
      onProgress(offset) {
        moved = Date.now();
        out = offset;
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
    const giveUp = (cause) => {
      upload.abort();
      finish(reject, new Unreachable(new Error(cause)));
    };
    // A laptop that slept or a network that vanished may leave a request that never ends.
    const restart = () => giveUp("The network was away.");
    globalThis.addEventListener("online", restart);
    let looked = Date.now();
    const watch = setInterval(() => {
      const now = Date.now();
      const slept = (now - looked) / 1000 > SLEEP_SECONDS;
      looked = now;
      if (slept) giveUp("The machine slept.");
      else if ((now - moved) / 1000 >= (out >= body.size ? ANSWER_SECONDS : STALL_SECONDS)) giveUp("The transfer stalled.");
    }, WATCH_SECONDS * 1000);
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
