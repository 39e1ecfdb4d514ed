// Says what stands between the page and the server, and what will happen next.

import { icon } from "../icon.js";
import { announce, make, setText } from "./dom.js";

export class ConnectionBanner {
  #box;
  #connection;
  #signInUrl;
  #cause = "";
  #words = null;
  #timer = null;
  #shown = "";

  constructor(box, connection, signInUrl) {
    this.#box = box;
    this.#connection = connection;
    this.#signInUrl = signInUrl;
    connection.addEventListener("change", () => this.#show());
    globalThis.addEventListener("online", () => connection.tryNow());
    // A laptop that wakes up, or the user who comes back from signing in.
    document.addEventListener("visibilitychange", () => !document.hidden && connection.tryNow());
    globalThis.addEventListener("focus", () => connection.tryNow());
  }

  /** Why the run stands still, when the connection is not the reason; "" for nothing. */
  showCause(cause) {
    this.#cause = cause;
    this.#show();
  }

  #show() {
    const kind = this.#connection.state === "online" ? (this.#cause ? "cause" : "") : this.#connection.state;
    if (kind !== this.#shown) this.#build(kind);
    this.#shown = kind;
    this.#count();
  }

  #build(kind) {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#box.hidden = kind === "";
    if (kind === "") {
      this.#box.replaceChildren();
      if (this.#shown === "waiting" || this.#shown === "signed-out") announce("The server can be reached again. The upload goes on.");
      return;
    }
    this.#words = make("span");
    const glyph = { waiting: "cloud", "signed-out": "key", cause: "error" }[kind];
    const look = kind === "cause" ? "is-bad" : "is-warn";
    const actions = make("div", "actions");
    if (kind === "signed-out") {
      actions.append(make("a", "button small primary", { href: this.#signInUrl, target: "_blank", rel: "noopener" }, "Sign in in a new tab", icon("external")));
    }
    if (kind !== "cause") {
      const again = make("button", "button small", { type: "button" }, kind === "waiting" ? "Try now" : "I have signed in");
      again.addEventListener("click", () => this.#connection.tryNow());
      actions.append(again);
      this.#timer = setInterval(() => this.#count(), 1000);
    }
    this.#box.replaceChildren(make("div", `notice ${look}`, {}, icon(glyph), make("div", "row between", {}, this.#words, actions)));
    announce({
      waiting: "Waiting for the network.", "signed-out": "Your session has expired. Sign in again to go on.", cause: this.#cause,
    }[kind]);
  }

  #count() {
    if (!this.#words || this.#shown === "") return;
    if (this.#shown === "cause") setText(this.#words, this.#cause);
    else if (this.#shown === "signed-out") setText(this.#words, "Your session has expired. Sign in again, and the upload goes on by itself. Nothing is lost.");
    else {
      const seconds = Math.ceil((this.#connection.retryAt - Date.now()) / 1000);
      const next = this.#connection.retryAt === 0 || seconds <= 0 ? "trying now …" : `retrying in ${seconds} s.`;
      setText(this.#words, `Waiting for the ${navigator.onLine === false ? "network" : "server"}: ${next} Nothing is lost.`);
    }
  }
}
