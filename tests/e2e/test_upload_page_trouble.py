"""The upload page where something goes wrong: pauses, reloads, lost networks, killed servers, bad files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.e2e.uploading import UploadDriver, hash_folder, sign_in
from tests.servers import LiveApplication, serve_with_account

pytestmark = [pytest.mark.browser, pytest.mark.server]

OpenPage = Callable[[str], UploadDriver]
SLOW = 3_000_000


@pytest.fixture
def sending(upload_page: OpenPage, large_source: Path, request: pytest.FixtureRequest) -> Iterator[UploadDriver]:
    """Begin an upload that is slow, and look at the end whether all of it arrived."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))[:50].strip("-")
    upload = upload_page(name)
    upload.throttle(SLOW)
    upload.pick(large_source)
    upload.start()
    upload.wait_for_percent(15)
    yield upload
    assert upload.manifest() == hash_folder(large_source)


def test_pause_and_resume(sending: UploadDriver) -> None:
    sending.part("pause").click()
    expect(sending.part("heading")).to_have_text("Paused")
    sending.page.wait_for_timeout(500)
    sent = len(sending.patches)
    sending.page.wait_for_timeout(1500)
    assert len(sending.patches) == sent
    sending.throttle(0)
    sending.part("resume").click()
    sending.wait_until_sealed()
    offsets = [int(request.headers["upload-offset"]) for request in sending.patches]
    assert offsets.count(0) <= 3, "the large file began anew"


def test_a_reload_continues_where_it_was(sending: UploadDriver, large_source: Path) -> None:
    warned: list[str] = []

    def accept(dialog: Dialog) -> None:
        warned.append(dialog.type)
        dialog.accept()

    sending.page.on("dialog", accept)
    sending.page.locator("#run-title").click()
    sending.page.reload()
    assert warned == ["beforeunload"]
    sending.patches.clear()
    expect(sending.part("continue")).to_contain_text("Pick the same files or folder again")
    sending.pick(large_source)
    sending.start()
    sending.wait_until_sealed()
    starts = [int(request.headers["upload-offset"]) for request in sending.patches]
    assert starts, "everything was sent before the reload: the test is too slow to say anything"
    assert min(starts) >= 1 << 20


def test_a_lost_network_is_waited_for(sending: UploadDriver) -> None:
    sending.throttle(0, offline=True)
    banner = sending.part("banner")
    expect(banner).to_contain_text("Waiting for the network")
    expect(banner).to_contain_text(re.compile(r"retrying in \d+ s|trying now"))
    sending.throttle(0)
    expect(banner).to_be_hidden()
    sending.wait_until_sealed()


def test_a_killed_server_is_waited_for(sending: UploadDriver, application: LiveApplication) -> None:
    application.kill()
    try:
        expect(sending.part("banner")).to_contain_text("Waiting for the server")
    finally:
        application.start()
    sending.throttle(0)
    sending.wait_until_sealed()


def test_an_expired_session_is_renewed_in_another_tab(sending: UploadDriver, application: LiveApplication) -> None:
    sending.page.context.clear_cookies()
    banner = sending.part("banner")
    expect(banner).to_contain_text("Your session has expired")
    with sending.page.context.expect_page() as opened:
        banner.get_by_role("link", name="Sign in").click()
    sign_in(opened.value, application)
    expect(banner).to_be_hidden()
    sending.throttle(0)
    sending.wait_until_sealed()


def test_cancel_keeps_what_was_sent(upload_page: OpenPage, large_source: Path) -> None:
    upload = upload_page("cancelled")
    upload.throttle(SLOW)
    upload.pick(large_source)
    upload.start()
    upload.wait_for_percent(15)
    upload.part("cancel").click()
    upload.page.get_by_role("button", name="Go on uploading").click()
    expect(upload.part("heading")).to_have_text("Uploading")
    upload.part("cancel").click()
    upload.page.get_by_role("button", name="Stop, continue later").click()
    upload.page.wait_for_url("**/versions/1/")
    upload.page.get_by_role("link", name="Continue this upload").click()
    upload.throttle(0)
    upload.pick(large_source)
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(large_source)


def test_cancel_can_abandon_the_version(upload_page: OpenPage, large_source: Path) -> None:
    upload = upload_page("abandoned")
    upload.throttle(SLOW)
    upload.pick(large_source)
    upload.start()
    upload.wait_for_percent(15)
    upload.part("cancel").click()
    upload.page.get_by_role("button", name="Abandon the version").click()
    upload.page.wait_for_url("**/datasets/abandoned/")
    status, _ = upload.application.request("GET", upload.api)
    assert status == 404


def test_a_changed_and_a_deleted_file_fail_alone(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("broken")
    upload.pick(source)
    (source / "a" / "one.txt").write_text("other bytes, and more of them, than when it was picked")
    (source / "many" / "007.txt").unlink()
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("2 files could not be uploaded")
    upload.part("failedFilter").click()
    expect(upload.part("files").get_by_role("row")).to_have_count(2)
    expect(upload.part("files")).to_contain_text("changed after it was picked")
    good = {path: digest for path, digest in hash_folder(source).items() if path != "a/one.txt"}

    # The server knows of both, so that no seal can miss them.
    assert upload.staged()["file_count"] == len(good) + 2

    # Sealing without them names them, and can be declined.
    upload.part("sealWithout").click()
    expect(upload.part("withoutNames").get_by_role("listitem")).to_have_text(["a/one.txt", "many/007.txt"])
    upload.page.get_by_role("button", name="Go back").click()
    assert upload.application.request("GET", f"{upload.api}/manifest")[0] != 200
    upload.part("sealWithout").click()
    upload.page.get_by_role("button", name="Leave out 2 files and seal").click()
    upload.wait_until_sealed()
    assert upload.manifest() == good


# What the browser does where the permission to read is missing, until `locked` is lifted: root may read everything.
LOCK = """() => {
  globalThis.locked = true;
  const failure = () => new DOMException("no permission", "NotReadableError");
  const guard = (entry) => {
    if (entry.isFile && entry.name === "one.txt") {
      const file = entry.file.bind(entry);
      entry.file = (good, bad) => globalThis.locked ? bad(failure()) : file(good, bad);
    }
    if (entry.isDirectory) {
      const createReader = entry.createReader.bind(entry);
      entry.createReader = () => {
        const reader = createReader();
        const some = (good, bad) => reader.readEntries((found) => good(found.map(guard)), bad);
        return { readEntries: globalThis.locked && entry.name === "many" ? (good, bad) => bad(failure()) : some };
      };
    }
    return entry;
  };
  const { webkitGetAsEntry } = DataTransferItem.prototype;
  DataTransferItem.prototype.webkitGetAsEntry = function () { return guard(webkitGetAsEntry.call(this)); };
}"""


def test_what_a_drop_can_not_read_is_not_sealed_away(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("locked")
    upload.page.evaluate(LOCK)
    upload.drop(source)
    expect(upload.part("unreadableNote")).to_contain_text("2 entries can't be read")
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("2 files could not be uploaded")
    upload.part("failedFilter").click()
    expect(upload.part("files").get_by_role("row")).to_have_count(2)
    expect(upload.part("files")).to_contain_text("the permission is missing")
    # The server knows of the file, so that no other page seals without it.
    assert upload.application.request("POST", f"{upload.api}/seal")[0] == 409
    upload.part("sealWithout").click()
    expect(upload.part("withoutNames").get_by_role("listitem")).to_have_text(["a/one.txt", "many/"])
    upload.page.get_by_role("button", name="Go back").click()

    upload.page.evaluate("globalThis.locked = false")
    upload.part("retryFailed").click()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_what_a_drop_can_not_read_is_remembered_when_the_page_is_gone(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("remembered")
    upload.page.evaluate(LOCK)
    upload.drop(source)
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("2 files could not be uploaded")
    upload.open()
    upload.pick(source / "a")
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("Not sealed: 2 files are missing")
    expect(upload.part("outcomeNames")).to_contain_text("many/: The folder could not be read")
    upload.part("addMore").click()
    upload.drop(source)
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source) | hash_folder(source / "a")


def test_a_folder_that_is_empty_when_it_can_be_read_at_last(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("empty-at-last")
    upload.page.evaluate(LOCK)
    upload.drop(source)
    for file in (source / "many").iterdir():
        file.unlink()
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("2 files could not be uploaded")
    upload.page.evaluate("globalThis.locked = false")
    upload.part("retryFailed").click()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_a_failed_file_is_picked_again(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("mended")
    upload.pick(source)
    (source / "a" / "one.txt").write_text("other bytes, and more of them, than when it was picked")
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("1 file could not be uploaded")
    upload.part("addMore").click()
    upload.pick(source)
    upload.start()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_files_of_an_earlier_session_that_never_came(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("left-over")
    missing = [{"path": f"never/{number}.bin", "size": 5} for number in range(3)]
    status, _ = upload.application.request("POST", f"{upload.api}/plan", body={"files": missing})
    assert status == 200
    upload.open()
    expect(upload.part("continue")).to_contain_text("0 of 3 files")
    upload.pick(source)
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("Not sealed: 3 files are missing")
    expect(upload.part("outcomeNames")).to_contain_text("never/0.bin")
    upload.part("sealWithout").click()
    upload.page.get_by_role("button", name="Leave out 3 files and seal").click()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_thousands_of_files_that_never_came_are_left_out_at_once(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("many-left-over")
    missing = [{"path": f"never/{number}.bin", "size": 5} for number in range(350)]
    assert upload.application.request("POST", f"{upload.api}/plan", body={"files": missing})[0] == 200
    upload.open()
    upload.pick(source)
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("Not sealed: 350 files are missing")
    upload.part("sealWithout").click()
    upload.page.get_by_role("button", name="Leave out 350 files and seal").click()
    upload.wait_until_sealed()
    assert upload.manifest() == hash_folder(source)


def test_leaving_a_failed_file_out_keeps_that_of_the_base(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("leaving-out")
    upload.pick(source)
    upload.start()
    upload.wait_until_sealed()
    before = upload.manifest()
    upload.start_version(base=1)
    upload.open()
    (source / "a" / "one.txt").write_text("a newer one")
    upload.pick(source)
    (source / "a" / "one.txt").unlink()
    upload.start()
    upload.part("sealWithout").click()
    expect(upload.part("withoutDialog")).to_contain_text(
        "where leaving-out@1 has a file at the same path, that one stays"
    )
    upload.page.get_by_role("button", name="Leave out 1 file and seal").click()
    upload.wait_until_sealed()
    assert upload.manifest() == before


def test_a_seal_whose_answer_is_lost_is_followed(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("answer-lost")
    asked: list[int] = []

    def lose(route: Route) -> None:
        asked.append(route.fetch().status)
        if len(asked) == 1:
            route.abort("connectionreset")
        else:
            route.fallback()

    upload.page.route("**/seal", lose)
    upload.pick(source)
    upload.start()
    upload.wait_until_sealed()
    assert asked == [202, 409]


def test_a_version_that_vanishes_while_it_is_sealed_is_said(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("vanishing")
    upload.pick(source)
    upload.part("autoSeal").uncheck()
    upload.start()
    expect(upload.part("outcomeTitle")).to_have_text("Everything has arrived")
    # As of a version that is too large to be sealed at once.
    upload.page.route("**/seal", lambda route: route.fulfill(status=202, json={"status": "pending"}))
    problem = json.dumps({"type": "urn:flexai:problem:not-found", "title": "Not found", "detail": "It is gone."})
    upload.page.route(
        f"**{upload.api}",
        lambda route: route.fulfill(status=404, body=problem, content_type="application/problem+json"),
    )
    upload.part("seal").click()
    expect(upload.part("outcomeTitle")).to_have_text("vanishing@1 can't be seen any more")
    expect(upload.part("outcomeText")).to_contain_text("It is gone.")


def test_a_full_disk_pauses_until_there_is_room(
    page: Page, console_errors: list[str], source: Path, tmp_path: Path
) -> None:
    with serve_with_account(tmp_path / "full", DISK_RESERVE_BYTES=str(1 << 60)) as application:
        sign_in(page, application)
        upload = UploadDriver(page, application, "full")
        upload.start_version()
        upload.open()
        upload.pick(source)
        upload.start()
        expect(upload.part("heading")).to_have_text("Paused")
        expect(upload.part("banner")).to_contain_text("has no room for an upload of this size")
        assert upload.staged()["stored_count"] == 0
        application.stop()
        application.environment["DISK_RESERVE_BYTES"] = "0"
        application.start()
        upload.part("resume").click()
        upload.wait_until_sealed()
        assert upload.manifest() == hash_folder(source)
    assert console_errors == []


def test_a_version_sealed_elsewhere_stops_the_upload(upload_page: OpenPage, source: Path) -> None:
    upload = upload_page("taken")
    upload.pick(source / "a")
    upload.start()
    upload.wait_until_sealed()
    upload.start_version()
    upload.open()
    upload.pick(source)
    upload.application.request("POST", f"{upload.api}/abandon")
    upload.start()
    expect(upload.part("banner")).to_contain_text("no version taken@2")
    expect(upload.part("heading")).to_have_text("Stopped")
