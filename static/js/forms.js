// Small comforts for plain forms; all of them work without this file too.

const NAME_RULES = [
  ["length", (text) => text.length >= 3 && text.length <= 63],
  ["characters", (text) => /^[A-Za-z0-9_-]+$/.test(text)],
  ["ends", (text) => /^[A-Za-z0-9](.*[A-Za-z0-9])?$/.test(text)],
];

/** Rule hints under a name: <input data-name-rules="id of a list whose items have data-rule">. */
function showRules(input) {
  const list = document.getElementById(input.dataset.nameRules);
  for (const [rule, holds] of NAME_RULES) {
    const item = list?.querySelector(`[data-rule="${rule}"]`);
    item?.classList.toggle("met", input.value !== "" && holds(input.value));
    item?.classList.toggle("broken", input.value !== "" && !holds(input.value));
  }
  for (const shown of document.querySelectorAll(`[data-mirrors="${input.id}"]`)) {
    shown.textContent = input.value || shown.dataset.empty || "";
  }
}

export function setUpForms() {
  document.addEventListener("input", (event) => {
    if (event.target.dataset?.nameRules) showRules(event.target);
  });
  for (const input of document.querySelectorAll("[data-name-rules]")) if (input.value) showRules(input);
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("select[data-autosubmit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });
}
