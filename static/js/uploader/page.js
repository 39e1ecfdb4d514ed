// The upload page: choose -> review -> run -> outcome -> seal. Puts the parts together; each part is in its own module.

import { Api, makeProbe, readCookie } from "./api.js";
import { walkDrop, walkInput, takeDropRoots } from "./collect.js";
import { Connection } from "./connection.js";
import { ConnectionBanner } from "./connection_banner.js";
import { announce, askDialog, namedElements, setText } from "./dom.js";
import { formatPlural } from "./format.js";
import { normalise } from "./paths.js";
import { Gate } from "./gate.js";
import { HashPool } from "./hash_pool.js";
import { OutcomeView } from "./outcome_view.js";
import { ReviewView } from "./review_view.js";
import { RunView } from "./run_view.js";
import { Scheduler } from "./scheduler.js";
import { Selection, hiddenBy } from "./selection.js";
import { sendTus } from "./transfer.js";

const REQUESTS_AT_ONCE = 6;

class UploadPage {
  constructor(root) {
    this.root = root;
    this.data = root.dataset;
    this.el = namedElements(root);
    this.selection = new Selection();
    this.connection = new Connection(makeProbe(this.data.versionApi));
    this.gate = new Gate(REQUESTS_AT_ONCE);
    this.api = new Api({ gate: this.gate, connection: this.connection, csrfToken: () => readCookie(this.data.csrfCookie) });
    this.banner = new ConnectionBanner(this.el.banner, this.connection, this.data.signInUrl);
    this.review = new ReviewView(this.el.review, this.selection);
    this.run = this.#makeRun();
    this.runView = new RunView(this.el.run, this.run);
    this.outcome = new OutcomeView(root, { api: this.api, run: this.run, data: this.data });
    this.emptyFolders = 0;
    this.nothing = "";
    this.picking = 0;
    if (this.data.prefix) this.selection.prefix = this.data.prefix;
    this.#listen();
  }

  #makeRun() {
    const { data } = this;
    return new Scheduler({
      api: this.api, connection: this.connection, gate: this.gate, send: sendTus,
      pool: new HashPool(() => new Worker(data.workerUrl, { type: "module" })),
      urls: { version: data.versionApi, plan: `${data.versionApi}/plan`, bundles: `${data.versionApi}/bundles`, tus: data.tusUrl },
      limits: { requestBytes: Number(data.requestBytes), bundleBytes: Number(data.bundleBytes), largeBytes: Number(data.largeBytes) },
      identity: { team: data.team, dataset: data.dataset, version: data.version },
    });
  }

  #listen() {
    const { el, run, outcome } = this;
    el.pickFolder.addEventListener("click", () => el.folderInput.click());
    el.pickFiles.addEventListener("click", () => el.fileInput.click());
    for (const input of [el.folderInput, el.fileInput]) {
      input.addEventListener("change", () => this.#picked(input));
      // Chosen while this module was on its way: there is no event to come.
      this.#picked(input);
    }
    this.#listenToDrops();
    this.review.addEventListener("start", () => this.start());
    this.review.addEventListener("change", () => this.show());
    el.pause.addEventListener("click", () => run.pause());
    el.resume.addEventListener("click", () => run.resume());
    el.cancel.addEventListener("click", () => this.cancel());
    this.runView.addEventListener("retry", ({ detail }) => this.retry(detail.items));
    outcome.addEventListener("retry", () => this.retry(run.items.list));
    outcome.addEventListener("more", () => this.#addMore());
    el.sealNow?.addEventListener("click", () => outcome.seal());
    // Disabled by the page until now: a click that nothing hears would be lost.
    for (const button of [el.pickFolder, el.pickFiles, el.sealNow]) button?.removeAttribute("disabled");
    run.addEventListener("tick", () => this.#ticked());
    globalThis.addEventListener("beforeunload", (event) => {
      if (["running", "paused", "checking"].includes(run.phase)) event.preventDefault();
    });
  }

  /** Drops are taken anywhere on the page: a missed drop zone would make the browser leave the page for the file. */
  #listenToDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const over = (on) => this.el.choose.classList.toggle("is-over", on);
    document.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = this.canChoose ? "copy" : "none";
      over(this.canChoose);
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
    document.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      over(false);
      if (this.canChoose) this.#collect(walkDrop(takeDropRoots(event.dataTransfer), { onFound: (count) => this.#finding(count) }));
    });
  }

  get canChoose() {
    return !this.el.choose.hidden;
  }

  #picked(input) {
    const files = Array.from(input.files);
    // Emptied, so that picking the same folder again is an event too.
    input.value = "";
    if (files.length > 0) this.#collect(walkInput(files, { onFound: (count) => this.#finding(count) }));
  }

  #finding(count) {
    const now = performance.now();
    if (now - (this.foundShownAt ?? 0) < 100) return;
    this.foundShownAt = now;
    setText(this.el.dropTitle, `Reading the folder: ${formatPlural(count, "file")} …`);
  }

  async #collect(walking) {
    this.picking += 1;
    this.root.setAttribute("aria-busy", "true");
    try {
      const found = await walking;
      const isFirst = this.selection.pickedCount === 0;
      this.selection.add([...found.files, ...found.unreadable]);
      this.emptyFolders += found.emptyFolders;
      if (isFirst) this.#recallChoices();
      // The folder that the address names.
      if (isFirst && this.data.prefix) this.selection.prefix = this.data.prefix;
      this.#sayFound(found);
    } finally {
      this.picking -= 1;
      if (this.picking === 0) this.root.removeAttribute("aria-busy");
      this.show();
    }
  }

  #sayFound({ files: found, unreadable, emptyFolders }) {
    const { files, bytes } = this.selection.resolve();
    this.nothing = "";
    if (found.length + unreadable.length > 0) {
      announce(`Found ${formatPlural(found.length, "file")}; ${formatPlural(files.length, "file")} to upload, ${bytes} bytes.`);
      return;
    }
    this.nothing = emptyFolders === 0 ? "Nothing was found in what you dropped."
      : `Nothing to upload was found: only ${formatPlural(emptyFolders, "empty folder")}. A dataset keeps files, and the folders that they lie in.`;
    announce(this.nothing);
  }

  /** Which parts can be seen. */
  show() {
    const { el, selection, run } = this;
    const hasRun = run.phase !== "idle" && run.phase !== "stopped" || run.items.count > 0;
    const choosing = !hasRun || this.addingMore;
    const reviewing = choosing && selection.pickedCount > 0;
    if (!reviewing) this.emptyFolders = 0;
    el.choose.hidden = !choosing;
    el.choose.classList.toggle("is-slim", reviewing);
    el.pickFolder.classList.toggle("primary", !reviewing);
    setText(el.dropTitle, reviewing ? "Add more: drop files and folders anywhere" : "Drop files and folders here");
    el.review.hidden = !reviewing;
    el.run.hidden = !hasRun;
    if (el.continue) el.continue.hidden = hasRun;
    el.nothing.hidden = this.nothing === "";
    setText(el.nothing, this.nothing);
    this.#showNote(el.emptyNote, this.emptyFolders, `${formatPlural(this.emptyFolders, "empty folder is", "empty folders are")} not kept.`);
    if (reviewing) this.review.show();
  }

  #showNote(note, count, text) {
    note.hidden = count === 0;
    setText(note.querySelector("[data-text]"), text);
  }

  start() {
    const files = [...this.selection.resolve().files].sort((a, b) => (a.path < b.path ? -1 : 1));
    this.#keepChoices();
    this.addingMore = false;
    this.outcome.hide();
    this.run.start(files);
    this.show();
    this.runView.filter("all");
    this.el.heading.scrollIntoView({ block: "nearest" });
    announce(`Uploading ${formatPlural(files.length, "file")}.`);
  }

  async retry(items) {
    const unread = items.filter(({ state, file }) => state === "failed" && !file);
    const found = await this.#readAgain(unread);
    try {
      await this.run.forgetFolders(unread.filter(({ isFolder }) => isFolder));
    } catch (error) {
      this.run.stop(error.message);
      return;
    }
    this.outcome.hide();
    this.run.start(found);
    this.run.retry(items);
  }

  /** Reads entries anew that couldn't be read. What is in a folder lies where the folder does. */
  async #readAgain(items) {
    const all = await Promise.all(items.map(async ({ path: place, entry }) => {
      const { files, unreadable } = await walkDrop([entry]);
      const found = [...files, ...unreadable].filter(({ path }) => hiddenBy(path, this.selection.hidden) === "");
      return found.map((one) => ({ ...one, path: place + normalise(one.path.slice(entry.name.length)) }));
    }));
    return all.flat();
  }

  #addMore() {
    this.selection.clear();
    this.addingMore = true;
    this.outcome.hide();
    this.show();
    this.el.pickFolder.focus();
  }

  #ticked() {
    const { run } = this;
    if (run.phase === this.lastPhase) return;
    this.lastPhase = run.phase;
    this.banner.showCause(run.phase === "paused" || run.phase === "stopped" ? run.cause : "");
    if (run.phase === "paused") announce(`Paused. ${run.cause}`);
    if (run.phase === "finished") this.outcome.show({ autoSeal: this.el.autoSeal.checked });
  }

  async cancel() {
    const answer = await askDialog(this.el.cancelDialog);
    if (answer !== "keep" && answer !== "abandon") return;
    this.run.stop();
    if (answer === "abandon") {
      try {
        await this.api.call("POST", `${this.data.versionApi}/abandon`);
      } catch (error) {
        // It was sealed while the question stood there, or somebody else abandoned it.
        this.banner.showCause(error.message);
        return;
      }
      this.#forgetChoices();
    }
    globalThis.location.assign(answer === "abandon" ? this.data.datasetPage : this.data.versionPage);
  }

  // The choices are kept in this browser, so that picking the same folder again later gives the same destinations.

  get #choicesKey() {
    return `flexai.upload.${this.data.versionApi}`;
  }

  #keepChoices() {
    try {
      localStorage.setItem(this.#choicesKey, JSON.stringify(this.selection.choices()));
    } catch {
      // Full, or forbidden by the browser: the user can set the choices again.
    }
  }

  #recallChoices() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.#choicesKey));
      if (kept) this.selection.applyChoices(kept);
    } catch {
      // As above.
    }
  }

  #forgetChoices() {
    try {
      localStorage.removeItem(this.#choicesKey);
    } catch {
      // As above.
    }
  }
}

new UploadPage(document.getElementById("uploader"));
