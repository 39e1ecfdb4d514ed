// After the last byte: what arrived and what did not, and sealing.

import { sleep } from "./api.js";
import { announce, askDialog, fillNames, make, namedElements, setText } from "./dom.js";
import { formatBytes, formatPlural } from "./format.js";
import { declaredPath } from "./planner.js";

const POLL_SECONDS = [0.3, 0.5, 1, 1, 2];
const PATHS_AT_ONCE = 1000;

/** Events: "retry" (failed files), "more" (add files). */
export class OutcomeView extends EventTarget {
  #el;
  #api;
  #run;
  #data;
  /** What stands in the way: `paths` to show; `isCounted` when the server knows all `total` of them, and we only some. */
  #missing = { paths: [], total: 0, isCounted: false };

  constructor(root, { api, run, data }) {
    super();
    this.#el = namedElements(root);
    this.#api = api;
    this.#run = run;
    this.#data = data;
    this.#el.seal.addEventListener("click", () => this.seal());
    this.#el.sealWithout.addEventListener("click", () => this.#sealWithout());
    this.#el.retryFailed.addEventListener("click", () => this.dispatchEvent(new Event("retry")));
    this.#el.addMore.addEventListener("click", () => this.dispatchEvent(new Event("more")));
  }

  hide() {
    this.#el.outcome.hidden = true;
  }

  /** The run has finished: compares what was found with what the server has verified. */
  show({ autoSeal }) {
    const { items, verified } = this.#run;
    const failed = items.list.filter(({ state }) => state === "failed");
    const found = `${formatPlural(items.count, "file")}, ${formatBytes(items.bytes)}`;
    const there = `${formatPlural(verified.count, "file")}, ${formatBytes(verified.bytes)}`;
    if (failed.length > 0) {
      this.#missing = { paths: failed.map(declaredPath), total: failed.length, isCounted: false };
      this.#present({
        title: `${formatPlural(failed.length, "file")} could not be uploaded`,
        text: `Found ${found}. Verified by the server: ${there}. The failed files are listed below with their causes.`,
        offer: ["sealWithout", "retryFailed", "addMore"],
      });
    } else {
      const text = `Found ${found}. Verified by the server: ${there}.`;
      this.#present({ title: "Everything has arrived", text, offer: ["seal", "addMore"] });
      if (autoSeal) this.seal();
    }
  }

  #present({ title, text, offer = [], names = [], total = names.length, busy = false }) {
    const { outcome, outcomeTitle, outcomeText, outcomeNames, outcomeActions, sealBar } = this.#el;
    outcome.hidden = false;
    setText(outcomeTitle, title);
    setText(outcomeText, text);
    sealBar.hidden = !busy;
    outcomeNames.hidden = names.length === 0;
    fillNames(outcomeNames, names, { total });
    for (const button of ["openVersion", "seal", "sealWithout", "retryFailed", "addMore"]) this.#el[button].hidden = !offer.includes(button);
    outcomeActions.hidden = offer.length === 0;
    setText(this.#el.sealWithout, `Seal without ${this.#missing.total === 1 ? "this file" : `these ${formatPlural(this.#missing.total, "file")}`}`);
    announce(`${title}. ${text}`);
    outcome.scrollIntoView({ block: "nearest" });
  }

  /** Asks for the seal and follows it to its end. */
  async seal() {
    const { versionApi, label } = this.#data;
    this.#present({ title: `Sealing ${label}`, text: "The server builds the tree and its digest.", busy: true });
    let version = null;
    try {
      ({ body: version } = await this.#api.call("POST", `${versionApi}/seal`));
    } catch (error) {
      if (!(await this.#isUnderWay(error))) {
        this.#refused(error);
        return;
      }
    }
    if (!version || !this.#isOver(version)) await this.#follow();
  }

  /** A seal whose answer was lost is asked for twice, and refused the second time: the version tells whether it is on its way. */
  async #isUnderWay({ status }) {
    if (status !== 409) return false;
    try {
      const { body } = await this.#api.call("GET", this.#data.versionApi);
      return body.status === "pending" || body.status === "available";
    } catch {
      return false;
    }
  }

  #refused(error) {
    const paths = error.errors.filter(({ path }) => path);
    if (error.status === 409 && paths.length > 0) {
      // The server names the first hundred; the count in its sentence is of all.
      const total = Math.max(paths.length, Number.parseInt(error.message, 10) || 0);
      this.#missing = { paths: paths.map(({ path }) => path), total, isCounted: true };
      this.#present({
        title: `Not sealed: ${formatPlural(total, "file is", "files are")} missing`,
        text: "They were declared for this version, now or in an earlier session, and have not arrived. Pick their folder again to send them, or leave them out.",
        names: paths.map(({ path, detail }) => `${path}: ${detail}`), total, offer: ["sealWithout", "addMore"],
      });
    } else this.#present({ title: "Not sealed", text: error.message, offer: ["seal", "addMore"] });
  }

  async #follow() {
    const { versionApi, label } = this.#data;
    for (let look = 0; ; look += 1) {
      await sleep(POLL_SECONDS[Math.min(look, POLL_SECONDS.length - 1)]);
      let body;
      try {
        ({ body } = await this.#api.call("GET", versionApi));
      } catch (error) {
        this.#present({ title: `${label} can't be seen any more`, text: `${error.message} It was being sealed when it was last seen.` });
        return;
      }
      if (this.#isOver(body)) return;
    }
  }

  /** Shows how sealing has ended; false while it goes on. A small version is sealed in the answer already. */
  #isOver(version) {
    if (version.status === "available") this.#sealed(version);
    else if (version.status === "error") {
      this.#present({ title: `Sealing ${this.#data.label} failed`, text: version.error || "The server gave no cause.", offer: ["seal", "addMore"] });
    } else return false;
    return true;
  }

  #sealed({ file_count: count, size, digest }) {
    const { label, dataset } = this.#data;
    document.getElementById("version-status").replaceChildren(make("span", "badge is-ok", {}, "available"));
    this.#present({
      title: `${label} is available`,
      text: `${formatPlural(count, "file")}, ${formatBytes(size)}, digest ${digest.slice(0, 19)}…  Jobs find it at /input/${dataset}/.`,
      offer: ["openVersion"],
    });
    this.#el.openVersion.focus();
    this.dispatchEvent(new Event("sealed"));
  }

  async #sealWithout() {
    const { paths, total, isCounted } = this.#missing;
    const { withoutDialog, withoutTitle, withoutNames, withoutYes } = this.#el;
    const what = total === 1 ? "this file" : `these ${formatPlural(total, "file")}`;
    setText(withoutTitle, `Seal without ${what}?`);
    setText(withoutYes, `Leave out ${formatPlural(total, "file")} and seal`);
    fillNames(withoutNames, paths, { most: 1000, total });
    if ((await askDialog(withoutDialog)) !== "seal") return;
    try {
      if (isCounted) await this.#leaveOut({ count: total });
      else for (let start = 0; start < paths.length; start += PATHS_AT_ONCE) await this.#leaveOut({ paths: paths.slice(start, start + PATHS_AT_ONCE) });
    } catch (error) {
      this.#refused(error);
      return;
    }
    await this.seal();
  }

  #leaveOut(which) {
    return this.#api.call("POST", `${this.#data.versionApi}/leave-out`, which);
  }
}
