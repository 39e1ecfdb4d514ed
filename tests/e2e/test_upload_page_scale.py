"""The upload page with many files: it stays smooth, and its document stays small."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.uploading import UploadDriver

pytestmark = [pytest.mark.browser, pytest.mark.server]

OpenPage = Callable[[str], UploadDriver]
ROWS = 30_000
MOST_DOM_ROWS = 80

# Scrolls through the whole list and measures: rows in the document, how long a frame takes, and how often a frame
# showed a list without rows.
SCROLL = """
async ([list, frames]) => {
  const viewport = document.querySelector(list);
  const body = viewport.querySelector(".vlist-body");
  const result = { most: 0, bare: 0, last: 0 };
  const times = [];
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const room = viewport.scrollHeight - viewport.clientHeight;
  for (let step = 0; step <= frames; step += 1) {
    viewport.scrollTop = (room * step) / frames;
    const start = performance.now();
    await frame();
    await frame();
    times.push((performance.now() - start) / 2);
    result.most = Math.max(result.most, body.children.length);
    const middle = viewport.getBoundingClientRect();
    const hit = document.elementFromPoint(middle.x + 30, middle.y + middle.height / 2);
    if (!hit?.closest("[role=row]")) result.bare += 1;
  }
  result.median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
  result.last = [...body.children].map((row) => Number(row.getAttribute("aria-rowindex"))).sort((a, b) => a - b).at(-1);
  result.count = Number(viewport.getAttribute("aria-rowcount"));
  return result;
}
"""


def put_files(page: Page, count: int) -> None:
    """Give the page's input this many small files of a flat folder, as if they were picked."""
    page.evaluate(
        """count => {
          const transfer = new DataTransfer();
          for (let n = 0; n < count; n += 1) {
            transfer.items.add(new File([`${n}`], `${String(n).padStart(6, "0")}.txt`, { lastModified: n }));
          }
          const input = document.querySelector("#file-input");
          input.files = transfer.files;
          input.dispatchEvent(new Event("change"));
        }""",
        count,
    )


@pytest.mark.nightly
def test_thirty_thousand_rows_scroll(upload_page: OpenPage) -> None:
    upload = upload_page("scroll")
    page = upload.page
    put_files(page, ROWS)
    expect(upload.part("review")).to_be_visible(timeout=60_000)
    expect(upload.part("total")).to_contain_text("30\u202f000 files")
    upload.part("tree").scroll_into_view_if_needed()
    seen = page.evaluate(SCROLL, ["#review-tree", 100])
    assert seen["most"] <= MOST_DOM_ROWS
    assert seen["bare"] == 0
    assert seen["count"] == seen["last"] == ROWS
    # A frame at sixty a second has 17 ms; without a graphics card, and beside other tests, five of them must do.
    assert seen["median"] < 85

    upload.part("tree").focus()
    upload.part("tree").press("Home")
    upload.part("tree").press("End")
    expect(upload.part("tree").locator(".is-active")).to_contain_text("029999.txt")


def test_thirty_thousand_rows_scroll_while_they_are_sent(upload_page: OpenPage) -> None:
    upload = upload_page("scroll-sending")
    page = upload.page
    put_files(page, ROWS)
    expect(upload.part("review")).to_be_visible(timeout=60_000)
    # The files are small: what keeps the upload going is that requests are slow.
    upload.throttle(60_000)
    upload.start()
    expect(upload.part("allFilter")).to_contain_text("30\u202f000")
    upload.part("files").scroll_into_view_if_needed()
    seen = page.evaluate(SCROLL, ["#run-files", 100])
    expect(upload.part("heading")).to_have_text("Uploading")
    assert seen["most"] <= MOST_DOM_ROWS
    assert seen["bare"] == 0
    assert seen["count"] == seen["last"] == ROWS
    assert seen["median"] < 85


# Counts what is under way: each request from its sending until its answer is there.
COUNT_REQUESTS = """() => {
  const seen = globalThis.seenRequests = { now: 0, most: 0, all: 0 };
  const begin = () => {
    seen.now += 1;
    seen.all += 1;
    seen.most = Math.max(seen.most, seen.now);
  };
  const end = () => { seen.now -= 1; };
  const { fetch } = globalThis;
  globalThis.fetch = (...given) => {
    begin();
    return fetch(...given).finally(end);
  };
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (body) {
    begin();
    // Before "load", whose listeners may begin the next request while "loadend" is still to come.
    this.addEventListener("readystatechange", () => { if (this.readyState === XMLHttpRequest.DONE) end(); });
    send.call(this, body);
  };
}"""


def test_never_more_than_six_requests_at_once(upload_page: OpenPage, tmp_path: Path) -> None:
    upload = upload_page("six")
    # Before the page's own modules take hold of `fetch`.
    upload.page.add_init_script(f"({COUNT_REQUESTS})()")
    upload.open()
    folder = tmp_path / "six"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.large").write_bytes(os.urandom(9_000_000))
    for number in range(4000):
        (folder / f"{number}.txt").write_text(f"{number} {tmp_path}")
    upload.throttle(8_000_000)
    upload.pick(folder)
    upload.start()
    upload.wait_until_sealed()
    seen = upload.page.evaluate("globalThis.seenRequests")
    assert seen["all"] > 20
    assert 4 <= seen["most"] <= 6, seen
    assert seen["now"] == 0


def test_thousands_of_files_travel_in_few_requests(upload_page: OpenPage, tmp_path: Path) -> None:
    upload = upload_page("thousands")
    folder = tmp_path / "thousands"
    for number in range(3000):
        file = folder / f"{number % 30}" / f"{number}.txt"
        if number < 30:
            file.parent.mkdir(parents=True)
        file.write_text(f"{number} {tmp_path}")
    requests: list[str] = []
    upload.page.on("request", lambda request: requests.append(f"{request.method} {request.url}"))
    upload.pick(folder)
    upload.start()
    upload.wait_until_sealed()
    api = [request for request in requests if "/api/" in request]
    assert len(api) < 60, api
    assert len(upload.manifest()) == 3000
