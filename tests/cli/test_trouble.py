"""Trouble on this machine and on the line: said in words, or outlasted; never a traceback."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, read_files, write_files
from tests.cli.flaky import FlakyLine
from tests.imports.front import S3Front
from tests.servers import S3Server
from tests.store.naive import digest_of

pytestmark = pytest.mark.server


def through(flexai: Flexai, url: str, **more: str) -> Flexai:
    """Return the command, for another address of the same server."""
    return Flexai(flexai.home, url, flexai.token, flexai.team, more)


@pytest.fixture
def front(flexai: Flexai) -> Iterator[S3Front]:
    """Give a proxy before the server, which fails on demand."""
    proxy = S3Front(S3Server(flexai.url, "", "")).start()
    yield proxy
    proxy.stop()


@pytest.mark.parametrize(
    "arguments",
    [
        ["dataset", "push", "--json"],
        ["dataset", "push", "x", "--no-such-option", "--json"],
        ["dataset", "list", "--json", "--limit", "many"],
        ["dataset", "no-such-command", "--json"],
        ["dataset", "inspect", "bad name", "--json"],
    ],
)
def test_a_command_that_is_not_understood(flexai: Flexai, arguments: list[str]) -> None:
    done = flexai.run(*arguments, code=2)
    assert json.loads(done.stdout)["error"]["exit_code"] == 2
    assert done.stderr == ""
    plain = flexai.run(*(word for word in arguments if word != "--json"), code=2)
    assert plain.stdout == ""
    assert "Error" in plain.stderr


def test_json_of_the_job_is_not_ours(flexai: Flexai) -> None:
    done = flexai.run("training", "run", "job", "--time-limit", "x", "--", "echo", "--json", code=2)
    assert done.stdout == ""


def test_no_place_for_the_cache(flexai: Flexai, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocked = through(flexai, flexai.url, FLEXAI_CACHE_DIR=str(tmp_path / "file/cache"))
    files = {"a": b"1", "b": os.urandom(9 * 2**20)}
    folder = write_files(tmp_path / "data", files)
    for more in ((), ("--no-cache",)):
        made = blocked.json("dataset", "push", "uncached", "--file", folder, *more)
        assert made["digest"] == digest_of(files)
        assert "FLEXAI_CACHE_DIR" in made["warnings"][0]
    blocked.run("dataset", "pull", "uncached", tmp_path / "out")
    assert read_files(tmp_path / "out") == files
    told = blocked.json("dataset", "push", "uncached", "--file", "-=x", code=1)["error"]["detail"]
    assert "Standard input" in told


def test_standard_input_that_does_not_fit(flexai: Flexai) -> None:
    limits = {resource.RLIMIT_FSIZE: 2**20}
    process = flexai.start("dataset", "push", "too-long", "--file", "-=x", "--json", limits=limits)
    out, err = process.communicate("x" * 2**21, timeout=SECONDS)
    assert process.returncode == 1, err
    assert "There must be room for all of it" in json.loads(out)["error"]["detail"]
    assert not list((flexai.home / "cache").glob("stdin-*"))


def test_no_place_for_the_login(flexai: Flexai, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocked = Flexai(flexai.home, "", "", "", {"FLEXAI_CONFIG_DIR": str(tmp_path / "file/config")})
    refused = blocked.json("auth", "login", "--url", flexai.url, "--token", flexai.token, code=1)["error"]["detail"]
    assert str(tmp_path / "file/config") in refused


def test_a_damaged_login_is_replaced(flexai: Flexai) -> None:
    saved = flexai.home / "config/login.json"
    saved.parent.mkdir()
    saved.write_text('{"url": "http')
    bare = Flexai(flexai.home, "", "", "")
    assert "auth login" in bare.run("dataset", "list", code=3).stderr
    # Whoever names both has no need of it.
    flexai.run("dataset", "list")
    assert "auth login" in Flexai(flexai.home, flexai.url, "", "").run("dataset", "list", code=3).stderr
    bare.run("auth", "login", "--url", flexai.url, stdin=flexai.token + "\n")
    bare.run("dataset", "list")


def test_no_place_for_what_is_fetched(flexai: Flexai, tmp_path: Path) -> None:
    flexai.run("training", "run", "leaves", "-f", "--", "bash", "-c", "echo left > /output/f")
    (tmp_path / "file").write_bytes(b"")
    refused = flexai.json("job", "fetch", "leaves", tmp_path / "file/out", code=1)["error"]["detail"]
    assert str(tmp_path / "file") in refused


def test_a_line_that_breaks_again_and_again(flexai: Flexai, tmp_path: Path) -> None:
    files = {"large.bin": os.urandom(40 * 2**20)}
    folder = write_files(tmp_path / "data", files)
    # It takes longer than the patience that a line without any progress gets.
    with FlakyLine(flexai.url, cut=4 * 2**20, bytes_per_second=10 * 2**20) as line:
        slow = through(flexai, line.url, FLEXAI_PATIENCE="1.5")
        assert slow.json("dataset", "push", "flaky", "--file", folder)["digest"] == digest_of(files)
        assert line.cuts >= 5


def test_too_many_requests(flexai: Flexai, tmp_path: Path, front: S3Front) -> None:
    files = {"a.txt": b"123", "large.bin": os.urandom(9 * 2**20)}
    folder = write_files(tmp_path / "data", files)
    ours = through(flexai, front.url)
    flexai.run("training", "run", "limited", "-f", "--", "bash", "-c", "echo left > /output/f")

    def refuse(match: str) -> None:
        front.fail(match, status=429, headers={"Retry-After": "1"})

    for match in ("/plan", "POST .*/tus", "PATCH", "/bundles", "/seal"):
        refuse(match)
    assert ours.json("dataset", "push", "limited", "--file", folder)["digest"] == digest_of(files)
    for match in ("/manifest", "POST .*/files", "GET .*large.bin"):
        refuse(match)
    ours.run("dataset", "pull", "limited", tmp_path / "out")
    assert read_files(tmp_path / "out") == files
    refuse("GET .*/files/a.txt")
    assert ours.run("dataset", "cat", "limited", "a.txt").stdout == "123"
    refuse("GET .*/outputs/f")
    ours.run("job", "fetch", "limited", tmp_path / "left")
    assert read_files(tmp_path / "left") == {"f": b"left\n"}
    assert len(front.lines("GET .*/outputs/f")) == 2
    # For how long, the server says.
    told = through(flexai, front.url, FLEXAI_PATIENCE="0")
    front.fail("datasets", times=-1, status=429, headers={"Retry-After": "1"})
    told.run("dataset", "list", code=1)


def test_a_download_that_breaks(flexai: Flexai, tmp_path: Path, front: S3Front) -> None:
    data = ("0123456789abcdef" * 2**16) * 3
    folder = write_files(tmp_path / "data", {"f": data.encode()})
    flexai.run("dataset", "push", "breaks", "--file", folder)
    ours = through(flexai, front.url)
    front.fail("GET .*/files/f", cut=2**20 + 5)
    front.fail("GET .*/files/f", cut=-1)
    assert ours.run("dataset", "cat", "breaks", "f").stdout == data
    script = "head -c 3000000 /dev/zero > /output/f"
    flexai.run("training", "run", "breaks", "-f", "--", "bash", "-c", script)
    front.fail("GET .*/outputs/f", cut=2**20)
    ours.run("job", "fetch", "breaks", tmp_path / "left")
    assert read_files(tmp_path / "left") == {"f": bytes(3_000_000)}


def test_it_is_said_once_and_to_the_point(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"a": b"a"})
    told = flexai.run("dataset", "push", "ab", "--file", folder, code=1).stderr
    assert told.count("A name has 3 to 63") == 1
    flexai.run("dataset", "push", "to-the-point", "--file", folder)
    told = flexai.run("dataset", "push", "to-the-point", "--file", folder, "--base", "x y", code=2).stderr
    assert "--base 'x y' names no version" in told
    told = flexai.run("dataset", "pull", "to-the-point", tmp_path / "out", "--include", "*.nope").stderr
    assert "Warning: No file of to-the-point@1 matches the patterns." in told
    told = flexai.run("auth", "login", "--url", f"{flexai.url}/datasets", "--token", "x", code=4).stderr
    assert "Is the address of the server right?" in told
