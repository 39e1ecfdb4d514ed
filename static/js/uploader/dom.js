// Building rows without HTML strings: file names are other people's text.

import { icon } from "../icon.js";

/** An element with classes, attributes and children. */
export function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A small icon button for a row. It is not a tab stop: the list has keys for the same actions. */
export function rowButton(action, iconName, label) {
  return make("button", "button quiet small icon-only", { type: "button", "data-act": action, tabindex: "-1", "aria-label": label, title: label }, icon(iconName));
}

/** Shows another symbol of the sprite in an icon that is there. */
export function setIcon(svg, name) {
  const use = svg.firstElementChild;
  const href = `${document.body.dataset.icons}#${name}`;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Sets text only when it differs: the page asks four times a second, and most of it stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let announcedAt = 0;

/** Says something through the page's status region. Progress (`urgent` false) is said every 15 seconds at most. */
export function announce(text, { urgent = true } = {}) {
  const now = performance.now();
  if (!urgent && now - announcedAt < 15_000) return;
  announcedAt = now;
  setText(document.getElementById("status"), text);
}

/** The elements below `root` that carry `data-el`, by that name. */
export function namedElements(root) {
  const found = {};
  for (const element of root.querySelectorAll("[data-el]")) found[element.dataset.el] = element;
  return found;
}

/** Opens a <dialog> and resolves to the value of the button that closed it; "" for Escape and the backdrop. */
export function askDialog(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

/** Fills a list with names; of many only the first, and a count of the rest. */
export function fillNames(list, names, { most = 100, total = names.length } = {}) {
  const shown = names.slice(0, most).map((name) => make("li", "wrap-any", {}, name));
  if (total > shown.length) shown.push(make("li", "muted", {}, `and ${total - shown.length} more`));
  list.replaceChildren(...shown);
}
