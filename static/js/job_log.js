// Streams a job's log into its page: asks the API for what follows the last byte, until the server says that it is all.

const POLL_MS = 1000;
const RETRY_MS = 5000;
const KEPT_CHARACTERS = 1_000_000;
// Colours and cursor movements of terminals: the log is shown as plain text.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** Show text as a terminal would: progress bars rewrite their line after a carriage return. */
export function renderTerminal(text) {
  return text
    .replace(ESCAPES, "")
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => {
      const parts = line.split("\r");
      // A line that ends in a return is still to be overwritten, so its last text stays visible.
      return parts.findLast((part) => part !== "") ?? "";
    })
    .join("\n");
}

class LogView {
  constructor(view, note, button) {
    this.view = view;
    this.note = note;
    this.button = button;
    this.raw = view.textContent;
    this.offset = Number(view.dataset.offset);
    this.follows = true;
    this.show();
    view.addEventListener("scroll", () => this.noticeScroll());
    button.addEventListener("click", () => this.follow(!this.follows));
  }

  show() {
    if (this.raw.length > KEPT_CHARACTERS) {
      this.raw = `… earlier lines are in the plain text\n${this.raw.slice(this.raw.indexOf("\n", this.raw.length - KEPT_CHARACTERS / 2) + 1)}`;
    }
    const text = renderTerminal(this.raw);
    if (this.view.textContent !== text) this.view.textContent = text;
    if (text) this.note.textContent = "";
    if (this.follows) this.view.scrollTop = this.view.scrollHeight;
  }

  follow(wanted) {
    this.follows = wanted;
    this.button.setAttribute("aria-pressed", String(wanted));
    if (wanted) this.view.scrollTop = this.view.scrollHeight;
  }

  noticeScroll() {
    const atEnd = this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight < 24;
    if (atEnd !== this.follows) this.follow(atEnd);
  }

  /** Fetch the next part; returns whether it was the last one. */
  async fetchPart() {
    const response = await fetch(`${this.view.dataset.url}?offset=${this.offset}`, { credentials: "same-origin" });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    const text = await response.text();
    const next = Number(response.headers.get("X-Next-Offset"));
    const moved = next > this.offset;
    this.offset = next;
    if (text) {
      this.raw += text;
      this.show();
    }
    return { isFinal: response.headers.get("X-Log-Final") === "true", moved };
  }

  async run() {
    this.button.hidden = false;
    for (;;) {
      let wait = POLL_MS;
      try {
        const { isFinal, moved } = await this.fetchPart();
        if (isFinal) break;
        // A long log comes in many parts, one right after the other.
        if (moved) wait = 100;
        if (this.note.dataset.failed) {
          this.note.textContent = "";
          delete this.note.dataset.failed;
        }
      } catch (error) {
        this.note.dataset.failed = "yes";
        this.note.textContent = `The log could not be read (${error.message}) Trying again.`;
        wait = RETRY_MS;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    this.button.hidden = true;
    if (!this.view.textContent) this.note.textContent = "It printed nothing.";
  }
}

const view = globalThis.document?.getElementById("log");
if (view) {
  const log = new LogView(view, document.getElementById("log-note"), document.getElementById("log-follow"));
  if (view.dataset.final !== "true") log.run();
}
