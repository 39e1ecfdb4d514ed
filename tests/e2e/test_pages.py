"""Every page in a real browser: accessible, on small screens, in both themes, light, and quiet on the console."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.e2e.looking import settle, violations
from tests.e2e.uploading import sign_in
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

FILES = {
    "README.md": b"# Street scenes\n",
    "labels/classes.txt": "Fußgänger\nAuto\n".encode(),
    "labels/a very long name that does not fit into any row of a small screen, and goes on for a while.txt": b"x",
    "model.bin": bytes(range(256)),
    "pixel.gif": base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
}
DATASET = "/teams/lab/datasets/street-scenes/"
PAGES = [
    "/teams/lab/datasets/",
    "/teams/lab/datasets/?search=nothing-like-this",
    "/teams/lab/datasets/new/",
    DATASET,
    f"{DATASET}edit/",
    f"{DATASET}upload/",
    f"{DATASET}versions/1/",
    f"{DATASET}versions/2/",
    f"{DATASET}versions/2/upload/",
    f"{DATASET}versions/1/tree/",
    f"{DATASET}versions/1/tree/labels",
    f"{DATASET}versions/1/files/README.md",
    f"{DATASET}versions/1/files/model.bin",
    f"{DATASET}versions/1/files/pixel.gif",
    f"{DATASET}space/",
    f"{DATASET}retention/",
    f"{DATASET}labels/",
    "/teams/lab/space/",
    "/storage/",
    "/storage/blob/?digest=nothing",
    "/storage/journal/",
    "/teams/lab/connections/",
    "/teams/lab/connections/street-store/",
    "/teams/lab/connections/street-store/edit/",
    "/teams/lab/connections/new/",
    "/teams/lab/connections/new/?provider=s3",
    "/teams/lab/connections/new/?provider=minio",
    "/teams/lab/imports/new/",
    "/teams/lab/jobs/",
    "/teams/lab/jobs/new/",
    "/teams/lab/",
    "/teams/new/",
    "/account/",
    "/api/v1/docs",
    "/nowhere/",
]
# Both themes and both widths, in two rounds: a round of every page takes a while.
SCREENS: dict[str, dict[str, Any]] = {
    "wide and light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "small and dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True},
}
PAGE_BYTES = 150_000


def call(application: LiveApplication, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401
    status, answer = application.request("POST", f"/api/v1{path}", body=body, headers=headers)
    assert status < 300, answer
    return json.loads(answer) if answer else None


def send_file(application: LiveApplication, number: int, path: str, data: bytes) -> None:
    """Send one file as any tus client does."""
    fields = {"team": "lab", "dataset": "street-scenes", "version": str(number), "path": path}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    call(application, "/tus", data, **headers, **{"Content-Type": "application/offset+octet-stream"})


@pytest.fixture(scope="module")
def content(application: LiveApplication) -> LiveApplication:
    """Make one sealed and one open version, once."""
    call(application, "/teams/lab/datasets", {"name": "street-scenes", "description": "Photographs", "tags": ["raw"]})
    call(
        application,
        "/teams/lab/connections",
        {"name": "street-store", "provider": "s3", "values": {"access": "public", "region": "eu-central-1"}},
    )
    versions = "/teams/lab/datasets/street-scenes/versions"
    call(application, versions, {"message": "The first pictures"})
    for path, data in FILES.items():
        send_file(application, 1, path, data)
    call(application, f"{versions}/1/seal")
    end = time.monotonic() + 60
    while json.loads(application.request("GET", f"/api/v1{versions}/1")[1])["status"] != "available":
        assert time.monotonic() < end, application.log
        time.sleep(0.2)
    call(application, versions, {})
    send_file(application, 2, "half.bin", b"half")
    return application


@pytest.fixture(scope="module")
def session(browser: Browser, content: LiveApplication) -> Any:  # noqa: ANN401
    """Sign in once."""
    context = browser.new_context()
    sign_in(context.new_page(), content)
    state = context.storage_state()
    context.close()
    return state


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page(browser: Browser, content: LiveApplication, session: Any, screen: str) -> None:  # noqa: ANN401
    context = browser.new_context(**SCREENS[screen], storage_state=session)
    page = context.new_page()
    # Every page is weighed as if it were the first.
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    found: list[str] = []
    sizes: list[int] = []
    page.on(
        "console", lambda message: found.append(f"{page.url}: {message.text}") if "policy" in message.text else None
    )
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    page.on("request", lambda request: None if _is_own(request, content) else found.append(request.url))
    # Playwright's own sizes are negative for what the cache answers.
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    for path in PAGES:
        sizes.clear()
        page.goto(content.url + path)
        settle(page)
        found += violations(page, path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > SCREENS[screen]["viewport"]["width"]:
            found.append(f"{path} is {width} pixels wide")
        if sum(sizes) > PAGE_BYTES:
            found.append(f"{path} weighs {sum(sizes)} bytes")
    context.close()
    assert found == []


def test_a_directory_opens_in_place(signed_in: Page, content: LiveApplication) -> None:
    tree = f"{content.url}{DATASET}versions/1/tree/"
    signed_in.goto(tree)
    toggle = signed_in.get_by_role("link", name="Show what is in labels")
    toggle.click()
    expect(signed_in.get_by_text("classes.txt")).to_be_visible()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    assert signed_in.url == tree
    toggle.press("ArrowLeft")
    expect(signed_in.get_by_text("classes.txt")).to_be_hidden()
    toggle.press("ArrowRight")
    expect(signed_in.get_by_text("classes.txt")).to_be_visible()


def test_search_as_you_type_keeps_the_address(signed_in: Page, content: LiveApplication) -> None:
    signed_in.goto(f"{content.url}/teams/lab/datasets/")
    signed_in.keyboard.press("/")
    signed_in.keyboard.type("no such thing")
    expect(signed_in.get_by_role("heading", name="No dataset matches")).to_be_visible()
    assert "search=no%20such%20thing" in signed_in.url


def test_copy_buttons(signed_in: Page, context: BrowserContext, content: LiveApplication) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    signed_in.goto(f"{content.url}{DATASET}versions/1/")
    signed_in.get_by_role("button", name="Copy path in a job").first.click()
    expect(signed_in.locator(".copy.copied")).to_be_visible()
    assert signed_in.evaluate("navigator.clipboard.readText()") == "/input/street-scenes/"


def test_the_theme_is_remembered(signed_in: Page, content: LiveApplication) -> None:
    signed_in.goto(f"{content.url}/teams/lab/datasets/")
    signed_in.get_by_label("Theme").click()
    signed_in.get_by_role("button", name="Dark").click()
    dark = signed_in.evaluate("getComputedStyle(document.body).backgroundColor")
    signed_in.reload()
    assert signed_in.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    signed_in.get_by_label("Theme").click()
    signed_in.get_by_role("button", name="Light").click()
    assert signed_in.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_abandoning_asks_first(signed_in: Page, content: LiveApplication) -> None:
    call(content, "/teams/lab/datasets", {"name": "to-abandon"})
    call(content, "/teams/lab/datasets/to-abandon/versions", {})
    signed_in.goto(f"{content.url}/teams/lab/datasets/to-abandon/versions/1/")
    signed_in.get_by_role("button", name="Abandon").click()
    signed_in.get_by_role("button", name="Cancel").click()
    expect(signed_in.get_by_role("heading", name="to-abandon@1")).to_be_visible()
    signed_in.get_by_role("button", name="Abandon").click()
    signed_in.get_by_role("button", name="Abandon to-abandon@1").click()
    expect(signed_in.get_by_text("to-abandon@1 was abandoned")).to_be_visible()


def test_a_status_that_changes_is_followed(signed_in: Page, content: LiveApplication) -> None:
    call(content, "/teams/lab/datasets", {"name": "followed"})
    call(content, "/teams/lab/datasets/followed/versions", {})
    signed_in.goto(f"{content.url}/teams/lab/datasets/followed/versions/1/")
    expect(signed_in.get_by_text("Nothing has been sent yet")).to_be_visible()
    plan = "/teams/lab/datasets/followed/versions/1/plan"
    call(content, plan, {"files": [{"path": "a.txt", "size": 3}]})
    expect(signed_in.get_by_text("0 of 1 file stored")).to_be_visible()


def test_works_without_javascript(browser: Browser, content: LiveApplication, session: Any) -> None:  # noqa: ANN401
    context = browser.new_context(java_script_enabled=False, storage_state=session)
    page = context.new_page()
    page.goto(f"{content.url}/teams/lab/datasets/")
    page.get_by_label("Find datasets").fill("street")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="street-scenes").click()
    page.get_by_role("link", name="Browse files").click()
    page.get_by_role("link", name="Show what is in labels").click()
    page.get_by_role("link", name="classes.txt", exact=True).click()
    expect(page.get_by_text("Fußgänger")).to_be_visible()
    context.close()


def _is_own(request: Request, application: LiveApplication) -> bool:
    return request.url.startswith((application.url, "data:", "blob:"))
