"""Looks at a page as people do: both themes, two widths, with axe. SHOTS=folder keeps screenshots."""

from __future__ import annotations

import os
from typing import Any, Final, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

SHOTS = os.environ.get("SHOTS", "")
Scheme = Literal["light", "dark"]

# Where there are many pages.
SHORTLY: Final[tuple[tuple[int, Scheme], ...]] = ((1440, "light"), (390, "dark"))
# Colours fade into each other and dialogs rise, for a moment. What turns or pulses for ever is not waited for.
STILL: Final = """() => Promise.all(document.getAnimations()
  .filter(({ effect }) => Number.isFinite(effect.getComputedTiming().endTime))
  .map(({ finished }) => finished.catch(() => null)))"""
# All that the page asks for has come, and htmx has put in its place what it fetched. Browsers load lazy pictures that
# are in sight or not far below.
LOADED: Final = """() => {
  const isNear = (one) => one.checkVisibility() && one.getBoundingClientRect().top < innerHeight + 500
    && one.getBoundingClientRect().left < innerWidth;
  return document.readyState === "complete"
    && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")
    && [...document.images].every((one) => one.complete || (one.loading === "lazy" && !isNear(one)));
}"""
AXE: Final = """rules => axe.run({ resultTypes: ["violations"], ...(rules && { runOnly: rules }) })
  .then(({ violations }) => ({ violations }))"""
# What the colours decide; to every other rule a page is the same in both schemes.
OF_COLOUR: Final = ("color-contrast", "link-in-text-block")


def settle(page: Page) -> None:
    """Wait until the page has all that it asks for by itself, and nothing moves any more."""
    page.wait_for_function(LOADED)
    page.evaluate(STILL)


def run_axe(page: Page, rules: tuple[str, ...] = ()) -> AxeResults:
    """Let axe look at the page as it is now, by some rules or by all."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return AxeResults(page.evaluate(AXE, rules or None))


def violations(page: Page, path: str) -> list[str]:
    """Return what axe complains about, in a line each."""
    found: list[dict[str, Any]] = run_axe(page).response["violations"]
    return [f"{path} {item['id']}: {item['nodes'][0]['html'][:200]}" for item in found]


def glance(page: Page, name: str) -> None:
    """Let axe look in both colour schemes, one wide and one narrow, and see that nothing sticks out."""
    for width, scheme in SHORTLY:
        page.set_viewport_size({"width": width, "height": 900})
        _look(page, name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def check(page: Page, name: str) -> None:
    """Let axe look in both colour schemes and both widths, and see that nothing sticks out."""
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        _look(page, name, width, "light")
        _look(page, name, width, "dark", OF_COLOUR)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1440, "height": 900})


def _look(page: Page, name: str, width: int, scheme: Scheme, rules: tuple[str, ...] = ()) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.evaluate(STILL)
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name.replace('/', '_')}-{width}-{scheme}.png", full_page=True)
    found = run_axe(page, rules)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
