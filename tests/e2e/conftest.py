"""What the browser tests share: one running application, a signed-in page, and a driver for the upload page."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Cookie, Page

from tests.e2e.uploading import UploadDriver, sign_in
from tests.servers import LiveApplication, serve_with_account

REQUEST_BYTES = 1 << 20


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApplication]:
    """Run one application for all browser tests; its requests are small, so that a transfer has many.

    Its connections may reach this machine, where the test servers are.
    """
    folder = tmp_path_factory.mktemp("e2e") / "application"
    settings = {"UPLOAD_REQUEST_BYTES": str(REQUEST_BYTES), "ALLOWED_SOURCE_NETWORKS": "127.0.0.0/8"}
    with serve_with_account(folder, **settings) as running:
        yield running


@pytest.fixture
def console_errors(page: Page) -> list[str]:
    """Collect what the page complains about: refusals of the security policy are written there."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # A refused request is written there too, and some tests provoke those.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


@pytest.fixture(scope="session")
def cookies(browser: Browser, application: LiveApplication) -> list[Cookie]:
    """Sign in once for all tests: what a password costs on purpose is the server's time. Don't sign out with these."""
    context = browser.new_context()
    sign_in(context.new_page(), application)
    found = context.cookies()
    context.close()
    return found


@pytest.fixture
def signed_in(page: Page, context: BrowserContext, cookies: list[Cookie], console_errors: list[str]) -> Iterator[Page]:
    """Give a page of a signed-in user; at the end, it must have complained about nothing."""
    context.set_default_timeout(30_000)
    context.add_cookies(cookies)  # type: ignore[arg-type]
    yield page
    assert console_errors == []


@pytest.fixture
def upload_page(signed_in: Page, application: LiveApplication) -> Callable[..., UploadDriver]:
    """Give a function that starts a version of a new dataset and opens its upload page."""

    def open_page(dataset: str) -> UploadDriver:
        driver = UploadDriver(signed_in, application, dataset)
        driver.start_version()
        driver.open()
        return driver

    return open_page


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a folder with nested folders, names in Unicode, an empty file, equal files and system files."""
    folder = tmp_path / "source"
    # The team has one application's store: without a mark of its own, a test would find its bytes there already.
    mark = uuid.uuid4().hex
    for name, content in {
        "photos/日本/ファイル é.txt": f"こんにちは {mark}",
        "photos/empty.bin": "",
        "photos/a/one.txt": f"the same bytes {mark}",
        "photos/a/two.txt": f"the same bytes {mark}",
        "photos/a/b/c/deep.json": "{}",
        "photos/spaces and 'quotes' & <tags>.txt": "x",
        "photos/.DS_Store": "left out",
        "photos/a/Thumbs.db": "left out",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for number in range(150):
        file = folder / "photos" / "many" / f"{number:03}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"file {number} {mark} " * number)
    return folder / "photos"


@pytest.fixture
def large_source(tmp_path: Path) -> Path:
    """Make a folder with one file that is sent alone, in many requests, and a few small ones; 24 MB."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "large.bin").write_bytes(os.urandom(24_000_000))
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"{number} {uuid.uuid4()}")
    return folder
