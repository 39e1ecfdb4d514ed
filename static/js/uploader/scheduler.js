// Drives one upload: hash -> plan -> send what the server lacks -> check. All stages overlap; each holds a bounded amount.
//
// Every file is hashed before it is planned, large ones too: that is what lets the server skip bytes it has, find the unfinished
// upload of the same bytes after a reload, and refuse a file that changed on the way. Hashing runs beside the sending of other files.
//
// Meanwhile every file is declared, without a hash, from the end of the list, until that meets what is hashed and planned: when
// the page is closed half-way, or a file can't be read, the server knows what is missing and refuses to seal.

import { Bundler } from "./bundler.js";
import { Carrier, ReadFailure } from "./carrier.js";
import { Items } from "./items.js";
import { PLAN_FILES, Planner, checkWithServer, declaredPath } from "./planner.js";
import { SpeedMeter } from "./progress.js";
import { readFailure } from "./collect.js";

const HASH_AHEAD = 1024; // files handed to the workers at once
const KEEP_BYTES = 64 * 1024 * 1024; // contents of small files that wait in memory from hashing until they are sent
const PLANS = 2;
const TRANSFERS = 4; // with two plan calls: six requests at once, as many as a browser opens to one HTTP/1.1 server
const TRIES = 3;
const TICK_SECONDS = 0.25;

/**
 * Events: "tick" (numbers may have changed; also sent after each change of `phase`).
 * `phase`: idle -> running <-> paused -> checking -> finished; `stopped` when the server refuses the whole version.
 */
export class Scheduler extends EventTarget {
  items = new Items();
  phase = "idle";
  /** Why the run is paused or stopped, when that was not the user's wish. */
  cause = "";
  hashSpeed = new SpeedMeter();
  sendSpeed = new SpeedMeter();
  /** What the server had verified at the end, files and bytes. */
  verified = { count: 0, bytes: 0 };

  #planner;
  #pool;
  #tusUrl;
  #limits;
  #carrier;
  #bundler;
  #toHash = [];
  #toDeclare = [];
  #isDeclaring = false;
  #toPlan = [];
  #large = [];
  #bundlesAgain = [];
  #leaders = new Map(); // sha256 -> {followers}: equal files are sent once
  #followerCount = 0;
  #plans = 0;
  #active = 0;
  #busyAt = 0;
  #ticker = null;
  #abort = new AbortController();
  #pumping = false;

  /**
   * @param {{api: object, connection: object, gate: object, pool: object, send: Function, urls: {version: string, plan: string, bundles: string,
   *   tus: string}, limits: {requestBytes: number, bundleBytes: number, largeBytes: number}, identity: {team: string,
   *   dataset: string, version: string}}} parts
   */
  constructor({ api, connection, gate, pool, send, urls, limits, identity }) {
    super();
    this.#planner = new Planner(api, urls);
    this.#pool = pool;
    this.#tusUrl = urls.tus;
    this.#limits = limits;
    this.#bundler = new Bundler({ maxBytes: limits.bundleBytes, maxFiles: PLAN_FILES });
    this.#carrier = new Carrier({
      api, connection, gate, send, urls, identity, chunkBytes: limits.requestBytes, items: this.items, meter: this.sendSpeed,
    });
  }

  /** Adds files, and entries that can't be read, and starts or goes on. */
  start(files) {
    const added = this.items.add(files);
    this.#toHash = this.#toHash.concat(added);
    // What can't be read, too: no seal shall miss it, on whatever page it is asked for.
    this.#toDeclare = this.#toDeclare.concat(added);
    this.resume();
  }

  pause(cause = "") {
    if (this.phase !== "running") return;
    this.cause = cause;
    this.#halt("paused");
  }

  resume() {
    if (this.phase === "running" || this.phase === "checking") return;
    this.cause = "";
    this.#abort = new AbortController();
    this.#pool.resume();
    this.hashSpeed.reset();
    this.sendSpeed.reset();
    this.#become("running");
    this.#ticker ??= setInterval(() => this.#tick(), TICK_SECONDS * 1000);
    this.#pump();
  }

  /** Forgets folders that couldn't be read, here and on the server: they are read again. */
  async forgetFolders(folders) {
    for (const item of folders) this.items.drop(item);
    await this.#planner.leaveOut(folders.map(declaredPath));
  }

  /** Begins failed files anew. Entries that couldn't be read have to be read by the page, and started. */
  retry(items) {
    for (const item of items) {
      if (item.state !== "failed" || !item.file) continue;
      this.items.reset(item);
      this.#toHash.push(item);
    }
    this.resume();
  }

  /** Nothing more is sent. What the server has stays there until the version is abandoned or expires. */
  stop(cause = "") {
    this.cause = cause;
    this.#halt("stopped");
  }

  #halt(phase) {
    this.#abort.abort(new DOMException("The upload was halted.", "AbortError"));
    this.#pool.pause();
    clearInterval(this.#ticker);
    this.#ticker = null;
    this.#become(phase);
  }

  #become(phase) {
    this.phase = phase;
    this.dispatchEvent(new Event("tick"));
  }

  #tick() {
    this.#pump();
    this.dispatchEvent(new Event("tick"));
  }

  /** Looks for work in every stage. Calls made in one task are joined into one look. */
  #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      if (this.phase !== "running") return;
      this.#hashSome();
      this.#declareSome();
      this.#planSome();
      this.#sendSome();
      if (this.#isDrained && this.#active === 0 && this.#bundler.count === 0 && this.#large.length === 0
        && this.#bundlesAgain.length === 0 && this.#followerCount === 0) this.#check();
    });
  }

  /** Nothing is left before the sending stage. */
  get #isDrained() {
    return this.#isHashed && this.#toDeclare.length === 0 && this.#toPlan.length === 0 && this.#plans === 0;
  }

  get #isHashed() {
    return this.#toHash.length === 0 && this.items.counts.hashing === 0;
  }

  /** No transfer runs or could start: then a stage hands on what it has, instead of waiting for a full load. */
  get #isStarving() {
    return this.#active === 0 && this.#large.length === 0 && performance.now() - this.#busyAt > 2 * TICK_SECONDS * 1000;
  }

  #hashSome() {
    const free = HASH_AHEAD - this.#pool.backlog;
    // In small steps, because taking from the front of a long array moves the rest.
    if (free < HASH_AHEAD / 4 && this.#toHash.length > free) return;
    for (const item of this.#toHash.splice(0, free)) if (item.state === "waiting") this.#hash(item);
  }

  #declareSome() {
    if (this.#isDeclaring || this.#plans >= PLANS) return;
    // What has a hash is declared by its plan. A folder that has been read meanwhile is no entry any more.
    const batch = this.#toDeclare.splice(-PLAN_FILES).filter(({ sha256, state, isFolder }) => sha256 === "" && state !== "done" && !(isFolder && state !== "failed"));
    if (batch.length > 0) this.#declare(batch);
  }

  async #declare(batch) {
    this.#isDeclaring = true;
    this.#plans += 1;
    const unreadable = new Set(batch.filter(({ state }) => state === "failed"));
    try {
      await this.#planner.declare(batch);
    } catch (error) {
      if (this.#failNamed(batch, error) > 0) this.#toDeclare.push(...batch.filter((item) => item.state !== "failed" || unreadable.has(item)));
      else if (error.status !== 422 && error.status !== 413) this.stop(error.message);
    } finally {
      this.#isDeclaring = false;
      this.#plans -= 1;
      this.#pump();
    }
  }

  async #hash(item) {
    this.items.move(item, "hashing");
    const { file } = item;
    const tell = (bytes) => {
      this.hashSpeed.add(bytes - item.hashed);
      this.items.setHashed(item, bytes);
    };
    const keep = item.size < this.#limits.largeBytes && this.items.keptBytes + item.size <= KEEP_BYTES;
    if (keep) this.items.keep(item);
    try {
      const { sha256, content } = await this.#pool.hash(file, { keep, onBytes: (bytes) => item.file === file && tell(bytes) });
      if (item.file !== file || item.state !== "hashing") return;
      tell(item.size);
      item.sha256 = sha256;
      if (keep) item.content = content;
      this.#planLater(item);
    } catch (error) {
      if (item.file === file) this.#fail(item, readFailure(error));
    }
    this.#pump();
  }

  #planLater(item) {
    this.items.move(item, "hashed");
    this.#toPlan.push(item);
  }

  #planSome() {
    const enough = () => this.#toPlan.length >= PLAN_FILES || this.#isHashed
      || (this.#isStarving && this.#plans === 0 && this.#bundler.count === 0);
    while (this.#plans < PLANS && this.#toPlan.length > 0 && enough()) {
      // Some may have been refused meanwhile, when they were declared.
      const batch = this.#toPlan.splice(0, PLAN_FILES).filter(({ state }) => state === "hashed");
      if (batch.length > 0) this.#plan(batch);
    }
  }

  async #plan(batch) {
    this.#plans += 1;
    try {
      for (const [item, answer] of await this.#planner.ask(batch)) if (item.state === "hashed") this.#place(item, answer);
    } catch (error) {
      this.#planFailed(batch, error);
    } finally {
      this.#plans -= 1;
      this.#pump();
    }
  }

  #planFailed(batch, error) {
    const named = this.#failNamed(batch, error);
    if (named > 0) {
      for (const item of batch) if (item.state !== "failed") this.#planLater(item);
    } else if (error.status === 422 || error.status === 413) {
      for (const item of batch) this.#fail(item, error.message);
    } else {
      // 403, 404, 409: the version can't be written any more. Nothing that is sent would help.
      for (const item of batch) this.#planLater(item);
      this.stop(error.message);
    }
  }

  /** Fails the items that the problem names; returns how many that were. */
  #failNamed(batch, error) {
    let named = 0;
    for (const { path, detail } of error.errors ?? []) {
      if (!path) continue;
      // A file that was declared before may stand where the batch needs a folder: the paths below it are at fault.
      for (const item of batch) {
        if (item.state === "failed" || (item.path !== path && !item.path.startsWith(`${path}/`))) continue;
        this.#fail(item, detail || error.message);
        named += 1;
      }
    }
    return named;
  }

  #place(item, { state, upload }) {
    if (state === "stored") {
      if (item.sent > 0) this.items.move(item, "done");
      else this.items.markSaved(item);
      this.#released(item);
    } else if (state === "needed" || state === "partial") {
      const leader = this.#leaders.get(item.sha256);
      if (leader && leader.item !== item) {
        leader.followers.push(item);
        this.#followerCount += 1;
        this.items.move(item, "queued");
        return;
      }
      if (!leader) this.#leaders.set(item.sha256, { item, followers: [] });
      this.items.move(item, "queued");
      if (item.size >= this.#limits.largeBytes) {
        item.url = state === "partial" && upload ? this.#uploadUrl(upload) : "";
        this.#large.push(item);
      } else this.#bundler.add(item);
    } else this.#fail(item, "The server gave no answer for this file.");
  }

  #uploadUrl(upload) {
    return upload.includes("/") ? upload : `${this.#tusUrl.replace(/\/$/u, "")}/${upload}`;
  }

  /** The item is settled: files with equal bytes can be planned again, and will be found stored if it went well. */
  #released(item) {
    const leader = this.#leaders.get(item.sha256);
    if (leader?.item !== item) return;
    this.#leaders.delete(item.sha256);
    this.#followerCount -= leader.followers.length;
    for (const follower of leader.followers) this.#planLater(follower);
  }

  #fail(item, cause) {
    this.items.fail(item, cause);
    this.#released(item);
  }

  #sendSome() {
    while (this.#active < TRANSFERS) {
      const job = this.#nextJob();
      if (!job) return;
      this.#send(job);
    }
  }

  #nextJob() {
    const again = this.#bundlesAgain.shift();
    if (again) return again;
    const canBundle = this.#bundler.count > 0 && (this.#bundler.isFull || this.#isDrained || this.#isStarving);
    // Bundles and large files take turns, so that neither waits for the end of the other.
    if (canBundle && (this.#large.length === 0 || this.#active % 2 === 0)) return { kind: "bundle", items: this.#bundler.take(), url: "" };
    if (this.#large.length > 0) return { kind: "file", items: [this.#large.shift()], url: "" };
    return null;
  }

  async #send(job) {
    this.#active += 1;
    for (const item of job.items) this.items.move(item, "sending");
    try {
      await this.#carrier.carry(job, { signal: this.#abort.signal, onUnreadable: (item, cause) => this.#fail(item, cause) });
      for (const item of job.items) {
        this.items.move(item, "done");
        this.#released(item);
      }
    } catch (error) {
      this.#sendFailed(job, error);
    } finally {
      for (const item of job.items) this.items.flying.delete(item);
      this.#active -= 1;
      this.#busyAt = performance.now();
      this.#pump();
    }
  }

  #sendFailed(job, error) {
    const left = job.items.filter(({ state }) => state === "sending");
    if (error.name === "AbortError" || error.isOutOfSpace) {
      this.#requeue(job, left);
      // Somebody may free space on the server, and then the user goes on.
      if (error.isOutOfSpace) this.pause(error.message);
    } else if (error instanceof ReadFailure) {
      for (const item of left) this.#fail(item, error.message);
    } else {
      // Named files are damaged or refused for good. Of all others only the server knows how they stand.
      if (error.status === 460 || error.status === 422) this.#failNamed(left, error);
      if (error.status === 413) for (const item of left) this.#fail(item, error.message);
      for (const item of left) if (item.state !== "failed") this.#planAgain(item, error);
    }
  }

  #requeue(job, left) {
    for (const item of left) {
      this.items.setSent(item, 0);
      this.items.move(item, "queued");
    }
    if (job.kind === "file") this.#large.unshift(...left);
    else if (left.length > 0) this.#bundlesAgain.push({ ...job, items: left, url: left.length === job.items.length ? job.url : "" });
  }

  /** Asks the server anew what it has of this file, a few times. */
  #planAgain(item, error) {
    item.tries += 1;
    item.url = "";
    if (item.tries >= TRIES) {
      this.#fail(item, error.message);
      return;
    }
    this.items.setSent(item, 0);
    this.#planLater(item);
  }

  /** The last word is the server's. */
  async #check() {
    this.#become("checking");
    const missing = (item) => this.#fail(item, "The server has no verified copy of this file.");
    try {
      this.verified = await checkWithServer(this.#planner, this.items, { onMissing: missing, onBatch: () => this.dispatchEvent(new Event("tick")) });
      // More may have been added while the server was asked.
      if (this.#isDrained) this.#halt("finished");
      else {
        this.#become("running");
        this.#pump();
      }
    } catch (error) {
      this.stop(error.message);
    }
  }
}
