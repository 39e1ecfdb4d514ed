// Short messages at the corner. The server sends one by HX-Trigger: {"toast": {"level": "ok|bad|info", "text": "..."}}.

import { icon } from "./icon.js";

const SECONDS = { ok: 5, info: 6, bad: 12 };
const ICONS = { ok: "ok", info: "info", bad: "error" };

export function toast(text, level = "info") {
  const region = document.getElementById("toasts");
  if (!region) return;
  const box = document.createElement("div");
  box.className = `toast is-${level}`;
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "copy";
  close.setAttribute("aria-label", "Dismiss");
  close.append(icon("x"));
  close.addEventListener("click", () => box.remove());
  box.append(icon(ICONS[level] ?? "info"), words, close);
  region.append(box);
  let timer;
  const start = () => { timer = setTimeout(() => box.remove(), 1000 * (SECONDS[level] ?? 6)); };
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", start);
  start();
}

export function setUpToasts() {
  document.body.addEventListener("toast", (event) => toast(event.detail.text, event.detail.level));
  document.body.addEventListener("htmx:sendError", () => toast("The server can't be reached. Check the connection and try again.", "bad"));
  document.body.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (!xhr.getResponseHeader("HX-Trigger")) toast(`The server answered ${xhr.status} ${xhr.statusText}`.trim(), "bad");
  });
}
