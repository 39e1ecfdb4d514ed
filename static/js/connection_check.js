// Shows each step of a connection's check as soon as it is done: the server sends one JSON line for each.

import { toast } from "./toast.js";

const form = document.getElementById("check-form");
const list = document.getElementById("check-steps");
const outcome = document.getElementById("check-outcome");

/** Yield the parsed lines of a response while it is still arriving. */
async function* readLines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function showWaiting() {
  list.replaceChildren();
  const item = document.createElement("li");
  item.className = "step is-running";
  const spinner = document.createElement("span");
  spinner.className = "spinner";
  const words = document.createElement("p");
  words.className = "muted";
  words.textContent = "Checking …";
  item.append(spinner, words);
  list.append(item);
  return item;
}

async function check() {
  const button = form.querySelector("button");
  button.disabled = true;
  outcome.textContent = "";
  const waiting = showWaiting();
  try {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { "HX-Request": "true" } });
    if (!response.ok || !response.headers.get("Content-Type")?.includes("ndjson")) throw new Error(`The server answered ${response.status}.`);
    for await (const part of readLines(response)) {
      if (part.step) waiting.insertAdjacentHTML("beforebegin", part.step);
      if (part.outcome) outcome.innerHTML = part.outcome;
    }
  } catch (error) {
    toast(`The check could not be finished. ${error.message}`, "bad");
  }
  waiting.remove();
  button.disabled = false;
}

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    check();
  });
  if ("now" in form.dataset) {
    // A reload must not check again.
    history.replaceState(null, "", location.pathname);
    check();
  }
}
