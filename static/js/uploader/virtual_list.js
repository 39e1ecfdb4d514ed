// A list of any length with a bounded number of DOM rows. Rows have one fixed height, read from the CSS property --row-height.
// The viewport keeps the focus and names the active row by aria-activedescendant: a row element is reused as soon as it
// leaves the view, and focus inside it would be lost.

const OVERSCAN = 6;
// Browsers clip elements that are higher than some ten million pixels. Beyond that, a pixel of scrolling moves more than one.
const MOST_PIXELS = 8_000_000;

export class VirtualList extends EventTarget {
  #viewport;
  #body;
  #makeRow;
  #fillRow;
  #rowHeight;
  #count = 0;
  #active = -1;
  #slots = new Map(); // index -> row element
  #spare = [];
  #frame = 0;

  /**
   * Events: "act" with detail {index, action} for a click on an element with `data-act`, and "key" with detail {index, key} for a key that
   * the list does not use itself; `preventDefault()` on it stops the browser's default.
   * @param {HTMLElement} viewport has role grid or treegrid and holds an element `.vlist-body`
   * @param {{makeRow: () => HTMLElement, fillRow: (row: HTMLElement, index: number) => void}} parts
   */
  constructor(viewport, { makeRow, fillRow }) {
    super();
    this.#viewport = viewport;
    this.#body = viewport.querySelector(".vlist-body");
    this.#makeRow = makeRow;
    this.#fillRow = fillRow;
    this.#rowHeight = Number.parseFloat(getComputedStyle(viewport).getPropertyValue("--row-height")) || 34;
    viewport.addEventListener("scroll", () => this.#schedule(), { passive: true });
    viewport.addEventListener("keydown", (event) => this.#keydown(event));
    viewport.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#schedule()).observe(viewport);
  }

  get active() {
    return this.#active;
  }

  /** Draws all visible rows anew, after the data or the number of rows changed. */
  update(count = this.#count) {
    if (count !== this.#count) {
      this.#count = count;
      this.#viewport.setAttribute("aria-rowcount", String(count));
      this.#body.style.height = `${this.#pixels}px`;
      if (this.#active >= count) this.#setActive(count - 1);
    }
    this.#draw(true);
  }

  /** Makes a row active and brings it into view. */
  go(index) {
    const bounded = Math.max(0, Math.min(index, this.#count - 1));
    const top = this.#topOf(bounded);
    const { scrollTop, clientHeight } = this.#viewport;
    const header = this.#body.offsetTop;
    if (top < scrollTop) this.#viewport.scrollTop = top;
    else if (top + this.#rowHeight + header > scrollTop + clientHeight) this.#viewport.scrollTop = top + this.#rowHeight + header - clientHeight;
    this.#setActive(bounded);
    this.#draw(false);
  }

  get #pixels() {
    return Math.min(this.#count * this.#rowHeight, MOST_PIXELS);
  }

  /** How many rows fit, and where the first is, under a scaled scroll bar too. */
  #firstVisible(scrollTop, clientHeight) {
    const room = this.#pixels - clientHeight;
    const wanted = this.#count * this.#rowHeight - clientHeight;
    const scale = room > 0 && wanted > room ? wanted / room : 1;
    return (scrollTop * scale) / this.#rowHeight;
  }

  #topOf(index) {
    const scale = this.#pixels / (this.#count * this.#rowHeight);
    return index * this.#rowHeight * scale;
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw(false);
    });
  }

  #draw(refill) {
    // Everything is read before anything is written: each read after a write would make the browser lay out anew.
    const { scrollTop, clientHeight } = this.#viewport;
    const fit = Math.ceil(clientHeight / this.#rowHeight) + 1;
    const exact = this.#firstVisible(scrollTop, clientHeight);
    const from = Math.max(0, Math.floor(exact) - OVERSCAN);
    const to = Math.min(this.#count, Math.floor(exact) + fit + OVERSCAN);
    for (const [index, row] of this.#slots) {
      if (index >= from && index < to) continue;
      this.#slots.delete(index);
      this.#spare.push(row);
    }
    for (let index = from; index < to; index += 1) {
      let row = this.#slots.get(index);
      const isNew = row === undefined;
      if (isNew) {
        row = this.#takeRow();
        this.#slots.set(index, row);
        row.setAttribute("aria-rowindex", String(index + 1));
      }
      if (isNew || refill) this.#fillRow(row, index);
      // Under a scaled scroll bar rows are placed relative to the view, otherwise each has its own place.
      const place = `translateY(${Math.round(scrollTop + (index - exact) * this.#rowHeight)}px)`;
      if (row.place !== place) row.style.transform = place;
      row.place = place;
      row.classList.toggle("is-active", index === this.#active);
    }
    for (const row of this.#spare.splice(0)) row.remove();
    this.#nameActive();
  }

  #takeRow() {
    const row = this.#spare.pop() ?? this.#makeRow();
    if (!row.isConnected) {
      row.id ||= `${this.#viewport.id}-row-${VirtualList.#nextId++}`;
      this.#body.append(row);
    }
    return row;
  }

  static #nextId = 1;

  #setActive(index) {
    this.#slots.get(this.#active)?.classList.remove("is-active");
    this.#active = index;
    this.#slots.get(index)?.classList.add("is-active");
    this.#nameActive();
  }

  #nameActive() {
    const row = this.#slots.get(this.#active);
    if (row) this.#viewport.setAttribute("aria-activedescendant", row.id);
    else this.#viewport.removeAttribute("aria-activedescendant");
  }

  #click(event) {
    const row = event.target.closest("[role=row]");
    for (const [index, element] of this.#slots) {
      if (element !== row) continue;
      this.#setActive(index);
      const action = event.target.closest("[data-act]")?.dataset.act;
      if (action) this.dispatchEvent(new CustomEvent("act", { detail: { index, action } }));
      return;
    }
  }

  #keydown(event) {
    if (event.target !== this.#viewport || event.ctrlKey || event.metaKey || event.altKey || this.#count === 0) return;
    const page = Math.max(1, Math.floor(this.#viewport.clientHeight / this.#rowHeight) - 1);
    const target = {
      ArrowDown: this.#active + 1, ArrowUp: this.#active - 1, PageDown: this.#active + page, PageUp: this.#active - page,
      Home: 0, End: this.#count - 1,
    }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      this.go(target);
    } else if (this.#active >= 0) {
      const told = new CustomEvent("key", { detail: { index: this.#active, key: event.key }, cancelable: true });
      if (!this.dispatchEvent(told)) event.preventDefault();
    }
  }
}
