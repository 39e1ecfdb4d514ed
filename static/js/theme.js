// The theme switch: light, dark, or what the system prefers. theme-boot.js applies it on the next page.

const root = document.documentElement;

function currentTheme() {
  return root.dataset.theme ?? "system";
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === currentTheme()));
  }
}

function chooseTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Without storage the choice lasts for this page.
  }
  showTheme();
}

export function setUpTheme() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) chooseTheme(button.dataset.themeChoice);
  });
  showTheme();
}
