// The form for a new job works through htmx and plain submits; this adds what only a script can do.

/** Enter in the search box is for searching, not for the form's buttons. */
function keepEnter(event) {
  if (event.key === "Enter" && event.target.matches("input[type=search]")) event.preventDefault();
}

/** A new row of the environment is there to be typed into. */
function focusNewRow(event) {
  const { target, requestConfig } = event.detail;
  if (target?.id === "variables" || requestConfig?.elt?.value === "variable") {
    const rows = document.querySelectorAll("#variables input[name=env_name]");
    rows[rows.length - 1]?.focus();
  }
}

/** The button that took a dataset away is gone with it: the focus goes where the next one is looked for. */
function keepFocus(event) {
  if (event.detail.requestConfig?.elt?.name === "remove" && document.activeElement === document.body) {
    document.getElementById("search")?.focus();
  }
}

const form = document.getElementById("job-form");
form?.addEventListener("keydown", keepEnter);
document.body.addEventListener("htmx:afterSettle", focusNewRow);
document.body.addEventListener("htmx:afterSettle", keepFocus);
