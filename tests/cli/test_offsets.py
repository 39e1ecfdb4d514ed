"""An answer to sent bytes was lost, and the question how many of them have arrived goes wrong, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Flexai, write_files
from tests.imports.front import S3Front
from tests.servers import S3Server
from tests.store.naive import digest_of

pytestmark = pytest.mark.server


@pytest.fixture
def files() -> dict[str, bytes]:
    """One file that travels alone, and a bundle; new ones for each test."""
    return {"large.bin": os.urandom(9 * 2**20), "small/a": os.urandom(9), "small/b": os.urandom(9)}


@pytest.fixture
def front(flexai: Flexai) -> Iterator[S3Front]:
    """Give a proxy before the server, which loses the first answer to the bytes of each upload."""
    proxy = S3Front(S3Server(flexai.url, "", "")).start()
    proxy.fail("PATCH", cut=-1, times=2)
    yield proxy
    proxy.stop()


def through(flexai: Flexai, front: S3Front, patience: float) -> Flexai:
    """Return the command, by way of the proxy."""
    return Flexai(flexai.home, front.url, flexai.token, flexai.team, {"FLEXAI_PATIENCE": str(patience)})


@pytest.mark.parametrize(
    "how",
    [{"status": 404}, {"status": 410}, {"status": 423}, {"status": 500}, {"status": 502}, {"cut": -1}, {"status": 200}],
    ids=str,
)
def test_it_goes_wrong_for_a_while(
    flexai: Flexai, tmp_path: Path, front: S3Front, files: dict[str, bytes], how: dict[str, Any]
) -> None:
    name = f"offset-{'-'.join(map(str, how.values())).replace('--', '-')}"
    folder = write_files(tmp_path / "data", files)
    ours = through(flexai, front, 20)
    front.fail("HEAD", times=2, **how)
    if how == {"status": 200}:
        # Some portal that answers everything.
        refused = ours.json("dataset", "push", name, "--file", folder, code=1)["error"]["detail"]
        assert "could not be found out" in refused
        front.recover()
    assert ours.json("dataset", "push", name, "--file", folder)["digest"] == digest_of(files)
    assert front.lines("HEAD")
    assert [row["status"] for row in flexai.json("dataset", "versions", name)] == ["available"]


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ({"status": 423}, 1, "How much of an upload has arrived could not be found out"),
        ({"status": 500}, 1, "was answered with 500 Internal Server Error. The same command goes on with it."),
        ({"status": 401}, 3, "was answered with 401 Unauthorized"),
        ({"cut": -1}, 7, "does not answer"),
    ],
    ids=str,
)
def test_it_goes_wrong_for_good(
    flexai: Flexai, tmp_path: Path, front: S3Front, files: dict[str, bytes], how: dict[str, Any], code: int, told: str
) -> None:
    name = f"offset-never-{code}-{how.get('status', 0)}"
    folder = write_files(tmp_path / "data", files)
    ours = through(flexai, front, 1)
    front.fail("HEAD", times=-1, **how)
    front.fail("PATCH", cut=-1, times=-1)
    assert told in ours.json("dataset", "push", name, "--file", folder, code=code)["error"]["detail"]
    front.recover()
    done = ours.json("dataset", "push", name, "--file", folder)
    assert (done["version"], done["digest"]) == (1, digest_of(files))
