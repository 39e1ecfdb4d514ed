// Pictures one after the other, over the page. Links with data-lightbox (the picture's address) open it; without scripts
// they lead to the file's page.

const dialog = document.getElementById("lightbox");
const image = dialog.querySelector("img");
const name = document.getElementById("lightbox-name");
const place = dialog.querySelector("[data-place]");
let links = [];
let at = 0;
let isWaiting = false;

function collect() {
  links = [...document.querySelectorAll("[data-lightbox]")];
}

function address(link) {
  return link.dataset.lightbox || link.href;
}

function show(number) {
  at = number;
  const link = links[at];
  dialog.querySelector(".picture-problem")?.remove();
  image.hidden = false;
  image.alt = link.title;
  image.src = address(link);
  name.textContent = link.title;
  place.textContent = links.length > 1 ? `${at + 1} of ${links.length}` : "";
  const page = dialog.querySelector("[data-page]");
  page.hidden = !link.dataset.lightbox;
  page.href = link.href;
  for (const button of dialog.querySelectorAll("[data-step]")) {
    const next = at + Number(button.dataset.step);
    // Not disabled: a button that is would lose the focus.
    button.setAttribute("aria-disabled", String(next < 0 || (next >= links.length && !moreLink())));
    button.hidden = links.length < 2;
    if (links[next]) new Image().src = address(links[next]);
  }
}

function moreLink() {
  return document.querySelector(".gallery-more a[hx-get]");
}

function step(by) {
  const next = at + by;
  if (next >= 0 && next < links.length) show(next);
  else if (next >= links.length && moreLink() && !isWaiting) {
    isWaiting = true;
    place.textContent = "Loading more …";
    window.htmx.trigger(moreLink(), "click");
  }
}

function open(link) {
  collect();
  const current = link.dataset.lightbox ? link : links.find((one) => one.hasAttribute("aria-current"));
  if (!current) links = [link];
  dialog.showModal();
  show(Math.max(0, links.indexOf(current ?? link)));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-lightbox], [data-enlarges]");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  open(link);
});
dialog.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (button) step(Number(button.dataset.step));
  else if (event.target.matches(".lightbox, .lightbox-body")) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  step(by);
});
dialog.addEventListener("close", () => {
  isWaiting = false;
  image.removeAttribute("src");
  links[at]?.focus();
});
// The gallery grew, because the end of it was reached; this comes once for each new element.
document.body.addEventListener("htmx:load", () => {
  if (!isWaiting || !dialog.open) return;
  isWaiting = false;
  const link = links[at];
  collect();
  const here = links.indexOf(link);
  show(here + 1 < links.length ? here + 1 : here);
});
