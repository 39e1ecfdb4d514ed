"""The pages on which versions are changed and composed, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect
from pytest_django.live_server_helper import LiveServer

from datasets_app.models import Version
from datasets_app.services.versions import create_version, run_seal
from tests.e2e.looking import check
from tests.factories import PASSWORD, make_available_version, make_dataset, make_member, make_team, stage_files

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BASE = {
    "README.md": b"# Birds\n",
    "train/cat/1.jpg": b"11",
    "train/cat/2.jpg": b"222",
    "train/dog/1.jpg": b"3333",
    "val/a very long name that does not fit into any row of a small screen, and goes on for a while.txt": b"x",
}


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """Give a page whose console must stay free of errors: the security policy's refusals are written there."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # A request for counts is given up when the form is submitted.
        if message.type == "error" and not message.text.startswith("htmx:"):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(60_000)
    yield page
    assert errors == []


def test_files_are_renamed_removed_and_put_back(watched: Page, live_server: LiveServer) -> None:
    page = watched
    team = make_team("vision")
    writer = make_member(team, username="wren")
    dataset = make_dataset(team, "birds")
    make_available_version(dataset, BASE)
    version = create_version(writer, dataset=dataset, base=1)
    page.goto(f"{live_server.url}/sign-in/?next=/teams/vision/datasets/birds/versions/2/")
    page.get_by_label("User name").fill("wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Change files").click()
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    check(page, "changes-none")

    page.get_by_role("link", name="train", exact=True).click()
    page.get_by_role("link", name="Move or rename cat").press("Enter")
    target = page.get_by_label("New path")
    expect(target).to_be_focused()
    expect(target).to_have_value("train/cat")
    check(page, "changes-move")
    target.fill("train/cats")
    target.press("Enter")
    expect(page.get_by_text("train/cat/ is now train/cats.")).to_be_visible()
    page.get_by_role("button", name="Remove dog").click()
    stage_files(version, {"train/new.jpg": b"n", "README.md": b"# More birds\n"})
    page.get_by_role("link", name="Files", exact=True).click()
    page.get_by_role("link", name="Move or rename val").click()
    page.get_by_label("New path").fill("test/val")
    page.get_by_role("button", name="Move", exact=True).click()
    for kind in ("Added", "Replaced", "Renamed", "Moved", "Removed"):
        expect(page.get_by_role("link", name=re.compile(rf"^{kind} \d"))).to_be_visible()
    check(page, "changes-many")
    page.get_by_role("link", name="train", exact=True).click()
    check(page, "changes-folder")
    page.get_by_role("button", name="Undo the removal of dog").click()
    expect(page.get_by_role("button", name="Undo the removal of dog")).to_have_count(0)
    page.get_by_role("button", name="Undo: train/cats renamed").click()
    expect(page.get_by_role("link", name="cat", exact=True)).to_be_visible()


def test_a_version_is_composed_with_counts_that_follow(watched: Page, live_server: LiveServer) -> None:
    page = watched
    team = make_team("vision")
    make_member(team, username="wren")
    make_available_version(make_dataset(team, "birds"), BASE)
    make_available_version(make_dataset(team, "notes"), {"README.md": b"# Notes\n", "extra/license": b"cc0"})
    page.goto(f"{live_server.url}/sign-in/?next=/teams/vision/compose/")
    page.get_by_label("User name").fill("wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    check(page, "compose-none")
    page.get_by_role("button", name="Add birds").click()
    expect(page.get_by_role("heading", name="Part 1: birds")).to_be_visible()
    page.get_by_role("button", name="Add notes").click()
    result = page.get_by_role("region", name="What it gives")
    expect(result.get_by_text("README.md")).to_be_visible()
    check(page, "compose-clash")
    page.get_by_label("Only files that match").first.fill("*.jpg")
    expect(result.get_by_role("row", name="Together")).to_contain_text("5")
    page.get_by_label("Put it into this folder").nth(1).fill("docs")
    page.get_by_role("textbox", name="Dataset", exact=True).fill("made")
    check(page, "compose-two")
    page.get_by_role("button", name="Compose").click()
    expect(page.get_by_role("heading", name="made@1")).to_be_visible()
    run_seal(Version.objects.get(dataset__name="made").pk)
    page.goto(f"{live_server.url}/teams/vision/datasets/made/versions/1/")
    expect(page.get_by_role("heading", name="Made from")).to_be_visible()
    check(page, "compose-made")
    page.get_by_role("link", name="notes@1", exact=True).click()
    expect(page.get_by_role("region", name="Used in").get_by_role("link", name="made@1")).to_be_visible()
    check(page, "compose-used")
