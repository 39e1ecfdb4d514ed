// The form for an import works through htmx and plain submits; this adds what only a script can do.

let wanted = null;

/** Opening a folder replaces the row that had the focus: go on at the file that is picked, else at the first row. */
function keepFocus(event) {
  const { target, requestConfig } = event.detail;
  const name = requestConfig?.elt?.name;
  if (target?.id !== "source" && event.target?.id !== "source") return;
  if (!["open", "pick", "more"].includes(name) && wanted === null) return;
  wanted = null;
  if (document.activeElement !== document.body) return;
  const browser = document.getElementById("browser");
  (browser?.querySelector("button.entry[aria-pressed=true]") ?? browser?.querySelector("button.entry") ?? browser?.querySelector("[aria-current]"))?.focus();
}

/** What the preview says is read out, and is in sight. */
function showPreview(event) {
  if (event.detail.requestConfig?.elt?.value !== "preview") return;
  const preview = document.getElementById("preview");
  preview?.focus({ preventScroll: true });
  preview?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

document.body.addEventListener("htmx:afterSettle", keepFocus);
document.body.addEventListener("htmx:afterSettle", showPreview);
