// One view of whether the server can be reached, shared by everything that sends. Whoever loses a request awaits `lost()` or
// `signedOut()`; one probe with growing pauses finds out when work can go on, instead of each transfer trying on its own.

const FIRST_PAUSE = 1; // seconds
const LONGEST_PAUSE = 30;
const SIGN_IN_PAUSE = 4;

export class Connection extends EventTarget {
  #probe;
  #setTimeout;
  #clearTimeout;
  #random;
  #now;
  #timer = null;
  #attempt = 0;
  #gate = null;
  #probing = false;

  /** @type {"online" | "waiting" | "signed-out"} */
  state = "online";
  /** When the next probe starts, in milliseconds since 1970; 0 when one is running or none is needed. */
  retryAt = 0;
  /** What the last failure looked like, in words. */
  cause = "";

  /** @param {() => Promise<"ok" | "down" | "signed-out">} probe */
  constructor(probe, { setTimeout = globalThis.setTimeout, clearTimeout = globalThis.clearTimeout, random = Math.random, now = Date.now } = {}) {
    super();
    this.#probe = probe;
    this.#setTimeout = setTimeout.bind(globalThis);
    this.#clearTimeout = clearTimeout.bind(globalThis);
    this.#random = random;
    this.#now = now;
  }

  /** Resolves at once while the server is reachable and the session lives, otherwise when that is so again. */
  ready() {
    return this.#gate?.promise ?? Promise.resolve();
  }

  /** A request got no answer, or the answer of a server that is starting. Resolves when it is worth trying again. */
  lost(cause = "") {
    return this.#leaveOnline("waiting", cause);
  }

  /** The server answered 401. Resolves when the user has signed in again. */
  signedOut() {
    return this.#leaveOnline("signed-out", "");
  }

  /** Probes now: the user pressed a button, the network came back, the page was shown again. */
  tryNow() {
    if (this.state === "online" || this.#probing) return;
    this.#clearTimeout(this.#timer);
    this.#check();
  }

  #leaveOnline(state, cause) {
    if (this.state === "online") {
      const gate = {};
      gate.promise = new Promise((resolve) => {
        gate.open = resolve;
      });
      this.#gate = gate;
      this.#attempt = 0;
      this.cause = cause;
      this.#become(state);
      this.#schedule();
    } else if (this.state !== state && state === "signed-out") {
      this.#become(state);
    }
    return this.#gate.promise;
  }

  #become(state) {
    this.state = state;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  #schedule() {
    const longest = this.state === "signed-out" ? SIGN_IN_PAUSE : LONGEST_PAUSE;
    const pause = Math.min(longest, FIRST_PAUSE * 2 ** this.#attempt);
    // Between three quarters and the whole pause: many pages that lost the same server do not come back as one wave.
    const milliseconds = pause * 1000 * (0.75 + 0.25 * this.#random());
    this.#attempt += 1;
    this.retryAt = this.#now() + milliseconds;
    this.#timer = this.#setTimeout(() => this.#check(), milliseconds);
    this.#tell();
  }

  async #check() {
    this.#probing = true;
    this.retryAt = 0;
    this.#tell();
    let answer;
    try {
      answer = await this.#probe();
    } catch {
      answer = "down";
    }
    this.#probing = false;
    if (answer === "ok") {
      this.#gate.open();
      this.#gate = null;
      this.cause = "";
      this.#become("online");
      return;
    }
    this.state = answer === "signed-out" ? "signed-out" : "waiting";
    this.#schedule();
  }
}
