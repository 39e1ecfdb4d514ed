// A picture that the server can't draw: its tile says its name, its page says why. Browsers would show a broken icon alone.

async function explain(image) {
  image.hidden = true;
  const words = document.createElement("p");
  words.className = "picture-problem";
  words.textContent = image.alt;
  image.after(words);
  // Of many tiles the names are enough.
  if (image.closest(".gallery")) return;
  words.setAttribute("role", "status");
  const response = await fetch(image.currentSrc || image.src).catch(() => null);
  const isReason = response && !response.ok && response.headers.get("Content-Type")?.startsWith("text/plain");
  words.textContent = isReason ? await response.text() : "The picture could not be loaded. Load the page again in a moment.";
}

function isBroken(image) {
  return image.hasAttribute("src") && image.complete && image.naturalWidth === 0;
}

document.addEventListener(
  "error",
  (event) => {
    if (event.target.matches?.("img[data-product]:not([hidden])")) explain(event.target);
  },
  true, // Errors of pictures don't bubble.
);
for (const image of document.querySelectorAll("img[data-product]")) if (isBroken(image)) explain(image);
