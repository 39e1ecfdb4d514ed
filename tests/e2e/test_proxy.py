"""The application below a path, behind a proxy that speaks TLS: addresses, forms, upload and job, in a real browser."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from typing_extensions import override

from tests.e2e.sending import call, make_dataset, seal_version, send_version, wait_for_status
from tests.e2e.tls_proxy import Forwarding, serve_proxy
from tests.servers import LiveApplication, free_port, serve_with_account

pytestmark = [pytest.mark.browser, pytest.mark.server]

PREFIX = "/tools/data"
ROAD = "behind-a-proxy"
# The one as docs/operations.md shows it, whose `$host` is without the port; the other as many gateways do.
STYLES = {
    "passes the path on": {"strips_prefix": False, "names_port": False},
    "strips the path": {"strips_prefix": True, "names_port": True},
}
# What a browser, htmx or our own modules fetch, or send to.
ADDRESSES = re.compile(
    r"href|src|action|formaction|poster|data-icons|data-(.+-)?url|data-.+-api|hx-(get|post|put|patch|delete)"
)
# Below Django's own administration, which a superuser's account page links to; and the hundreds of files of the road.
NOT_WALKED = rf"/admin/.|/{ROAD}/."
FOLLOWED = {("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")}


@dataclass(frozen=True)
class Proxied:
    """An application and the proxy in front of it."""

    application: LiveApplication
    forwarding: Forwarding
    url: str

    def adopt(self, style: str) -> None:
        """Let the proxy behave in another way from now on."""
        for name, value in STYLES[style].items():
            setattr(self.forwarding, name, value)
        self.forwarding.strays.clear()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Run both, with one account."""
    folder = tmp_path_factory.mktemp("proxy")
    port = free_port()
    url = f"https://127.0.0.1:{port}{PREFIX}"
    settings = {"PUBLIC_URL": url, "TRUST_PROXY": "true", "STATIC_ROOT": str(folder / "static")}
    with serve_with_account(folder / "application", UPLOAD_REQUEST_BYTES=str(1 << 20), **settings) as application:
        forwarding = Forwarding(upstream_port=application.port, prefix=PREFIX)
        with serve_proxy(port, folder, forwarding):
            yield Proxied(application, forwarding, url)


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest, proxied: Proxied) -> str:
    """Both kinds of proxies, one after the other."""
    proxied.adopt(request.param)
    return str(request.param)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context that takes the proxy's own certificate."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def watched(context: BrowserContext, proxied: Proxied) -> Iterator[Page]:
    """A page that may not complain, nor ask for anything that is not below the prefix."""
    page = context.new_page()
    found: list[str] = []
    context.on("console", lambda message: found.append(message.text) if message.type in {"error", "warning"} else None)
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("request", lambda request: None if is_below(request.url, proxied) else found.append(request.url))
    yield page
    assert found == []
    assert proxied.forwarding.strays == []


def is_below(url: str, proxied: Proxied) -> bool:
    return url == proxied.url or url.startswith(
        (f"{proxied.url}/", "data:", f"blob:{proxied.url.removesuffix(PREFIX)}")
    )


def sign_in(page: Page, proxied: Proxied, wanted: str = "/account/") -> None:
    """Ask for a page as a stranger, sign in, and come out there."""
    page.goto(proxied.url + wanted)
    assert page.url.startswith(f"{proxied.url}/sign-in/?next={PREFIX}{wanted}")
    page.get_by_label("User name").fill(proxied.application.username)
    page.get_by_label("Password", exact=True).fill(proxied.application.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(proxied.url + wanted)


def make_folder(folder: Path) -> dict[str, str]:
    """Write a folder with small files and one that is sent alone, in many requests; return path -> sha256."""
    mark = os.urandom(8)
    files = {"große Datei.bin": os.urandom(12_000_000), "a/b c/ü.txt": b"text " + mark, "a/empty": b""}
    files |= {f"many/{number}.txt": b"%d %b" % (number, mark) for number in range(200)}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def upload(page: Page, proxied: Proxied, dataset: str, folder: Path) -> None:
    """Make the dataset, send the folder, seal, and open the version's page."""
    page.goto(f"{proxied.url}/teams/lab/datasets/new/")
    page.get_by_label("Name").fill(dataset)
    page.get_by_role("button", name="Continue to files").click()
    page.get_by_role("button", name="Continue to the files").click()
    # Its modules have run then: nobody listens to the input before.
    page.wait_for_url("**/versions/1/upload/")
    page.locator("#folder-input").set_input_files(folder)
    page.locator("[data-el=keepTop]").uncheck()
    page.locator("[data-el=start]").click()
    page.get_by_role("link", name=f"Open {dataset}@1").click(timeout=60_000)


def run_job(page: Page, proxied: Proxied, name: str, dataset: str) -> None:
    """Submit a job that copies one of the dataset's files to its output; wait for its end."""
    page.goto(f"{proxied.url}/teams/lab/jobs/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Command", exact=True).fill(f"cp '/input/{dataset}/a/b c/ü.txt' /output/copy.txt")
    page.get_by_role("button", name=f"Attach {dataset}").click()
    expect(page.locator("#tree")).to_contain_text(f"{dataset}@1")
    page.get_by_role("button", name="Run job").click()
    expect(page.locator(".page-head")).to_contain_text("succeeded", timeout=60_000)
    expect(page.get_by_role("link", name="copy.txt").first).to_be_visible()


def test_the_road(proxied: Proxied, watched: Page, tmp_path: Path) -> None:
    proxied.adopt("passes the path on")
    dataset = ROAD
    folder = tmp_path / "source"
    hashes = make_folder(folder)
    sign_in(watched, proxied)
    upload(watched, proxied, dataset, folder)
    manifest = watched.request.get(f"{proxied.url}/api/v1/teams/lab/datasets/{dataset}/versions/1/manifest").text()
    assert {line["path"]: line["sha256"] for line in map(json.loads, manifest.splitlines())} == hashes

    watched.goto(f"{proxied.url}/teams/lab/datasets/{dataset}/versions/1/tree/")
    watched.get_by_role("link", name="Show what is in a", exact=True).click()
    watched.get_by_role("link", name="Show what is in b c").click()
    with watched.expect_download() as download:
        watched.get_by_role("link", name="Download ü.txt").click()
    assert hashlib.sha256(download.value.path().read_bytes()).hexdigest() == hashes["a/b c/ü.txt"]
    assert download.value.suggested_filename == "ü.txt"
    with watched.expect_download() as download:
        watched.get_by_role("link", name="Download große Datei.bin").click()
    assert hashlib.sha256(download.value.path().read_bytes()).hexdigest() == hashes["große Datei.bin"]

    run_job(watched, proxied, f"job-{dataset}", dataset)
    with watched.expect_download() as download:
        watched.get_by_role("link", name="copy.txt").first.click()
    assert hashlib.sha256(download.value.path().read_bytes()).hexdigest() == hashes["a/b c/ü.txt"]
    watched.get_by_label("Your account").click()
    watched.get_by_role("button", name="Sign out").click()
    expect(watched).to_have_url(f"{proxied.url}/sign-in/")


def test_cookies_are_for_this_path_and_tls_only(
    proxied: Proxied, style: str, watched: Page, context: BrowserContext
) -> None:
    sign_in(watched, proxied)
    cookies = context.cookies()
    assert {cookie["name"] for cookie in cookies} == {"flexai_session", "flexai_csrf"}
    assert all(cookie["secure"] and cookie["path"] == f"{PREFIX}/" for cookie in cookies)
    # Another site's form has the cookies, but neither the token nor our origin.
    answer = watched.request.post(
        f"{proxied.url}/teams/new/", form={"name": "intruders"}, headers={"Origin": "https://elsewhere.example"}
    )
    assert answer.status == 403


def test_an_invitation_can_be_followed(proxied: Proxied, style: str, watched: Page, browser: Browser) -> None:
    sign_in(watched, proxied, "/teams/lab/")
    watched.get_by_role("button", name="Make a link").click()
    link = watched.get_by_text("/invitations/").first
    address = (link.text_content() or "").strip()
    assert address.startswith(f"{proxied.url}/invitations/")
    guest = browser.new_context(ignore_https_errors=True)
    answer = guest.new_page().goto(address)
    assert answer is not None
    assert answer.status == 200
    guest.close()


def test_the_api_docs(proxied: Proxied, style: str, watched: Page) -> None:
    sign_in(watched, proxied)
    watched.goto(f"{proxied.url}/api/v1/docs")
    expect(watched.get_by_text(f"{PREFIX}/api/v1/teams", exact=True).first).to_be_visible()
    watched.get_by_role("link", name="Try the calls").click()
    # It is heavy, and the proxy here is slow.
    expect(watched.locator(".opblock").first).to_be_visible(timeout=30_000)
    described = watched.request.get(f"{proxied.url}/api/v1/openapi.json").json()
    assert all(path.startswith(f"{PREFIX}/api/v1/") for path in described["paths"])


@pytest.fixture(scope="module")
def content(proxied: Proxied) -> LiveApplication:
    """Make pages of every kind: a sealed and an open version, a job with output."""
    application = proxied.application
    make_dataset(application, "crawled")
    files = {"a/b c/ü.txt": b"text", "pixel #1?.gif": b"GIF89a", "100%.bin": b"\0\1"}
    seal_version(application, send_version(application, "crawled", 1, files))
    send_version(application, "crawled", 2, files)
    job = {"name": "crawled", "kind": "training", "command": ["touch", "/output/a b?.txt"]}
    call(application, "/teams/lab/jobs", {**job, "datasets": [{"dataset": "crawled"}]})
    wait_for_status(application, "/teams/lab/jobs/crawled", "succeeded")
    return application


class Addresses(HTMLParser):
    """The addresses in a page: element, attribute, value."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs if ADDRESSES.fullmatch(name)]


def shape_of(address: str) -> tuple[str, ...]:
    """Name alike what differs in the values of its query alone: there is no end of orders and filters of a list."""
    parts = urlsplit(address)
    return (parts.path, *sorted(parse_qs(parts.query, keep_blank_values=True)))


def test_every_address_stays_below_the_prefix(proxied: Proxied, watched: Page, content: LiveApplication) -> None:
    """Follow every link of every page, and open those with a module, or with an address for one, that is new."""
    proxied.adopt("strips the path")
    sign_in(watched, proxied)
    waiting = [f"{proxied.url}/"]
    seen = set(waiting)
    shapes: set[tuple[str, ...]] = set()
    kinds: set[str] = set()
    opened: set[tuple[str, str]] = set()
    found: list[str] = []
    while waiting:
        url = waiting.pop()
        answer = watched.request.get(url)
        if answer.status != 200 or not is_below(answer.url, proxied):
            found.append(f"{url}: {answer.status} {answer.url}")
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        kinds.add(re.sub(r"/(tree|files)/.+", r"/\1/", urlsplit(answer.url).path))
        addresses = Addresses(answer.text()).found
        asking = {(element, value if element == "script" else name) for element, name, value in addresses}
        if not asking <= opened:
            opened |= asking
            watched.goto(url)
        for element, name, value in addresses:
            address = urldefrag(urljoin(answer.url, value))[0]
            if not is_below(address, proxied):
                found.append(f"{url}: <{element} {name}={value}>")
            elif (element, name) in FOLLOWED and shape_of(address) not in shapes and not re.search(NOT_WALKED, address):
                shapes.add(shape_of(address))
                seen.add(address)
                waiting.append(address)
    assert found == []
    assert len(kinds) > 15
    assert any("/files/a/b%20c/" in url for url in seen)
