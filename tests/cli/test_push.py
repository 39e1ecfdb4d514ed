"""`flexai dataset push`: what is taken, where it goes, what travels, what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Flexai, read_files, write_files
from tests.store.naive import digest_of

pytestmark = pytest.mark.server

FILES = {"a.txt": b"one", "train/b.bin": b"two" * 100, "train/deep/é.txt": b"", "z/empty": b""}


def test_it_works(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", FILES)
    made = flexai.json("dataset", "push", "works", "--file", folder, "--message", "first")
    assert (made["status"], made["version"], made["file_count"]) == ("created", 1, 4)
    assert made["digest"] == digest_of(FILES)
    assert made["sent_size"] == sum(map(len, FILES.values()))
    # The same again, with and without the cache: no version, no byte.
    for more in ([], ["--no-cache"]):
        again = flexai.json("dataset", "push", "works", "--file", folder, *more)
        assert (again["status"], again["version"], again["sent_size"]) == ("unchanged", 1, 0)
    (folder / "a.txt").write_bytes(b"new")
    changed = flexai.json("dataset", "push", "works", "--file", folder)
    assert (changed["version"], changed["sent_size"]) == (2, 3)
    assert changed["digest"] == digest_of(FILES | {"a.txt": b"new"})
    versions = flexai.json("dataset", "versions", "works")
    assert [(row["number"], row["status"], row["message"]) for row in versions] == [
        (2, "available", ""),
        (1, "available", "first"),
    ]


def test_where_sources_go(flexai: Flexai, tmp_path: Path) -> None:
    write_files(
        tmp_path, {"data/x": b"x", "data/s/y": b"y", "train.bin": b"t", "year=2024/p.csv": b"p", "m/n.py": b"n"}
    )
    arguments = ["--file", "data", "--file", "train.bin=corpus/train.bin", "--file", "data=copy", "--file", "train.bin"]
    arguments += ["--file", "year=2024", "--file", "year=2024=by/year=2024", "--file", "m/*.py=code/"]
    made = flexai.run("dataset", "push", "mapped", *arguments, "--file", "-=in/put.txt", cwd=tmp_path, stdin="piped")
    assert "mapped@1 is available" in made.stdout
    flexai.run("dataset", "pull", "mapped", tmp_path / "out")
    assert read_files(tmp_path / "out") == {
        "x": b"x",
        "s/y": b"y",
        "corpus/train.bin": b"t",
        "train.bin": b"t",
        "copy/x": b"x",
        "copy/s/y": b"y",
        "p.csv": b"p",
        "by/year=2024/p.csv": b"p",
        "code/n.py": b"n",
        "in/put.txt": b"piped",
    }


def test_exclude_and_base(flexai: Flexai, tmp_path: Path) -> None:
    first = write_files(tmp_path / "1", {"keep/a": b"a", "keep/b": b"b", "x.tmp": b"-", ".git/config": b"-"})
    made = flexai.json("dataset", "push", "based", "--file", first, "--exclude", "*.tmp", "--exclude", ".git")
    assert made["digest"] == digest_of({"keep/a": b"a", "keep/b": b"b"})
    second = write_files(tmp_path / "2", {"b": b"new", "c": b"c"})
    added = flexai.json("dataset", "push", "based", "--file", f"{second}=keep", "--base", "latest")
    assert added["digest"] == digest_of({"keep/a": b"a", "keep/b": b"new", "keep/c": b"c"})
    assert added["file_count"] == 3
    again = flexai.json("dataset", "push", "based", "--file", f"{second}=keep", "--base", "1")
    assert (again["status"], again["version"]) == ("unchanged", 2)


def test_what_cannot_be_read_is_named_and_not_skipped(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"good": b"g", "bad\\name": b"-", "also/good": b"g"})
    (folder / "nowhere").symlink_to("missing")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    # A line break would not be told from two paths in a list.
    (folder / "line\nbreak").write_bytes(b"-")
    refused = flexai.json("dataset", "push", "unread", "--file", folder, code=8)["error"]
    assert len(refused["errors"]) == 5
    assert {Path(row["path"]).name for row in refused["errors"]} >= {"nowhere", "loop", "pipe", "bad\\name"}
    assert [row["status"] for row in flexai.json("dataset", "versions", "unread")] == ["uploading"]
    left_out = flexai.json("dataset", "push", "unread", "--file", folder, "--skip-failed", code=8)
    assert (left_out["status"], left_out["version"], len(left_out["failed"])) == ("created", 1, 5)
    assert left_out["digest"] == digest_of({"good": b"g", "also/good": b"g"})


def test_links_are_followed(flexai: Flexai, tmp_path: Path) -> None:
    write_files(tmp_path, {"elsewhere/a": b"a", "data/b": b"b"})
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "c").symlink_to("b")
    made = flexai.json("dataset", "push", "linked", "--file", tmp_path / "data")
    assert made["digest"] == digest_of({"b": b"b", "c": b"b", "linked/a": b"a"})


def test_a_file_that_changes_while_it_is_sent_is_an_error_on_it(flexai: Flexai, tmp_path: Path) -> None:
    from flexai_cli.reading import Unread, hash_file, read_range, read_whole
    from flexai_cli.scan import Stat

    file = tmp_path / "f"
    file.write_bytes(b"12345")
    about = Stat.of(file.stat())
    blocks = read_range(str(file), about, 0, 5)
    file.write_bytes(b"1234")
    with pytest.raises(Unread, match="changed"):
        read_whole(str(file), about, memoryview(bytearray(5)))
    with pytest.raises(Unread, match="changed"):
        hash_file(str(file), about)
    with pytest.raises(Unread, match="changed"):
        list(blocks)


def test_two_sources_for_one_path(flexai: Flexai, tmp_path: Path) -> None:
    write_files(tmp_path, {"1/a": b"1", "2/a": b"2", "3": b"3"})
    flexai.run("dataset", "push", "twice", "--file", "1", "--file", "2", cwd=tmp_path, code=1)
    flexai.run("dataset", "push", "twice", "--file", "1", "--file", "3=a", cwd=tmp_path, code=1)
    flexai.run("dataset", "push", "twice", "--file", "1/a=x", "--file", "2/a=x", cwd=tmp_path, code=2)


def test_no_seal_and_large_files(flexai: Flexai, tmp_path: Path) -> None:
    files = {"large.bin": os.urandom(9 * 2**20), "small": b"s"}
    folder = write_files(tmp_path / "data", files)
    opened = flexai.json("dataset", "push", "opened", "--file", folder, "--no-seal")
    assert (opened["status"], opened["digest"]) == ("open", None)
    assert flexai.json("dataset", "inspect", "opened@1")["status"]["staged"]["stored_count"] == 2
    sealed = flexai.json("dataset", "push", "opened", "--file", folder)
    assert (sealed["version"], sealed["digest"], sealed["sent_size"]) == (1, digest_of(files), 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["push", "nothing"], 2),
        (["push", "bad name", "--file", "."], 2),
        (["push", "none", "--file", "missing"], 2),
        (["push", "none", "--file", "-"], 2),
        (["push", "none@2", "--file", "."], 2),
        (["push", "none", "--file", ".", "--base", "x"], 4),
        (["push", "none", "--source-path", "x"], 2),
        (["inspect", "missing"], 4),
        (["pull", "missing", "x"], 4),
        (["inspect", "other-team/missing"], 4),
    ],
)
def test_refusals(flexai: Flexai, arguments: list[str], code: int) -> None:
    found = flexai.json("dataset", *arguments, code=code)["error"] if code != 2 else None
    if found is None:
        assert flexai.run("dataset", *arguments, code=code).stderr
    else:
        assert found["exit_code"] == code


def test_no_server_and_no_token(flexai: Flexai, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {"FLEXAI_PATIENCE": "0.1"}
    away = Flexai(flexai.home, nobody, "t", more=environment)
    assert "does not answer" in away.run("dataset", "list", code=7).stderr
    assert "token" in Flexai(flexai.home, flexai.url, "").run("dataset", "list", code=3).stderr
    assert "401" not in Flexai(flexai.home, flexai.url, "wrong").run("dataset", "list", code=3).stderr
