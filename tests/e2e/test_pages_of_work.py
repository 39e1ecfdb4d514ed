"""Pages that need something to have happened: jobs that ran, versions to compare, changes, things in the trash."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.e2e.looking import settle, violations
from tests.e2e.sending import call, make_dataset, seal_version, send_version, wait_for_status
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

TEAM = "/teams/lab/"
DATASET = f"{TEAM}datasets/worked-on/"
PAGES = [
    f"{TEAM}jobs/",
    f"{TEAM}jobs/finished/",
    f"{TEAM}jobs/finished/outputs/",
    f"{TEAM}jobs/finished/outputs/deep/",
    f"{TEAM}jobs/running/",
    f"{TEAM}jobs/failed/",
    f"{DATASET}history/",
    f"{DATASET}versions/1/diff/2/",
    f"{DATASET}versions/1/overlap/",
    f"{DATASET}versions/1/overlap/?with=worked-on@2",
    f"{DATASET}versions/2/search/",
    f"{DATASET}versions/2/search/?q=one",
    f"{DATASET}versions/2/sql/?files=table.csv",
    f"{DATASET}versions/3/changes/",
    f"{DATASET}versions/2/delete/",
    f"{DATASET}archive/",
    f"{DATASET}delete/",
    f"{TEAM}datasets/put-away/",
    f"{TEAM}compose/",
    f"{TEAM}trash/",
]
SCREENS = {"wide and light": (1440, "light"), "small and dark": (390, "dark")}
LONG = "a very long name that does not fit into any row of a small screen, and goes on for a while"


@pytest.fixture(scope="module")
def worked(application: LiveApplication) -> Iterator[LiveApplication]:
    """Make three versions, of which the last is open and changes the second, three jobs, and datasets put away."""
    make_dataset(application, "worked-on")
    first = {"table.csv": b"name,size\none,1\ntwo,2\n", f"folder/{LONG}.txt": b"1", "kept/one.txt": b"same"}
    seal_version(application, send_version(application, "worked-on", 1, first))
    second = {"table.csv": b"name,size\none,1\ntwo,3\n", "new/two.txt": b"2", "kept/one.txt": b"same"}
    seal_version(application, send_version(application, "worked-on", 2, second))
    versions = "/teams/lab/datasets/worked-on/versions"
    call(application, versions, {"base": 2})
    call(application, f"{versions}/3/remove", {"paths": ["new/"]})
    call(application, f"{versions}/3/move", {"moves": [{"from": "kept/one.txt", "to": f"kept/{LONG}.txt"}]})
    call(application, f"{versions}/3/plan", {"files": [{"path": "fresh.bin", "size": 5}]})
    for name, script in {
        "finished": f"echo {'long ' * 60}; mkdir -p /output/deep; echo x > '/output/deep/{LONG}'; echo y > /output/y",
        "failed": "echo it breaks >&2; exit 3",
        "running": "echo on its way; sleep 300",
    }.items():
        job = {
            "name": name,
            "kind": "training",
            "command": ["sh", "-c", script],
            "datasets": [{"dataset": "worked-on"}],
        }
        call(application, "/teams/lab/jobs", job | {"datasets": [{"dataset": "worked-on"}]})
        states = {"finished": "succeeded"}
        wait_for_status(application, f"/teams/lab/jobs/{name}", states.get(name, name))
    for name in ("put-away", "thrown-away"):
        make_dataset(application, name)
        seal_version(application, send_version(application, name, 1, {"a": b"a"}))
    call(application, "/teams/lab/datasets/put-away/archive")
    application.request("DELETE", "/api/v1/teams/lab/datasets/thrown-away")
    yield application
    # Its place on the worker is needed by other tests.
    call(application, "/teams/lab/jobs/running/stop")


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page(worked: LiveApplication, signed_in: Page, screen: str) -> None:
    width, scheme = SCREENS[screen]
    signed_in.set_viewport_size({"width": width, "height": 900})
    signed_in.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    found: list[str] = []
    for path in PAGES:
        answer = signed_in.goto(worked.url + path)
        if answer is None or answer.status != 200:
            found.append(f"{path} answers {answer.status if answer else 'nothing'}")
        settle(signed_in)
        found += violations(signed_in, path)
        wide = signed_in.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{path} is {wide} pixels wide")
    assert found == []
