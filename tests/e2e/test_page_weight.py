"""Pages with much on them that compresses badly are still light: at most 150 kB over the wire, all included."""

from __future__ import annotations

import base64
import secrets

import pytest
from playwright.sync_api import Browser

from tests.e2e.sending import call, make_dataset, seal_version, send_version, wait_for_status
from tests.e2e.uploading import sign_in
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

PAGE_BYTES = 150_000
DATASET = "/teams/lab/datasets/heavy/"
PAGES = [
    DATASET,
    f"{DATASET}versions/1/",
    f"{DATASET}versions/1/tree/hashes",
    f"{DATASET}versions/1/files/random.txt",
    f"{DATASET}versions/1/files/random.bin",
    f"{DATASET}versions/2/upload/",
    "/teams/lab/jobs/new/?dataset=heavy",
    "/teams/lab/jobs/heavy/",
    "/teams/lab/jobs/heavy/outputs/",
]
# A long log of noise, and many outputs.
COMMAND = """
head -c 3000000 /dev/urandom | base64
for i in $(seq 1500); do : > "/output/$(echo $i | sha256sum | cut -c 1-64)"; done
"""


def test_pages_with_much_on_them(application: LiveApplication, browser: Browser) -> None:
    make_dataset(application, "heavy")
    files = {f"hashes/{secrets.token_hex(100)}": b"" for _ in range(250)}
    files |= {"random.txt": base64.b64encode(secrets.token_bytes(500_000)), "random.bin": secrets.token_bytes(500_000)}
    version = send_version(application, "heavy", 1, files)
    seal_version(application, version)
    send_version(application, "heavy", 2, {"a": b""})
    job = {"name": "heavy", "kind": "training", "command": ["bash", "-c", COMMAND], "datasets": [{"dataset": "heavy"}]}
    call(application, "/teams/lab/jobs", job)
    wait_for_status(application, "/teams/lab/jobs/heavy", "succeeded")

    context = browser.new_context()
    page = context.new_page()
    sign_in(page, application)
    # Every page is weighed as if it were the first. Playwright's own sizes are negative for what the cache answers.
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    weights = {}
    for path in PAGES:
        sizes.clear()
        page.goto(application.url + path, wait_until="networkidle")
        weights[path] = sum(sizes)
    context.close()
    assert {path: size for path, size in weights.items() if size > PAGE_BYTES} == {}
