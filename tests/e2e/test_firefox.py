"""The main pages in Firefox: upload with its workers, tree, job form, theme; the security policy refuses nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.firefox import Firefox, run_firefox
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

DATASET = "/teams/lab/datasets/from-firefox/"


@pytest.fixture(scope="module")
def window(application: LiveApplication, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Give a signed-in Firefox."""
    with run_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        firefox.open(f"{application.url}/sign-in/")
        firefox.type("#id_username", application.username)
        firefox.type("#id_password", application.password)
        firefox.click("main form button")
        firefox.wait_for("!location.pathname.startsWith('/sign-in/')")
        yield firefox


@pytest.fixture
def firefox(window: Firefox) -> Iterator[Firefox]:
    """Give it to one test, in which no page may complain."""
    window.errors.clear()
    yield window
    assert window.errors == []


@pytest.fixture(scope="module")
def sent(window: Firefox, application: LiveApplication, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Upload a folder by the page, and seal it; return path -> sha256 of the source."""
    folder = tmp_path_factory.mktemp("source") / "fotos"
    # The large one is hashed by WebAssembly, in several blocks, and sent in several requests.
    files = {"groß.bin": os.urandom(24_000_000), "a/日本/ü.txt": os.urandom(20), "leer.txt": b""}
    files |= {f"many/{number}.txt": b"%d" % number + os.urandom(8) for number in range(120)}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    application.request("POST", "/api/v1/teams/lab/datasets", body={"name": "from-firefox"})
    application.request("POST", "/api/v1/teams/lab/datasets/from-firefox/versions", body={})
    window.open(f"{application.url}{DATASET}versions/1/upload/")
    window.choose_folder("#folder-input", folder)
    window.wait_for_text("[data-el=review]", "123 files")
    window.click("[data-el=start]")
    window.wait_for_text("[data-el=outcomeTitle]", "is available", seconds=180)
    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


def test_upload(application: LiveApplication, firefox: Firefox, sent: dict[str, str]) -> None:
    status, body = application.request("GET", f"/api/v1{DATASET}versions/1/manifest")
    assert status == 200
    assert {line["path"]: line["sha256"] for line in map(json.loads, body.splitlines())} == sent


def test_a_folder_and_a_file_are_dropped(application: LiveApplication, firefox: Firefox, tmp_path: Path) -> None:
    files = {"top/a/日本/ü.txt": b"deep", "top/leer.txt": b"", "alone.txt": os.urandom(20)}
    files |= {f"top/many/{number}.txt": b"%d" % number + os.urandom(8) for number in range(230)}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    application.request("POST", "/api/v1/teams/lab/datasets", body={"name": "dropped"})
    application.request("POST", "/api/v1/teams/lab/datasets/dropped/versions", body={})
    firefox.open(f"{application.url}/teams/lab/datasets/dropped/versions/1/upload/")
    firefox.drop(tmp_path / "top", tmp_path / "alone.txt")
    firefox.wait_for_text("[data-el=review]", "233 files")
    firefox.click("[data-el=start]")
    firefox.wait_for_text("[data-el=outcomeTitle]", "is available", seconds=180)
    _, body = application.request("GET", "/api/v1/teams/lab/datasets/dropped/versions/1/manifest")
    sent = {line["path"]: line["sha256"] for line in map(json.loads, body.splitlines())}
    assert sent == {path.removeprefix("top/"): hashlib.sha256(data).hexdigest() for path, data in files.items()}


def test_tree(application: LiveApplication, firefox: Firefox, sent: dict[str, str]) -> None:
    firefox.open(f"{application.url}{DATASET}versions/1/tree/")
    firefox.click("[aria-label='Show what is in a']")
    # What htmx has put in is a plain link until it has settled.
    firefox.wait_for_text("main", "日本")
    firefox.wait_for("document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling, .htmx-added') === null")
    firefox.click("[aria-label='Show what is in 日本']")
    firefox.wait_for_text("main", "ü.txt")
    assert firefox.evaluate("location.pathname") == f"{DATASET}versions/1/tree/"


def test_job(application: LiveApplication, firefox: Firefox, sent: dict[str, str]) -> None:
    firefox.open(f"{application.url}/teams/lab/jobs/new/?dataset=from-firefox@1")
    firefox.wait_for_text("#tree", "from-firefox@1")
    firefox.type("#id_name", "seen-by-firefox")
    firefox.type("#id_command", "ls /input/from-firefox")
    firefox.wait_for_text("#command", "/input/from-firefox")
    firefox.click("button[name=step][value=submit]")
    firefox.wait_for_text(".page-head", "succeeded", seconds=60)
    firefox.wait_for_text("#log", "groß.bin")


def test_theme(application: LiveApplication, firefox: Firefox) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for theme in ("dark", "light"):
        firefox.open(f"{application.url}/teams/lab/datasets/")
        firefox.click("summary[aria-label=Theme]")
        firefox.click(f"[data-theme-choice={theme}]")
        chosen = firefox.evaluate(background)
        firefox.open(f"{application.url}/account/")
        assert firefox.evaluate(background) == chosen
        seen.add(chosen)
    assert len(seen) == 2


def test_the_policy_is_in_force(application: LiveApplication, window: Firefox) -> None:
    """Also proves that the other tests would have noticed a refusal."""
    window.open(f"{application.url}/account/")
    window.evaluate("void document.body.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))")
    window.wait_for("!('ran' in window)")
    assert any("policy: script-src-elem inline" in error for error in window.errors)
