"""Without JavaScript: sign in, seal, look at files, submit a job and follow it, by links, forms and reloads."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.e2e.sending import make_dataset, send_version
from tests.e2e.uploading import sign_in
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(30_000)
    yield context
    context.close()


def test_seal_browse_and_run(application: LiveApplication, context: BrowserContext) -> None:
    name = f"plain-{uuid.uuid4().hex[:8]}"
    make_dataset(application, name)
    files = {f"many/{number:04}.txt": b"%d" % number for number in range(3)} | {"a/b/Ü.txt": name.encode()}
    send_version(application, name, 1, files)
    page = context.new_page()
    sign_in(page, application)
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="@1").first.click()
    page.get_by_role("link", name="Continue this upload").click()
    # Playwright finds no text inside of noscript.
    expect(page.locator("noscript .notice")).to_be_visible()
    expect(page.locator("[data-el=pickFolder]")).to_be_hidden()
    page.go_back()
    page.get_by_role("button", name="Seal").click()
    # The page loads itself anew while it is being sealed.
    expect(page.get_by_role("heading", name=f"{name}@1 available")).to_be_visible()

    page.get_by_role("link", name="a", exact=True).click()
    page.get_by_role("link", name="b", exact=True).click()
    page.get_by_role("link", name="Ü.txt", exact=True).click()
    expect(page.locator("#content")).to_have_text(name)
    page.get_by_role("link", name="@1").first.click()
    page.get_by_role("link", name="Use in a job").click()
    expect(page.locator("#tree")).to_contain_text(f"{name}@1")
    run_job(application, context, name)


def run_job(application: LiveApplication, context: BrowserContext, name: str) -> None:
    page = context.pages[0]
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Command", exact=True).fill(f'bash -c "cat /input/{name}/a/b/Ü.txt; echo $WORD"')
    page.get_by_label("Name of variable 1").fill("WORD")
    page.get_by_label("Value of variable 1").fill("spoken")
    page.get_by_role("button", name="Another variable").click()
    expect(page.get_by_label("Name of variable 2")).to_have_value("")
    # A second one is found, attached and taken away: the rest of the form stays.
    page.get_by_label("Add a dataset").fill(name)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("button", name=f"Attach {name}").click()
    expect(page.get_by_label(f"Version of {name}")).to_have_count(2)
    page.get_by_role("button", name=f"Remove {name}").last.click()
    expect(page.get_by_label(f"Version of {name}")).to_have_count(1)
    page.get_by_role("button", name="Run job").click()
    expect(page.locator("#job-status")).to_contain_text("succeeded", timeout=60_000)
    expect(page.locator("#log")).to_contain_text("spoken")
    page.get_by_role("link", name="Plain text").click()
    expect(page.get_by_text(name)).to_be_visible()
    page.goto(f"{application.url}/account/")
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
