"""The application below a path of a server that it shares with others."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response, expect

from tests.servers import serve_application

pytestmark = [pytest.mark.browser, pytest.mark.server]

PREFIX = "/tools/data"


def test_nothing_leaves_the_prefix(page: Page, tmp_path: Path) -> None:
    """Sign in, make a dataset and a version, and follow every link of every page that is met."""
    wrong: list[str] = []

    def check(response: Response) -> None:
        if not urlsplit(response.url).path.startswith(f"{PREFIX}/") or response.status >= 400:
            wrong.append(f"{response.status} {response.url}")

    with serve_application(tmp_path / "application", URL_PREFIX=PREFIX) as application:
        application.bootstrap()
        page.on("response", check)
        page.goto(f"{application.url}{PREFIX}/")
        page.get_by_label("User name").fill(application.username)
        page.get_by_label("Password", exact=True).fill(application.password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="New dataset").first.click()
        page.get_by_label("Name").fill("images")
        page.get_by_role("button", name="Continue to files").click()
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Drop files and folders here")).to_be_visible()
        folder = tmp_path / "folder"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a.txt").write_text("a")
        page.set_input_files("#folder-input", folder)
        page.locator('[data-el="start"]').click()
        page.get_by_role("link", name="Open images@1").click(timeout=60_000)
        expect(page.get_by_role("heading", name="images@1")).to_be_visible()
        _follow_links(page, application.url + page.evaluate("location.pathname"))
    assert wrong == []


def _follow_links(page: Page, start: str) -> None:
    """Visit every page that can be reached by links, at most 60."""
    seen: set[str] = set()
    waiting = [start]
    while waiting and len(seen) < 60:
        address = waiting.pop()
        seen.add(address)
        page.goto(address)
        found: list[str] = page.eval_on_selector_all(
            "a[href]:not([download])", "links => links.map(link => link.href.split('#')[0])"
        )
        waiting += [link for link in found if link not in seen and link not in waiting and "archive.tar" not in link]
