"""`flexai dataset push`: what is taken, where it goes, what travels, what is refused."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import SECONDS, Flexai, read_files, write_files
from tests.cli.flaky import FlakyLine
from tests.imports.front import S3Front
from tests.servers import S3Server
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
    # What the version holds, not only what was given.
    assert (again["file_count"], again["size"]) == (3, 5)


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
    from flexai_cli.chunks import Stat
    from flexai_cli.reading import Unread, hash_file, read_range, read_whole

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


def test_an_open_version_to_which_others_have_added(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"a": b"a"})
    flexai.run("dataset", "push", "shared", "--file", folder, "--no-seal")
    with httpx.Client(base_url=flexai.url, headers={"Authorization": f"Bearer {flexai.token}"}) as client:
        about = "/api/v1/teams/lab/datasets/shared/versions/1"
        client.post(f"{about}/plan", json={"files": [{"path": "theirs", "size": 0}]}).raise_for_status()
        upload = client.post(f"{about}/bundles", json={"paths": ["theirs"]})
        upload.raise_for_status()
        refused = flexai.json("dataset", "push", "shared", "--file", folder, code=5)["error"]["detail"]
        assert "shared@1, which was left open, holds 2 files" in refused
        assert [row["status"] for row in flexai.json("dataset", "versions", "shared")] == ["uploading"]
        client.post(f"{about}/remove", json={"paths": ["theirs"]}).raise_for_status()
    assert flexai.json("dataset", "push", "shared", "--file", folder)["version"] == 1


def test_another_message_for_an_unfinished_push(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"a": b"a"})
    flexai.run("dataset", "push", "told", "--file", folder, "--no-seal", "--message", "first")
    # Without one, nothing is to be said.
    assert flexai.json("dataset", "push", "told", "--file", folder, "--no-seal")["warnings"] == []
    done = flexai.run("dataset", "push", "told", "--file", folder, "--message", "second")
    assert "was begun with the message 'first', and keeps it" in done.stderr


def test_a_lost_answer_and_another_message(flexai: Flexai, tmp_path: Path) -> None:
    """The key of a request that the server has answered must not come with another message."""
    front = S3Front(S3Server(flexai.url, "", "")).start()
    folder = write_files(tmp_path / "data", {"a": b"a"})
    ours = Flexai(flexai.home, front.url, flexai.token, flexai.team, {"FLEXAI_PATIENCE": "0.1"})
    flexai.run("dataset", "push", "lost-answer", "--file", write_files(tmp_path / "other", {"b": b"b"}))
    front.fail("POST .*/versions$", cut=-1, times=-1)
    push = ("dataset", "push", "lost-answer", "--file", folder, "--message")
    ours.run(*push, "first", code=7)
    front.recover()
    assert ours.json(*push, "second")["digest"] == digest_of({"a": b"a"})
    front.stop()


def test_a_named_file_that_changes_while_it_is_sent(flexai: Flexai, tmp_path: Path) -> None:
    files = {"changing.bin": os.urandom(9 * 2**20), "still.bin": os.urandom(9 * 2**20)}
    folder = write_files(tmp_path / "data", files)
    with FlakyLine(flexai.url, bytes_per_second=3 * 2**20) as line:
        slow = Flexai(flexai.home, line.url, flexai.token)
        process = slow.start("dataset", "push", "changing", "--file", folder, "--json")
        line.wait_for_bytes(4 * 2**20)
        with (folder / "changing.bin").open("r+b") as file:
            file.write(b"new")
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 8, out + err
    refused = json.loads(out)["error"]["errors"]
    assert [Path(row["path"]).name for row in refused] == ["changing.bin"]
    assert "changed" in refused[0]["detail"]
    assert [row["status"] for row in flexai.json("dataset", "versions", "changing")] == ["uploading"]
    files["changing.bin"] = b"new" + files["changing.bin"][3:]
    assert flexai.json("dataset", "push", "changing", "--file", folder)["digest"] == digest_of(files)


def test_what_may_not_be_read(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"good": b"g", "secret": b"s", "closed/inside": b"i"})
    for name in ("secret", "closed"):
        (folder / name).chmod(0)
    refused = flexai.unprivileged("dataset", "push", "no-right", "--file", folder, "--json", code=8)
    assert {(Path(row["path"]).name, row["detail"]) for row in json.loads(refused)["error"]["errors"]} == {
        ("secret", "Permission denied."),
        ("closed", "Permission denied."),
    }
    made = flexai.unprivileged("dataset", "push", "no-right", "--file", folder, "--skip-failed", "--json", code=8)
    assert json.loads(made)["digest"] == digest_of({"good": b"g"})
    (folder / "closed").chmod(0o700)


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
    assert flexai.json("dataset", *arguments, code=code)["error"]["exit_code"] == code
    assert flexai.run("dataset", *arguments, code=code).stderr


def test_no_server_and_no_token(flexai: Flexai, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {"FLEXAI_PATIENCE": "0.1"}
    away = Flexai(flexai.home, nobody, "t", more=environment)
    assert "does not answer" in away.run("dataset", "list", code=7).stderr
    assert "token" in Flexai(flexai.home, flexai.url, "").run("dataset", "list", code=3).stderr
    assert "401" not in Flexai(flexai.home, flexai.url, "wrong").run("dataset", "list", code=3).stderr
