"""Drives the upload page, and asks the API what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from pathlib import Path

from playwright.sync_api import CDPSession, Locator, Page, Request, expect

from tests.servers import LiveApplication

SEAL_TIMEOUT = 60_000
SYSTEM_FILES = {".DS_Store", "Thumbs.db"}


def sign_in(page: Page, application: LiveApplication) -> None:
    """Sign in as the application's user."""
    page.goto(f"{application.url}/sign-in/")
    page.get_by_label("User name").fill(application.username)
    page.get_by_label("Password", exact=True).fill(application.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "sign-in" not in url)


def hash_folder(folder: Path) -> dict[str, str]:
    """Return path -> sha256 of what the page should upload of the folder."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in set(names) - SYSTEM_FILES:
            file = Path(parent) / name
            path = unicodedata.normalize("NFC", file.relative_to(folder).as_posix())
            found[path] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


class UploadDriver:
    """One version's upload page."""

    def __init__(self, page: Page, application: LiveApplication, dataset: str) -> None:
        self.page = page
        self.application = application
        self.dataset = dataset
        self.number = 0
        self.patches: list[Request] = []
        self._session: CDPSession | None = None
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if request.method == "PATCH":
            self.patches.append(request)

    @property
    def api(self) -> str:
        """The path of the version in the API."""
        return f"/api/v1/teams/{self.application.team}/datasets/{self.dataset}/versions/{self.number}"

    @property
    def url(self) -> str:
        """The address of the upload page."""
        team = f"{self.application.url}/teams/{self.application.team}"
        return f"{team}/datasets/{self.dataset}/versions/{self.number}/upload/"

    def start_version(self, base: int | None = None) -> None:
        """Make the dataset, if it is new, and an open version."""
        datasets = f"/api/v1/teams/{self.application.team}/datasets"
        self.application.request("POST", datasets, body={"name": self.dataset})
        status, body = self.application.request("POST", f"{datasets}/{self.dataset}/versions", body={"base": base})
        assert status == 201, body
        self.number = json.loads(body)["number"]

    def open(self) -> None:
        """Open the page, in a new session of the uploader."""
        self.page.goto(self.url)
        self.patches.clear()

    def pick(self, folder: Path) -> None:
        """Choose a folder and wait until it is listed."""
        self.page.locator("#folder-input").set_input_files(folder)
        expect(self.part("review")).to_be_visible()

    def drop(self, folder: Path) -> None:
        """Drop a folder on the page, as the browser does it."""
        self._session = self._session or self.page.context.new_cdp_session(self.page)
        box = self.part("choose").bounding_box()
        assert box is not None
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            place = {"x": box["x"] + 20, "y": box["y"] + 20}
            self._session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})

    def part(self, name: str) -> Locator:
        """Find an element by the name that the page's own modules use."""
        return self.page.locator(f"#uploader [data-el={name}]")

    def start(self) -> None:
        """Press the upload button."""
        self.part("start").click()

    def throttle(self, bytes_per_second: int, *, offline: bool = False) -> None:
        """Limit how fast the page sends; 0 lifts the limit. One session, since each would set conditions of its own."""
        self._session = self._session or self.page.context.new_cdp_session(self.page)
        conditions = {
            "offline": offline,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_second or -1,
        }
        self._session.send("Network.emulateNetworkConditions", conditions)

    def wait_for_percent(self, least: int) -> None:
        """Wait until so much has been sent."""
        self.page.wait_for_function(
            "least => parseInt(document.querySelector('[data-el=percent]').textContent) >= least", arg=least
        )

    def wait_until_sealed(self) -> None:
        """Wait for the end of a sealed upload."""
        expect(self.part("outcomeTitle")).to_have_text(
            f"{self.dataset}@{self.number} is available", timeout=SEAL_TIMEOUT
        )

    def manifest(self) -> dict[str, str]:
        """Return path -> sha256 as the server has it."""
        status, body = self.application.request("GET", f"{self.api}/manifest")
        assert status == 200, body
        return {line["path"]: line["sha256"] for line in map(json.loads, body.splitlines())}

    def staged(self) -> dict[str, int]:
        """Return the counts of what is declared and stored."""
        _, body = self.application.request("GET", self.api)
        counts: dict[str, int] = json.loads(body)["staged"]
        return counts
