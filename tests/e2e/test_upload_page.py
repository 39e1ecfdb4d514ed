"""The upload page where nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.uploading import UploadDriver, hash_folder
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

OpenPage = Callable[[str], UploadDriver]


def test_it_works(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("works")
    upload.pick(source)
    expect(upload.part("total")).to_contain_text(f"{len(hash_folder(source))} files")
    expect(upload.part("leftOutNote")).to_contain_text("2 hidden or system files left out")
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)
    expect(upload.page.get_by_role("link", name="Open works@1")).to_be_focused()


def test_the_same_folder_again_sends_no_bytes(upload_page: OpenPage, source: Path) -> None:
    first = upload_page("again")
    first.pick(source)
    first.start()
    first.wait_until_sealed()
    assert first.patches

    first.start_version()
    first.open()
    first.pick(source)
    first.start()
    first.wait_until_sealed()
    assert first.patches == []
    assert first.manifest() == hash_folder(source)


def test_the_tree_can_be_changed_before_sending(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("changed")
    upload.pick(source)
    upload.page.get_by_label("Keep the top folder").check()
    upload.page.get_by_label("Destination folder").fill("train/")
    tree = upload.part("tree")
    # From the keyboard alone: into the folders, one file renamed, one folder removed.
    tree.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        tree.press(key)
    expect(tree.locator(".is-active")).to_contain_text("a")
    upload.page.get_by_role("button", name="Rename train/photos/a", exact=True).click()
    upload.page.get_by_label("Destination path").fill("train/photos/renamed")
    upload.page.get_by_role("button", name="Rename", exact=True).click()
    expect(tree).to_be_focused()
    upload.page.get_by_role("button", name="Remove train/photos/many", exact=True).click()
    upload.part("start").click()
    upload.wait_until_sealed()
    expected = {
        f"train/photos/{path}".replace("photos/a/", "photos/renamed/"): digest
        for path, digest in hash_folder(source).items()
        if not path.startswith("many/")
    }
    assert upload.manifest() == expected


def test_an_illegal_destination_is_named_before_sending(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("illegal")
    upload.pick(source)
    upload.page.get_by_label("Destination folder").fill("a/../b")
    expect(upload.part("start")).to_be_disabled()
    expect(upload.part("problemsNote")).to_contain_text("can't be used")
    upload.page.get_by_label("Destination folder").fill("")
    expect(upload.part("start")).to_be_enabled()


def test_what_is_picked_while_the_page_still_loads_is_not_lost(upload_page: OpenPage, source: Path) -> None:
    driver = upload_page("photos")
    held: list[Route] = []
    driver.page.route("**/js/uploader/page*.js", lambda route: held.append(route))  # noqa: PLW0108 Playwright marks its handlers
    with driver.page.expect_request("**/js/uploader/page*.js"):
        driver.page.goto(driver.url, wait_until="commit")
    expect(driver.page.get_by_role("button", name="Choose a folder")).to_be_disabled()
    driver.page.locator("#folder-input").set_input_files(source)
    [route] = held
    route.continue_()
    expect(driver.part("review")).to_be_visible()
    expect(driver.page.get_by_role("button", name="Choose a folder")).to_be_enabled()


def test_files_and_folders_are_picked_several_times(upload_page: OpenPage, source: Path, tmp_path: Path) -> None:
    upload = upload_page("several")
    upload.pick(source / "a")
    upload.pick(source / "日本")
    loose = tmp_path / "readme.md"
    loose.write_text("# Read me")
    upload.page.locator("#file-input").set_input_files(loose)
    expect(upload.part("total")).to_contain_text("5 files")
    upload.start()
    upload.wait_until_sealed()
    assert sorted(upload.manifest()) == [
        "a/b/c/deep.json",
        "a/one.txt",
        "a/two.txt",
        "readme.md",
        "日本/ファイル é.txt",
    ]


def test_a_folder_is_dropped(upload_page: OpenPage, source: Path) -> None:
    """More than the hundred entries that one call of readEntries gives."""
    upload = upload_page("dropped")
    (source / "nothing here").mkdir()
    upload.drop(source)
    expect(upload.part("review")).to_be_visible()
    expect(upload.part("emptyNote")).to_contain_text("1 empty folder is not kept")
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_a_drop_without_files_is_answered(upload_page: OpenPage, tmp_path: Path) -> None:
    upload = upload_page("empty-drop")
    (tmp_path / "hollow" / "nothing").mkdir(parents=True)
    (tmp_path / "hollow" / "nor here").mkdir()
    upload.drop(tmp_path / "hollow")
    expect(upload.part("nothing")).to_contain_text("Nothing to upload was found: only 2 empty folders")
    expect(upload.part("review")).to_be_hidden()
    (tmp_path / "hollow" / "a.txt").write_text("a")
    upload.drop(tmp_path / "hollow")
    expect(upload.part("review")).to_be_visible()
    expect(upload.part("nothing")).to_be_hidden()


def test_a_new_version_starts_from_an_earlier_one(upload_page: OpenPage, source: Path, signed_in: Page) -> None:
    upload = upload_page("based")
    upload.pick(source)
    upload.start()
    upload.wait_until_sealed()
    before = upload.manifest()

    signed_in.goto(upload.url.replace("/versions/1/upload/", "/upload/"))
    expect(signed_in.get_by_label("An earlier version, with its files")).to_be_checked()
    signed_in.get_by_role("textbox", name="Message").fill("One more")
    signed_in.get_by_role("button", name="Continue to the files").click()
    signed_in.wait_for_url("**/versions/2/upload/")
    upload.number = 2
    added = source.parent / "added.txt"
    added.write_text("added")
    signed_in.locator("#file-input").set_input_files(added)
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == before | {"added.txt": hash_folder(source.parent)["added.txt"]}


def test_a_sealed_version_has_no_upload_page(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("sealed")
    upload.pick(source / "a")
    upload.start()
    upload.wait_until_sealed()
    upload.page.goto(upload.url)
    expect(upload.page).to_have_url(upload.url.removesuffix("upload/"))


def test_strangers_get_404_and_readers_403(
    application: LiveApplication, signed_in: Page, upload_page: OpenPage
) -> None:
    upload = upload_page("walls")
    status = signed_in.request.get(upload.url.replace("/walls/", "/nowhere/")).status
    assert status == 404
    assert signed_in.request.get(upload.url.replace("/lab/", "/others/")).status == 404
    application.manage("shell", "-c", SET_ROLE.format(role="reader"))
    try:
        assert signed_in.request.get(upload.url).status == 403
        assert signed_in.request.get(upload.url.replace("/versions/1/upload/", "/upload/")).status == 403
    finally:
        application.manage("shell", "-c", SET_ROLE.format(role="admin"))


SET_ROLE = "from datasets_app.models import Membership; Membership.objects.update(role='{role}')"
