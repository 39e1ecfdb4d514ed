// A counter of places: at most `places` requests are under way at once, the rest wait in turn.

export class Gate {
  #free;
  #line = [];

  constructor(places) {
    this.#free = places;
  }

  /** Runs `task` when a place is free, and gives the place back when it has ended, well or badly. */
  async run(task) {
    if (this.#free > 0) this.#free -= 1;
    else {
      await new Promise((resolve) => {
        this.#line.push(resolve);
      });
    }
    try {
      return await task();
    } finally {
      const next = this.#line.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
