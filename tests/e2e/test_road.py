"""The whole road in a real browser: first account, upload with an interruption, tree, a job that reads `/input`."""

from __future__ import annotations

import hashlib
import random
import shlex
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.servers import LiveApplication, serve_application

pytestmark = [pytest.mark.browser, pytest.mark.server]

PASSWORD = "a long enough pass phrase"
# Lists every file below /input with its hash, then tries to write there.
JOB = """
set -u
cd /input && find . -type f -print0 | sort -z | xargs -0 sha256sum > /output/hashes.txt
for path in /input/intruder /input/photos/intruder "$(find /input -type f | head -n 1)"; do
  if ( echo x > "$path" ) 2>>/output/refusals.txt; then echo "WROTE $path"; exit 9; fi
done
rm -rf /input/photos 2>>/output/refusals.txt && { echo REMOVED; exit 9; }
echo "read only, as it should be"
"""


def make_folder(parent: Path) -> Path:
    """Write a nested folder with Unicode names, an empty file, small files and one of several chunks."""
    folder = parent / "Fotos für Zoë"
    noise = random.Random(7)
    files = {
        "readme.md": b"# Photos\n",
        "empty.bin": b"",
        "träin/猫/0001.jpg": noise.randbytes(70_000),
        "träin/猫/0002.jpg": noise.randbytes(50_000),
        "träin/emoji 🐈/a b.txt": "größe".encode(),
        "val/deep/er/and/deeper/x.bin": noise.randbytes(300_000),
        "large.bin": noise.randbytes(30_000_000),
    }
    files |= {f"many/{number:04}.txt": f"{number}\n".encode() * 40 for number in range(1500)}
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def hashes_of(folder: Path, mount: str) -> dict[str, str]:
    """Hash the source folder as the job will see it below /input."""
    return {
        f"./{mount}/{path.relative_to(folder).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def choose_folder(page: Page, folder: Path) -> None:
    page.set_input_files("#folder-input", folder)
    expect(page.get_by_role("heading", name="Before it is sent")).to_be_visible()


def new_dataset(page: Page, application: LiveApplication, name: str) -> None:
    page.goto(f"{application.url}/teams/vision/datasets/new/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Continue to files").click()
    page.get_by_role("button", name="Continue to the files").click()
    expect(page.get_by_role("heading", name="Drop files and folders here")).to_be_visible()


def send_and_seal(page: Page, label: str) -> None:
    page.locator('[data-el="start"]').click()
    expect(page.get_by_role("link", name=f"Open {label}")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name=f"Open {label}").click()
    expect(page.get_by_text("available").first).to_be_visible()


def slow_down(page: Page, bytes_per_second: int) -> None:
    """Limit how fast the browser uploads; -1 lifts the limit."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second},
    )


def wait_for_progress(page: Page, part: float) -> None:
    """Wait until this part of the bytes was sent: Playwright's own wait needs `eval`, which the page forbids."""
    end = time.monotonic() + 60
    while page.locator('[data-el="bar"]').evaluate("bar => bar.value / bar.max") < part:
        assert time.monotonic() < end, "the upload made no progress"
        page.wait_for_timeout(50)


def set_up(page: Page, application: LiveApplication) -> None:
    page.goto(application.url)
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_label("Team").fill("vision")
    page.get_by_role("button", name="Make the account and the team").click()
    page.wait_for_url("**/teams/vision/datasets/")


def upload_with_interruption(page: Page, application: LiveApplication, folder: Path) -> None:
    new_dataset(page, application, "photos")
    choose_folder(page, folder)
    page.locator('[data-el="keepTop"]').uncheck()
    slow_down(page, 4_000_000)
    page.locator('[data-el="start"]').click()
    wait_for_progress(page, 0.3)
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.get_by_text("Continue this upload.")).to_be_visible()
    slow_down(page, -1)
    choose_folder(page, folder)
    page.locator('[data-el="keepTop"]').uncheck()
    send_and_seal(page, "photos@1")


def test_from_a_folder_in_the_browser_to_input_in_a_job(page: Page, tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "source")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "labels.csv").write_text("file,label\n0001.jpg,cat\n")
    with serve_application(tmp_path / "application") as application:
        set_up(page, application)
        upload_with_interruption(page, application, photos)
        new_dataset(page, application, "labels")
        choose_folder(page, labels)
        page.locator('[data-el="keepTop"]').uncheck()
        send_and_seal(page, "labels@1")

        page.goto(f"{application.url}/teams/vision/datasets/photos/versions/1/tree/")
        page.get_by_role("link", name="träin", exact=True).click()
        expect(page.get_by_text("猫")).to_be_visible()
        run_job(page, application)
        outputs = {name: read_output(page, application, name) for name in ("hashes.txt", "refusals.txt")}
    lines = outputs["hashes.txt"].splitlines()
    found = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    assert found == hashes_of(photos, "photos") | hashes_of(labels, "labels")
    assert "Read-only file system" in outputs["refusals.txt"]


def read_output(page: Page, application: LiveApplication, name: str) -> str:
    answer = page.request.get(f"{application.url}/api/v1/teams/vision/jobs/hash-input/outputs/{name}")
    assert answer.ok
    return answer.text()


def run_job(page: Page, application: LiveApplication) -> None:
    page.goto(f"{application.url}/teams/vision/jobs/new/")
    page.get_by_label("Name", exact=True).fill("hash-input")
    page.get_by_label("Command", exact=True).fill(f"bash -c {shlex.quote(JOB)}")
    for name in ("photos", "labels"):
        page.get_by_role("button", name=f"Attach {name}").click()
        expect(page.locator("#tree")).to_contain_text(f"{name}@1")
    page.get_by_role("button", name="Run job").click()
    expect(page.locator(".page-head")).to_contain_text("succeeded", timeout=60_000)
    expect(page.locator("#log")).to_contain_text("read only, as it should be")
    expect(page.get_by_role("link", name="hashes.txt").first).to_be_visible()
