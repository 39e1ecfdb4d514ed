"""Looks at a page as people do: both themes, two widths, with axe. SHOTS=folder keeps screenshots."""

from __future__ import annotations

import os

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SHOTS = os.environ.get("SHOTS", "")


# Where there are many pages.
SHORTLY = ((1440, "light"), (390, "dark"))


def glance(page: Page, name: str) -> None:
    """Let axe look in both colour schemes, one wide and one narrow, and see that nothing sticks out."""
    for width, scheme in SHORTLY:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # Colours fade into each other for a moment.
        page.wait_for_timeout(200)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name.replace('/', '_')}-{width}-{scheme}.png", full_page=True)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def check(page: Page, name: str) -> None:
    """Let axe look in both colour schemes and both widths, and see that nothing sticks out."""
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            # Colours fade into each other for a moment.
            page.wait_for_timeout(200)
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1440, "height": 900})
