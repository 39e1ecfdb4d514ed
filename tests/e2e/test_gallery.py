"""Pictures over the page, from a gallery and from a picture's page, by mouse, by keyboard, and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.looking import check
from tests.e2e.sending import make_dataset, seal_version, send_version
from tests.e2e.uploading import sign_in
from tests.previews.test_kinds import picture
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

VERSION = "/teams/lab/datasets/gallery/versions/1/"
FILES = {f"many/{number:03}.png": picture("RGB", (number + 10, 90)) for number in range(104)} | {
    "few/a.png": picture("RGB", (300, 200)),
    "few/b.png": picture("L", (200, 300)),
    # Its facts can be told; it is too large to be drawn.
    "few/c.png": picture("1", (12_000, 12_000)),
    "alone.png": picture("RGB", (30, 30)),
}


@pytest.fixture(scope="module")
def content(application: LiveApplication) -> LiveApplication:
    make_dataset(application, "gallery")
    seal_version(application, send_version(application, "gallery", 1, FILES))
    return application


def drawn_width(page: Page) -> int:
    page.evaluate("document.querySelector('.lightbox img').decode()")
    return int(page.evaluate("document.querySelector('.lightbox img').naturalWidth"))


def test_it_works(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}tree/many")
    box = signed_in.get_by_role("dialog")
    signed_in.get_by_role("link", name="001.png").first.click()
    expect(box.get_by_role("heading")).to_have_text("001.png")
    assert drawn_width(signed_in) == 11
    signed_in.keyboard.press("ArrowRight")
    expect(box.get_by_role("heading")).to_have_text("002.png")
    expect(box.locator("[data-place]")).to_have_text("3 of 100")
    box.get_by_role("button", name="Previous picture").click()
    box.get_by_role("button", name="Previous picture").click()
    expect(box.get_by_role("heading")).to_have_text("000.png")
    signed_in.keyboard.press("ArrowLeft")
    expect(box.get_by_role("heading")).to_have_text("000.png")
    expect(box.get_by_role("button", name="Previous picture")).to_be_focused()
    check(signed_in, "lightbox")
    signed_in.keyboard.press("ArrowRight")
    signed_in.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(signed_in.locator(".gallery a[title='001.png']")).to_be_focused()
    signed_in.keyboard.press("Enter")
    box.get_by_role("link", name="Open its page").click()
    expect(signed_in).to_have_url(f"{content.url}{VERSION}files/many/001.png")


def test_it_goes_on_behind_the_first_page(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}tree/many")
    box = signed_in.get_by_role("dialog")
    signed_in.locator(".gallery a[title='099.png']").click()
    signed_in.keyboard.press("ArrowRight")
    # It waits behind the thumbnails of a hundred pictures, which are made now.
    expect(box.get_by_role("heading")).to_have_text("100.png", timeout=60_000)
    expect(box.locator("[data-place]")).to_have_text("101 of 104")
    expect(signed_in.locator(".gallery img")).to_have_count(104)
    signed_in.keyboard.press("ArrowRight")
    signed_in.keyboard.press("ArrowRight")
    signed_in.keyboard.press("ArrowRight")
    signed_in.keyboard.press("ArrowRight")
    expect(box.get_by_role("heading")).to_have_text("103.png")
    signed_in.goto(f"{content.url}{VERSION}tree/many")
    check(signed_in, "gallery")


def test_a_picture_and_those_beside_it(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}files/few/b.png")
    expect(signed_in.locator(".strip [aria-current]")).to_have_attribute("title", "b.png")
    check(signed_in, "picture")
    signed_in.locator("[data-enlarges]").click()
    box = signed_in.get_by_role("dialog")
    expect(box.locator("[data-place]")).to_have_text("2 of 3")
    signed_in.keyboard.press("ArrowLeft")
    expect(box.get_by_role("heading")).to_have_text("a.png")
    signed_in.goto(f"{content.url}{VERSION}files/alone.png")
    signed_in.locator("[data-enlarges]").click()
    expect(box.get_by_role("heading")).to_have_text("alone.png")
    assert drawn_width(signed_in) == 30
    expect(box.get_by_role("button", name="Next picture")).to_be_hidden()
    signed_in.keyboard.press("Escape")
    expect(signed_in.locator("[data-enlarges]")).to_be_focused()


def test_a_picture_that_can_not_be_drawn_says_why(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}files/few/c.png")
    expect(signed_in.locator(".preview [role=status]")).to_contain_text("144,000,000 pixels: too large")
    expect(signed_in.locator(".strip .picture-problem")).to_have_text("c.png")
    check(signed_in, "broken-picture")
    signed_in.locator(".strip a[title='b.png']").click()
    signed_in.keyboard.press("ArrowRight")
    box = signed_in.get_by_role("dialog")
    expect(box.locator("[role=status]")).to_contain_text("too large to be drawn")
    signed_in.keyboard.press("ArrowLeft")
    expect(box.get_by_role("heading")).to_have_text("b.png")
    assert drawn_width(signed_in) == 200
    expect(box.locator("[role=status]")).to_have_count(0)


def test_without_scripts(content: LiveApplication, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, content)
        page.goto(f"{content.url}{VERSION}tree/many")
        page.get_by_role("link", name="Show the pictures").click()
        expect(page.locator(".gallery img")).to_have_count(4)
        page.locator(".gallery a[title='102.png']").click()
        expect(page).to_have_url(f"{content.url}{VERSION}files/many/102.png")
        page.locator(".strip a[title='103.png']").click()
        expect(page).to_have_url(f"{content.url}{VERSION}files/many/103.png")
