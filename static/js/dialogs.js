// Dialogs (data-opens, data-closes), confirmation (data-confirm, hx-confirm) and menus that close by themselves.

/** Ask in the page's confirmation dialog; resolves to true when the user agrees. */
export function confirmAction(question, action = "Continue", refusal = "Cancel") {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-confirm-question]").textContent = question;
  dialog.querySelector("[data-confirm-yes]").textContent = action;
  dialog.querySelector("[data-confirm-no]").textContent = refusal;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function openAndClose(event) {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens)?.showModal();
  }
  event.target.closest("[data-closes]")?.closest("dialog")?.close();
  // A click on the backdrop has the dialog itself as its target.
  if (event.target instanceof HTMLDialogElement && event.target.classList.contains("dialog") && event.target.open) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
}

async function confirmSubmit(event) {
  const form = event.target;
  const source = event.submitter?.dataset.confirm ? event.submitter : form;
  if (!source.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  if (await confirmAction(source.dataset.confirm, source.dataset.confirmAction, source.dataset.confirmNo)) {
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
    delete form.dataset.confirmed;
  }
}

async function confirmHtmx(event) {
  if (!event.detail.question) return;
  event.preventDefault();
  const { elt, question, issueRequest } = event.detail;
  if (await confirmAction(question, elt.dataset.confirmAction, elt.dataset.confirmNo)) issueRequest(true);
}

export function setUpDialogs() {
  document.addEventListener("click", openAndClose);
  // In the capture phase, so that it comes before htmx's own submit handler.
  document.addEventListener("submit", confirmSubmit, true);
  document.body.addEventListener("htmx:confirm", confirmHtmx);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}
