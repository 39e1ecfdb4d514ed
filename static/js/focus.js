// A part that polls is replaced every few seconds. htmx gives the focus back to what has an id; here all else in such a part
// is known by what it does, so that a keyboard's user is not thrown back to the top of the page.

const NAMING = ["href", "data-copy", "name", "value", "aria-label", "class"];

function isPolling(target) {
  return target.getAttribute("hx-trigger")?.startsWith("every ") ?? false;
}

/** All elements below `root` that do the same as `element`. */
function likeOf(element, root) {
  const isLike = (other) => NAMING.every((name) => other.getAttribute(name) === element.getAttribute(name));
  return [...root.querySelectorAll(element.tagName)].filter(isLike);
}

export function setUpFocus() {
  let held = null;
  document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
    const element = document.activeElement;
    held = null;
    if (!isPolling(target) || element === target || element.id || !target.contains(element)) return;
    held = { element, place: likeOf(element, target).indexOf(element), part: target.id };
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!held || document.activeElement !== document.body) return;
    const part = document.getElementById(held.part);
    const found = part ? likeOf(held.element, part) : [];
    (found[held.place] ?? found[0])?.focus({ preventScroll: true });
    held = null;
  });
}
