// Shows the fields that the others make a question of: <div data-when="field=value">.

const form = document.getElementById("connection-form");

function valueOf(name) {
  const input = form.elements.namedItem(name);
  if (!input) return "";
  return input.type === "checkbox" ? (input.checked ? "on" : "") : input.value;
}

function showAsked() {
  for (const row of form.querySelectorAll("[data-when]")) {
    const [name, value] = row.dataset.when.split("=");
    row.hidden = valueOf(name) !== value;
  }
}

form.addEventListener("change", showAsked);
showAsked();
