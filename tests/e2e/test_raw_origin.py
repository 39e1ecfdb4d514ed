"""Two origins on the loopback interface: pages come from one, users' bytes from the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Response, expect

from tests.e2e.sending import make_dataset, seal_version, send_version
from tests.e2e.uploading import sign_in
from tests.previews.test_kinds import picture
from tests.previews.test_more_kinds import sound
from tests.servers import LiveApplication, application_environment, free_port

pytestmark = [pytest.mark.browser, pytest.mark.server]
FILES = {
    "README.md": b"# Kinds\n\n![a picture](a.png)\n",
    "a.png": picture("RGB", (60, 40)),
    "sound.wav": sound(20),
    "page.html": b"<script>document.title = 'ran'</script>",
}


@pytest.fixture(scope="module")
def two_origins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApplication]:
    """Run the application with users' bytes under another name of this machine."""
    folder, port = tmp_path_factory.mktemp("raw") / "application", free_port()
    folder.mkdir()
    environment = application_environment(folder, port) | {"RAW_ORIGIN": f"http://localhost:{port}"}
    application = LiveApplication(folder=folder, port=port, environment=environment)
    application.start()
    try:
        application.bootstrap()
        make_dataset(application, "kinds")
        seal_version(application, send_version(application, "kinds", 1, FILES))
        yield application
    finally:
        application.stop()


def test_bytes_come_from_the_other_origin(two_origins: LiveApplication, page: Page, console_errors: list[str]) -> None:
    raw = f"http://localhost:{two_origins.port}/"
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if answer.url.startswith(raw) else None)
    sign_in(page, two_origins)
    start = f"{two_origins.url}/teams/lab/datasets/kinds/versions/1"
    page.goto(f"{start}/files/README.md")
    expect(page.locator(".rendered img")).to_have_js_property("naturalWidth", 60)
    page.goto(f"{start}/files/sound.wav")
    length = page.evaluate(
        "new Promise((done) => { const a = document.querySelector('audio');"
        "if (a.readyState) done(a.duration); else a.onloadedmetadata = () => done(a.duration); })"
    )
    assert length == pytest.approx(20, abs=0.01)
    page.evaluate("document.querySelector('audio').currentTime = 15")
    expect(page.locator("audio")).to_have_js_property("seeking", False)
    assert 206 in {answer.status for answer in answers}
    for answer in answers:
        assert "cookie" not in answer.request.all_headers()
        assert answer.all_headers()["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.all_headers()
    page.goto(f"{start}/files/page.html")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.url.startswith(raw)
    assert download.value.path().read_bytes() == FILES["page.html"]
    expect(page).not_to_have_title("ran")
    assert console_errors == []
