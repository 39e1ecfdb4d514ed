"""The page on which an open version's files are changed, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect
from pytest_django.live_server_helper import LiveServer

from datasets_app.services.versions import create_version
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
        if message.type == "error":
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
