"""Drives the system's Firefox by WebDriver BiDi; Playwright would need a build of its own.

https://w3c.github.io/webdriver-bidi/
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.servers import end_group

START_SECONDS: Final = 60
ANSWER_SECONDS: Final = 60
# It would ask its maker for news, and open pages of its own.
PREFERENCES: Final = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_beforeunload": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
# Refusals of the security policy become errors on the console. WebDriver can choose files but no folders:
# `folderPaths` (name -> path) says what choosing the folder would have said.
AT_EVERY_PAGE: Final = """() => {
  document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
  });
  const path = { get() { return window.folderPaths?.[this.name] ?? ""; } };
  Object.defineProperty(File.prototype, "webkitRelativePath", path);
}"""

# WebDriver drops no files, and no script makes the entry of a folder: a stand-in hands out what is in `tree`, at most
# a hundred entries a call, as browsers do. Files are dropped as they are.
DROP: Final = """(tree) => {
  const files = new Map([...document.querySelector("#to-drop").files].map((file) => [file.name, file]));
  document.querySelector("#to-drop").remove();
  const entryOf = (name, inside) => inside === null
    ? { name, isFile: true, isDirectory: false, file: (good) => setTimeout(good, 0, files.get(name)) }
    : { name, isFile: false, isDirectory: true, createReader: () => {
        const left = Object.entries(inside);
        return { readEntries: (good) => setTimeout(good, 0, left.splice(0, 100).map((one) => entryOf(...one))) };
      } };
  const transfer = new DataTransfer();
  const folders = new Map();
  for (const [name, inside] of Object.entries(tree)) {
    transfer.items.add(files.get(name) ?? new File([], name));
    if (inside !== null) folders.set(name, entryOf(name, inside));
  }
  const { webkitGetAsEntry } = DataTransferItem.prototype;
  DataTransferItem.prototype.webkitGetAsEntry = function () {
    return folders.get(this.getAsFile().name) ?? webkitGetAsEntry.call(this);
  };
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
  DataTransferItem.prototype.webkitGetAsEntry = webkitGetAsEntry;
}"""


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, connection: ClientConnection) -> None:
        self.errors: list[str] = []
        self._connection = connection
        self._last = 0
        self.send("session.new", capabilities={})
        self._window = self.send("browsingContext.getTree")["contexts"][0]["context"]
        self.send("session.subscribe", events=["log.entryAdded"])
        self.send("script.addPreloadScript", functionDeclaration=AT_EVERY_PAGE)

    def send(self, method: str, **params: object) -> Any:  # noqa: ANN401
        """Send one command and return its result; on the way, note what pages complain about."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=ANSWER_SECONDS))
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.errors.append(str(message["params"]["text"]))
            if message.get("id") == self._last:
                assert message["type"] == "success", f"{method}: {message}"
                return message["result"]

    def open(self, url: str) -> None:
        """Open a page and wait until all of it has been loaded."""
        self.send("browsingContext.navigate", context=self._window, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401
        """Return the value of a JavaScript expression that JSON can carry."""
        answer = self.send(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._window},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def wait_for(self, expression: str, *, seconds: float = 30) -> None:
        """Wait until the expression is true, also across pages."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                page = self.evaluate("[location.href, document.querySelector('main')?.innerText]")
                pytest.fail(f"not within {seconds} s: {expression}\n{page}\n{self.errors}")
            time.sleep(0.1)

    def wait_for_text(self, selector: str, text: str, *, seconds: float = 30) -> None:
        """Wait until an element has the text in it."""
        found = f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)}) === true"
        self.wait_for(found, seconds=seconds)

    def find(self, selector: str) -> dict[str, str]:
        """Return a reference to the first visible element; wait for it."""
        quoted = json.dumps(selector)
        self.wait_for(f"[...document.querySelectorAll({quoted})].some((element) => element.checkVisibility())")
        return self._locate(selector, visible=True)

    def _locate(self, selector: str, *, visible: bool) -> dict[str, str]:
        quoted = json.dumps(selector)
        answer = self.send(
            "script.evaluate",
            expression=f"[...document.querySelectorAll({quoted})].find((element) => "
            f"{'element.checkVisibility()' if visible else 'true'})",
            target={"context": self._window},
            awaitPromise=False,
        )
        return {"sharedId": answer["result"]["sharedId"]}

    def click(self, selector: str) -> None:
        """Click on the first visible element, as a mouse does."""
        element = self.find(selector)
        self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            ".find((element) => element.checkVisibility()).scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": element}}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"type": "pointer", "id": "mouse", "actions": [move, *press]}
        self.send("input.performActions", context=self._window, actions=[mouse])

    def type(self, selector: str, text: str) -> None:
        """Click on a field and type into it."""
        self.click(selector)
        presses = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": presses}
        self.send("input.performActions", context=self._window, actions=[keyboard])

    def choose_folder(self, selector: str, folder: Path) -> None:
        """Choose all files of a folder, whose names must differ, in a field for folders."""
        files = [file for file in folder.rglob("*") if file.is_file()]
        paths = {file.name: file.relative_to(folder.parent).as_posix() for file in files}
        assert len(paths) == len(files)
        self.evaluate(f"window.folderPaths = {json.dumps(paths)}")
        element = self._locate(selector, visible=False)
        self.send("input.setFiles", context=self._window, element=element, files=[str(file) for file in files])

    def drop(self, *roots: Path) -> None:
        """Drop files and folders onto the page; no two files may have one name."""
        files = [file for root in roots for file in (root, *root.rglob("*")) if file.is_file()]
        assert len({file.name for file in files}) == len(files)
        self.evaluate(
            "void document.body.append(Object.assign(document.createElement('input'), "
            "{type: 'file', multiple: true, hidden: true, id: 'to-drop'}))"
        )
        element = self._locate("#to-drop", visible=False)
        self.send("input.setFiles", context=self._window, element=element, files=[str(file) for file in files])
        self.evaluate(f"void ({DROP})({json.dumps({root.name: _tree(root) for root in roots})})")


def _tree(place: Path) -> dict[str, Any] | None:
    """Return what is in a folder, by name; nothing for a file."""
    return {inside.name: _tree(inside) for inside in place.iterdir()} if place.is_dir() else None


@contextmanager
def run_firefox(folder: Path) -> Iterator[Firefox]:
    """Run a Firefox without a screen, with its profile in the folder; skip the test when there is none."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("Firefox is not installed (Debian: firefox-esr)")
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(
        "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    )
    with (folder / "firefox.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with connect(_address(profile, process), max_size=None, compression=None) as connection:
            yield Firefox(connection)
    finally:
        end_group(process, signal.SIGKILL)


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for the file in which Firefox says where it listens."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            place = json.loads((profile / "WebDriverBiDiServer.json").read_text())
        except (OSError, ValueError):
            assert process.poll() is None, "Firefox ended"
            assert time.monotonic() < end, "Firefox did not start"
            time.sleep(0.1)
        else:
            return f"ws://{place['ws_host']}:{place['ws_port']}/session"
