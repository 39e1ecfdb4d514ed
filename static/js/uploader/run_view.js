// While it runs: figures, the list of files, and what stands in the way.

import { icon } from "../icon.js";
import { announce, make, namedElements, rowButton, setIcon, setText } from "./dom.js";
import { formatBytes, formatCount, formatPercent, formatPlural, formatSeconds } from "./format.js";
import { secondsLeft } from "./progress.js";
import { VirtualList } from "./virtual_list.js";

const FILTERS = {
  all: () => true,
  moving: ({ state }) => state === "hashing" || state === "sending",
  done: ({ state }) => state === "done",
  failed: ({ state }) => state === "failed",
};
const WORDS = { waiting: "Waiting", hashing: "Reading", hashed: "Read", queued: "To be sent", sending: "Sending" };
const ICONS = { waiting: "clock", hashing: "hash", hashed: "clock", queued: "clock", sending: "arrow-up", done: "check", failed: "error" };
const HEADINGS = {
  idle: "", running: "Uploading", paused: "Paused", checking: "Checking with the server", finished: "Upload finished", stopped: "Stopped",
};

/** Events: "retry" with detail {items}. Buttons for pause, resume and cancel belong to the page. */
export class RunView extends EventTarget {
  #run;
  #el;
  #list;
  #filter = "all";
  #shown = [];
  #title = document.title;

  /** @param {HTMLElement} root @param {import("./scheduler.js").Scheduler} run */
  constructor(root, run) {
    super();
    this.#run = run;
    this.#el = namedElements(root);
    this.#list = new VirtualList(this.#el.files, { makeRow: makeFileRow, fillRow: (row, index) => fillFileRow(row, this.#shown[index]) });
    this.#list.addEventListener("act", ({ detail }) => this.#retry([this.#shown[detail.index]]));
    this.#list.addEventListener("key", (event) => {
      if (event.detail.key !== "Enter") return;
      event.preventDefault();
      this.#retry([this.#shown[event.detail.index]]);
    });
    for (const button of root.querySelectorAll("[data-filter]")) button.addEventListener("click", () => this.filter(button.dataset.filter));
    this.#el.retryAll.addEventListener("click", () => this.#retry(run.items.list.filter(FILTERS.failed)));
    run.addEventListener("tick", () => this.show());
  }

  #retry(items) {
    this.dispatchEvent(new CustomEvent("retry", { detail: { items } }));
  }

  /** Shows one kind of files: all, moving, done, failed. */
  filter(name) {
    this.#filter = name;
    this.show();
  }

  /** Draws the present numbers. */
  show() {
    const { items, phase } = this.#run;
    this.#el.pause.hidden = phase !== "running";
    this.#el.resume.hidden = phase !== "paused" && phase !== "stopped";
    this.#el.cancel.hidden = phase === "finished";
    setText(this.#el.heading, HEADINGS[phase]);
    this.#showBar(items, phase);
    this.#showFigures(items, phase);
    this.#showFilters(items);
    this.#shown = this.#filter === "all" ? items.list : items.list.filter(FILTERS[this.#filter]);
    this.#el.none.hidden = this.#shown.length > 0;
    this.#list.update(this.#shown.length);
  }

  #showBar(items, phase) {
    const total = items.bytes - items.failedBytes;
    const { bar } = this.#el;
    // Files without bytes count too: with none but empty ones the bar goes by number.
    const [value, max] = total > 0 ? [items.settledBytes, total] : [items.counts.done, Math.max(1, items.count)];
    bar.max = max;
    bar.value = Math.min(value, max);
    bar.classList.toggle("is-ok", phase === "finished" && items.counts.failed === 0);
    const percent = formatPercent(value, max);
    bar.setAttribute("aria-valuetext", percent);
    setText(this.#el.percent, percent);
    document.title = phase === "finished" ? this.#title : `${percent} · ${this.#title}`;
  }

  #showFigures(items, phase) {
    const running = phase === "running";
    const toSend = items.bytes - items.failedBytes - items.settledBytes;
    const toHash = items.bytes - items.failedBytes - items.hashedBytes;
    const sendSpeed = this.#run.sendSpeed.speed;
    const hashSpeed = this.#run.hashSpeed.speed;
    const left = running ? secondsLeft({ toHash, hashSpeed, toSend, sendSpeed }) : Number.NaN;
    setText(this.#el.bytes, `${formatBytes(items.settledBytes)} of ${formatBytes(items.bytes)}`);
    setText(this.#el.count, `${formatCount(items.counts.done)} of ${formatCount(items.count)}`);
    setText(this.#el.speed, running && sendSpeed > 0 ? `${formatBytes(sendSpeed)}/s` : "–");
    setText(this.#el.left, formatSeconds(left) || "–");
    setText(this.#el.saved, items.savedCount === 0 ? "–" : `${formatBytes(items.savedBytes)}`);
    this.#el.saved.title = formatPlural(items.savedCount, "file needed no sending", "files needed no sending");
    const hashing = toHash > 0 && running ? `Reading: ${formatBytes(items.hashedBytes)} of ${formatBytes(items.bytes)} at ${formatBytes(hashSpeed)}/s` : "";
    setText(this.#el.hashing, hashing);
    this.#el.hashing.hidden = !running;
    if (running) announce(`${formatPercent(items.settledBytes, items.bytes)} uploaded. ${formatSeconds(left) && `${formatSeconds(left)} left.`}`, { urgent: false });
  }

  #showFilters({ counts, count }) {
    const numbers = { all: count, moving: counts.hashing + counts.sending, done: counts.done, failed: counts.failed };
    for (const [name, number] of Object.entries(numbers)) {
      const button = this.#el[`${name}Filter`];
      button.setAttribute("aria-pressed", String(this.#filter === name));
      setText(button.querySelector("[data-number]"), formatCount(number));
    }
    this.#el.retryAll.hidden = counts.failed === 0;
  }
}

function makeFileRow() {
  const glyph = icon("clock");
  const folder = make("span", "muted");
  const name = make("span", "");
  const cause = make("span", "vlist-note clip small");
  const size = make("span", "vlist-size num muted", { role: "gridcell" });
  const state = make("span", "vlist-state num", { role: "gridcell" });
  const again = rowButton("retry", "refresh", "Retry");
  const main = make("span", "vlist-main", { role: "gridcell" }, glyph, make("span", "vlist-name clip", {}, folder, name), cause);
  const row = make("div", "vlist-row", { role: "row" }, main, size, state, make("span", "vlist-act", { role: "gridcell" }, again));
  row.parts = { glyph, folder, name, cause, size, state, again };
  return row;
}

function stateWords(item) {
  if (item.state === "done") return item.saved ? "Already there" : "Stored";
  if (item.state === "failed") return "Failed";
  if (item.state === "hashing" && item.hashed > 0) return `Reading ${formatPercent(item.hashed, item.size)}`;
  if (item.state === "sending" && item.sent > 0) return `Sending ${formatPercent(item.sent, item.size)}`;
  return WORDS[item.state];
}

function fillFileRow(row, item) {
  const { glyph, folder, name, cause, size, state, again } = row.parts;
  const cut = item.path.lastIndexOf("/") + 1;
  row.dataset.state = item.state;
  setIcon(glyph, ICONS[item.state]);
  setText(folder, item.path.slice(0, cut));
  setText(name, item.path.slice(cut));
  row.title = item.path;
  setText(cause, item.cause);
  setText(size, formatBytes(item.size));
  setText(state, stateWords(item));
  again.hidden = item.state !== "failed";
  again.setAttribute("aria-label", `Retry ${item.path}`);
}
