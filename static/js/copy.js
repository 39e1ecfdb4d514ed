// Copy buttons: <button data-copy="text"> made by {% copy text %}, data-copy-from="id of an element" by {% copy_from id %}.

import { toast } from "./toast.js";

async function writeClipboard(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain http on a host name other than localhost has no clipboard API.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr-only";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser refused to copy.");
}

async function copyFrom(button) {
  try {
    await writeClipboard(button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent);
  } catch {
    toast("The browser refused to copy. Select the text and copy it by hand.", "bad");
    return;
  }
  button.classList.add("copied");
  const status = document.getElementById("status");
  if (status) status.textContent = "Copied";
  setTimeout(() => {
    button.classList.remove("copied");
    if (status) status.textContent = "";
  }, 1600);
}

export function setUpCopy() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    event.preventDefault();
    copyFrom(button);
  });
}
