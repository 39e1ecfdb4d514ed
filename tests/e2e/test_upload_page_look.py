"""The upload page in all its states: accessible, in light and dark, on a phone. SHOTS=folder keeps screenshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.looking import check
from tests.e2e.uploading import UploadDriver

pytestmark = [pytest.mark.browser, pytest.mark.server]

OpenPage = Callable[[str], UploadDriver]
SLOW = 2_000_000
VERY_SLOW = 100_000


def test_from_choosing_to_sealed(upload_page: OpenPage, source: Path, signed_in: Page) -> None:
    upload = upload_page("look")
    signed_in.goto(upload.url.replace("/versions/1/upload/", "/upload/"))
    check(signed_in, "new")
    upload.open()
    check(signed_in, "choose")
    upload.pick(source)
    signed_in.get_by_label("Destination folder").fill("train/2026")
    check(signed_in, "review")
    signed_in.get_by_role("button", name="Rename train/2026/a", exact=True).click()
    check(signed_in, "rename")
    signed_in.get_by_role("button", name="Cancel", exact=True).click()
    signed_in.get_by_label("Destination folder").fill("a\\b")
    check(signed_in, "review-problem")
    signed_in.get_by_label("Destination folder").fill("")
    upload.start()
    upload.wait_until_sealed()
    check(signed_in, "sealed")
    signed_in.goto(upload.url.replace("/versions/1/upload/", "/upload/"))
    check(signed_in, "new-from-base")


def test_sending_and_its_troubles(upload_page: OpenPage, large_source: Path, signed_in: Page) -> None:
    upload = upload_page("look-sending")
    upload.throttle(SLOW)
    upload.pick(large_source)
    (large_source / "7.txt").unlink()
    upload.start()
    upload.wait_for_percent(10)
    upload.throttle(VERY_SLOW)
    check(signed_in, "sending")
    upload.part("cancel").click()
    check(signed_in, "cancel")
    signed_in.get_by_role("button", name="Go on uploading").click()
    upload.throttle(0, offline=True)
    expect(upload.part("banner")).to_contain_text("Waiting for the network")
    check(signed_in, "offline")
    upload.throttle(VERY_SLOW)
    expect(upload.part("banner")).to_be_hidden(timeout=60_000)
    cookies = signed_in.context.cookies()
    signed_in.context.clear_cookies()
    # Only the next request finds out, and the one under way has to end first.
    upload.throttle(SLOW)
    expect(upload.part("banner")).to_contain_text("session has expired", timeout=60_000)
    check(signed_in, "signed-out")
    signed_in.context.add_cookies(cookies)  # type: ignore[arg-type]
    # "I have signed in"; the page looks by itself as well, so the button may be gone before it can be pressed.
    upload.part("banner").evaluate("banner => banner.querySelector('button')?.click()")
    expect(upload.part("banner")).to_be_hidden(timeout=60_000)
    upload.throttle(0)
    expect(upload.part("outcomeTitle")).to_have_text("1 file could not be uploaded", timeout=60_000)
    upload.part("failedFilter").click()
    check(signed_in, "failed")
    upload.part("sealWithout").click()
    check(signed_in, "seal-without")
    signed_in.get_by_role("button", name="Go back").click()
    upload.open()
    check(signed_in, "continue")
