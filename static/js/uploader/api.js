// The public HTTP API as the page needs it: JSON calls with the session cookie and the CSRF header, errors as
// application/problem+json. A call outlives a lost network and an expired session: it waits and is sent again.

const CALL_SECONDS = 120;
const TRIES = 5;

/** The server refused: `status`, `type`, `title`, `detail`, and `errors` per field or path. */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.type = body.type ?? "";
    this.title = body.title ?? "";
    this.errors = Array.isArray(body.errors) ? body.errors : [];
  }

  /** The server's disk is full: its trouble, not the file's. */
  get isOutOfSpace() {
    return this.type.endsWith(":out-of-space");
  }
}

/** No answer: the network or the server is away. */
export class Unreachable extends Error {
  constructor(cause) {
    super("The server can't be reached.", { cause });
    this.name = "Unreachable";
  }
}

/** A server that is starting, stopping or behind a proxy that lost it: worth waiting for. */
export function isAway(status) {
  return status === 0 || status === 502 || status === 503 || status === 504;
}

/** The same URL on the origin of this page: a server behind a TLS proxy may not know its own scheme. */
export function onThisOrigin(url, base = document.baseURI) {
  const { pathname, search } = new URL(url, base);
  return new URL(pathname + search, base).href;
}

export function sleep(seconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
  });
}

/** The value of a cookie, or "". */
export function readCookie(name, cookies = document.cookie) {
  const found = cookies.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

/** Parses a problem+json body; a proxy's HTML page gives an empty problem. */
export function parseProblem(status, text) {
  try {
    return new Problem(status, JSON.parse(text));
  } catch {
    return new Problem(status);
  }
}

export class Api {
  #gate;
  #connection;
  #csrfToken;
  #fetch;

  /**
   * @param {{gate: import("./gate.js").Gate, connection: import("./connection.js").Connection, csrfToken: () => string}} parts
   *   The token is asked for at each request: it changes when the user signs in again in another tab.
   */
  constructor({ gate, connection, csrfToken, fetch = globalThis.fetch }) {
    this.#gate = gate;
    this.#connection = connection;
    this.#csrfToken = csrfToken;
    this.#fetch = fetch.bind(globalThis);
  }

  /** Headers that every unsafe request needs, tus included. */
  headers() {
    return { "X-CSRFToken": this.#csrfToken() };
  }

  /**
   * One API call; resolves to {status, body, location}. Throws Problem for what only the caller can decide.
   */
  async call(method, url, json) {
    for (let tries = 1; ; tries += 1) {
      await this.#connection.ready();
      try {
        return await this.#gate.run(() => this.#once(method, url, json));
      } catch (error) {
        if (!(await this.#isWorthRetrying(error, tries))) throw error;
      }
    }
  }

  async #isWorthRetrying(error, tries) {
    if (error instanceof Unreachable || isAway(error.status)) {
      await this.#connection.lost(error.message);
      return true;
    }
    if (error.status === 401) {
      await this.#connection.signedOut();
      return true;
    }
    if ([423, 429, 500].includes(error.status) && tries < TRIES) {
      await sleep(error.retryAfter || Math.min(30, 2 ** (tries - 1)) * (0.75 + Math.random() / 4));
      return true;
    }
    // A token that was changed by signing in again in another tab, between reading and sending.
    return error.status === 403 && tries === 1;
  }

  async #once(method, url, json) {
    const headers = { Accept: "application/json", ...(method === "GET" ? {} : this.headers()) };
    if (json !== undefined) headers["Content-Type"] = "application/json";
    let response;
    let text;
    try {
      response = await this.#fetch(url, {
        method, headers, credentials: "same-origin", cache: "no-store",
        body: json === undefined ? undefined : JSON.stringify(json),
        signal: AbortSignal.timeout(CALL_SECONDS * 1000),
      });
      text = await response.text();
    } catch (error) {
      throw new Unreachable(error);
    }
    if (!response.ok) {
      const problem = parseProblem(response.status, text);
      problem.retryAfter = Number(response.headers.get("Retry-After")) || 0;
      throw problem;
    }
    const isJson = response.headers.get("Content-Type")?.includes("json");
    return { status: response.status, body: isJson && text ? JSON.parse(text) : null, location: response.headers.get("Location") ?? "" };
  }
}

/** Asks a cheap URL whether work can go on: a probe for Connection. */
export function makeProbe(url, fetch = globalThis.fetch) {
  return async () => {
    const response = await fetch.call(globalThis, url, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(15_000) });
    await response.arrayBuffer();
    if (response.status === 401) return "signed-out";
    return isAway(response.status) || response.status === 500 ? "down" : "ok";
  };
}
