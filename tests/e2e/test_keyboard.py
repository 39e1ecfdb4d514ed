"""By keyboard alone: the focus is seen, gets everywhere, and comes back from dialogs, menus and replaced parts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.sending import call, make_dataset, seal_version, send_version, wait_for_status
from tests.e2e.uploading import sign_in
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

DATASET = "/teams/lab/datasets/by-keyboard/"
PAGES = [
    "/teams/lab/datasets/",
    "/teams/lab/datasets/new/",
    DATASET,
    f"{DATASET}versions/1/",
    f"{DATASET}versions/2/",
    f"{DATASET}versions/2/upload/",
    "/teams/lab/jobs/new/",
    "/teams/lab/",
    "/account/",
]
# What has the focus: its words, whether it is seen, and whether a ring shows it.
FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const box = element.getBoundingClientRect();
  const middle = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const ring = (of) => {
    const style = getComputedStyle(of);
    return (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || style.boxShadow !== "none";
  };
  return {
    words: element.outerHTML.slice(0, 120),
    seen: box.width > 0 && box.height > 0 && (element.contains(middle) || Boolean(middle?.contains(element))),
    ring: ring(element) || [...element.labels ?? []].some(ring) || ring(element.parentElement),
  };
}"""
# What a person can act on, without what only one radio button of a group stands for.
MOST_STOPS = 120


@pytest.fixture(scope="module")
def content(application: LiveApplication) -> LiveApplication:
    """Make a sealed and an open version."""
    make_dataset(application, "by-keyboard")
    files = {"a/one.txt": b"1", "b.txt": b"2"}
    seal_version(application, send_version(application, "by-keyboard", 1, files))
    send_version(application, "by-keyboard", 2, files)
    return application


def test_the_focus_is_always_seen(content: LiveApplication, signed_in: Page) -> None:
    found: list[str] = []
    for path in PAGES:
        signed_in.goto(content.url + path)
        # Some pages begin in a field; Tab shall begin at the top.
        signed_in.locator(".brand").focus()
        stops = 0
        while (focused := signed_in.evaluate(FOCUSED)) and stops < MOST_STOPS:
            stops += 1
            if not (focused["seen"] and focused["ring"]):
                found.append(f"{path}: {focused}")
            signed_in.keyboard.press("Tab")
        if not 5 < stops < MOST_STOPS:
            found.append(f"{path} has {stops} stops")
    assert found == []


def test_the_skip_link_leads_past_the_bar(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}/account/")
    signed_in.keyboard.press("Tab")
    expect(signed_in.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(signed_in.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    signed_in.keyboard.press("Enter")
    signed_in.keyboard.press("Tab")
    assert signed_in.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_dialog_keeps_the_focus_and_gives_it_back(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{DATASET}versions/2/")
    abandon = signed_in.get_by_role("button", name="Abandon", exact=True)
    abandon.focus()
    signed_in.keyboard.press("Enter")
    dialog = signed_in.get_by_role("dialog")
    # What changes nothing comes first.
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    for _ in range(5):
        signed_in.keyboard.press("Tab")
        assert signed_in.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
    signed_in.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(abandon).to_be_focused()


def test_a_menu_opens_and_closes(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}/account/")
    theme = signed_in.locator("summary[aria-label=Theme]")
    theme.focus()
    signed_in.keyboard.press("Enter")
    signed_in.keyboard.press("Tab")
    signed_in.keyboard.press("Tab")
    expect(signed_in.get_by_role("button", name="Dark")).to_be_focused()
    signed_in.keyboard.press("Enter")
    assert signed_in.evaluate("document.documentElement.dataset.theme") == "dark"
    signed_in.keyboard.press("Escape")
    expect(signed_in.get_by_role("button", name="Dark")).to_be_hidden()
    expect(theme).to_be_focused()


def test_the_focus_survives_parts_that_are_replaced(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}/teams/lab/jobs/new/")
    inside = signed_in.locator("#datasets :focus")
    signed_in.get_by_role("button", name="Attach by-keyboard").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator("#tree")).to_contain_text("by-keyboard@1")
    expect(inside).to_have_count(1)
    signed_in.get_by_role("button", name="Remove by-keyboard").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator("#tree")).not_to_contain_text("by-keyboard@1")
    expect(inside).to_have_count(1)


def wait_for_polls(page: Page, address: str, count: int = 2) -> None:
    """Wait until a part of the page has been replaced so many times."""
    for _ in range(count):
        with page.expect_response(lambda response: address in response.url):
            pass
        page.wait_for_timeout(200)


def test_the_focus_survives_polling(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{DATASET}")
    versions = signed_in.locator("#versions")
    for what in (versions.get_by_role("link", name="by-keyboard@1"), versions.get_by_role("button").first):
        what.focus()
        wait_for_polls(signed_in, f"{DATASET}?latest=1")
        expect(what).to_be_focused()


def test_the_focus_survives_a_running_job(content: LiveApplication, signed_in: Page) -> None:
    jobs = f"/teams/{content.team}/jobs"
    script = "for n in 1 2 3; do echo $n > /output/$n.txt; done; sleep 100"
    call(content, jobs, {"name": "by-keyboard", "kind": "training", "command": ["sh", "-c", script]})
    wait_for_status(content, f"{jobs}/by-keyboard", "running")
    signed_in.goto(f"{content.url}{jobs}/by-keyboard/")
    link = signed_in.locator("#live").get_by_role("link", name="2.txt")
    link.focus()
    wait_for_polls(signed_in, f"{jobs}/by-keyboard/")
    expect(link).to_be_focused()
    signed_in.goto(f"{content.url}{jobs}/")
    link = signed_in.locator("#results").get_by_role("link", name="by-keyboard").first
    link.focus()
    wait_for_polls(signed_in, f"{jobs}/")
    expect(link).to_be_focused()
    call(content, f"{jobs}/by-keyboard/stop")


def test_nothing_moves_for_those_who_ask_for_it(browser: Browser, content: LiveApplication) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, content)
    page.goto(f"{content.url}{DATASET}versions/1/")
    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll("*")].flatMap((element) => {
          const { transitionDuration, animationDuration } = getComputedStyle(element);
          return `${transitionDuration},${animationDuration}`.split(",").map(parseFloat);
        }))"""
    )
    assert longest < 0.01
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    context.close()
