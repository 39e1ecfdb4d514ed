// Speed and time left. Bytes are told as they go; the speed is that of the last seconds, so that it follows a changing network
// without jumping at each request.

const WINDOW_SECONDS = 10;

export class SpeedMeter {
  #samples = [];
  #now;
  #total = 0;

  constructor(now = () => performance.now() / 1000) {
    this.#now = now;
    this.#samples.push([now(), 0]);
  }

  /** Bytes that went by just now. A negative number takes back what was sent in vain. */
  add(bytes) {
    this.#total += bytes;
    const at = this.#now();
    const last = this.#samples.at(-1);
    if (at - last[0] < 0.2 && this.#samples.length > 1) last[1] = this.#total;
    else this.#samples.push([at, this.#total]);
    this.#forget(at);
  }

  /** After a pause the old samples say nothing. */
  reset() {
    this.#samples = [[this.#now(), this.#total]];
  }

  /** Bytes a second over the last seconds; 0 when nothing moves. */
  get speed() {
    const at = this.#now();
    this.#forget(at);
    const [since, before] = this.#samples[0];
    const seconds = Math.max(at - since, 0.5);
    return Math.max(0, (this.#total - before) / seconds);
  }

  #forget(at) {
    while (this.#samples.length > 1 && this.#samples[1][0] <= at - WINDOW_SECONDS) this.#samples.shift();
    // Nothing for a while: what is left of the last burst must not count as speed.
    if (this.#samples.length === 1 && this.#samples[0][0] < at - WINDOW_SECONDS) this.#samples[0] = [at - WINDOW_SECONDS, this.#total];
  }
}

/** Seconds left: what remains to hash and to send go on side by side, so the slower decides. NaN while unknown. */
export function secondsLeft({ toHash, hashSpeed, toSend, sendSpeed }) {
  if (toHash > 0 && hashSpeed <= 0 && sendSpeed <= 0) return Number.NaN;
  const hashing = toHash > 0 && hashSpeed > 0 ? toHash / hashSpeed : 0;
  // Before anything was sent nobody knows how much will have to be.
  if (toSend > 0 && sendSpeed <= 0) return hashing > 0 ? hashing : Number.NaN;
  return Math.max(hashing, toSend > 0 ? toSend / sendSpeed : 0);
}
