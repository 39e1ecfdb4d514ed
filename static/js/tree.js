// Directories open in place: htmx loads the rows once, later clicks fold and unfold them. Without scripts the link opens the page.

function setOpen(toggle, open) {
  toggle.setAttribute("aria-expanded", String(open));
  const list = toggle.closest("li").querySelector(":scope > ul");
  if (list) list.hidden = !open;
}

export function setUpTree() {
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const toggle = event.detail.elt;
    if (!toggle.classList?.contains("tree-toggle")) return;
    const list = toggle.closest("li").querySelector(":scope > ul");
    if (!list.childElementCount) return;
    event.preventDefault();
    setOpen(toggle, toggle.getAttribute("aria-expanded") !== "true");
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    const toggle = event.detail.requestConfig?.elt;
    if (toggle?.classList?.contains("tree-toggle")) setOpen(toggle, true);
  });
  document.addEventListener("keydown", (event) => {
    const toggle = event.target.closest?.(".tree-toggle");
    if (!toggle) return;
    const open = toggle.getAttribute("aria-expanded") === "true";
    if ((event.key === "ArrowRight" && !open) || (event.key === "ArrowLeft" && open) || event.key === " ") {
      event.preventDefault();
      toggle.click();
    }
  });
}
