"""`flexai dataset pull` and `verify`: only what is missing travels, and every byte is verified."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, read_files, write_files
from tests.store.naive import digest_of

pytestmark = pytest.mark.server


def test_it_works(flexai: Flexai, tmp_path: Path) -> None:
    files = {f"d{n % 3}/{n}.txt": str(n).encode() * n for n in range(50)}
    files |= {"empty": b"", "é/ü ?#%.bin": b"odd name", "large.bin": os.urandom(9 * 2**20)}
    pushed = flexai.json("dataset", "push", "pulled", "--file", write_files(tmp_path / "data", files))
    target = tmp_path / "out"
    pulled = flexai.json("dataset", "pull", "pulled@1", target)
    assert read_files(target) == files
    assert (pulled["fetched_count"], pulled["fetched_size"]) == (len(files), sum(map(len, files.values())))
    assert (pulled["digest"], pulled["file_count"]) == (pushed["digest"], len(files))

    # What is missing, shorter, longer, or different is fetched; the rest, and what is not of the version, stays.
    (target / "empty").unlink()
    (target / "d0/3.txt").write_bytes(b"333 and more")
    (target / "d1/10.txt").write_bytes(b"x" * len(files["d1/10.txt"]))
    (target / "mine").write_bytes(b"my own")
    again = flexai.json("dataset", "pull", "pulled", target)
    assert again["fetched_count"] == 3
    assert read_files(target) == files | {"mine": b"my own"}
    assert flexai.json("dataset", "pull", "pulled", target)["fetched_count"] == 0

    found = flexai.json("dataset", "verify", target, "--exclude", "/mine", "--digest", pushed["digest"])
    assert (found["digest"], found["matches"]) == (digest_of(files), True)
    assert "not sha256:" in flexai.run("dataset", "verify", target, "--digest", pushed["digest"], code=6).stderr


def test_include(flexai: Flexai, tmp_path: Path) -> None:
    files = {"a/x.csv": b"1", "a/y.bin": b"2", "b/z.csv": b"3"}
    flexai.run("dataset", "push", "some", "--file", write_files(tmp_path / "data", files))
    flexai.run("dataset", "pull", "some", tmp_path / "out", "--include", "*.csv", "--exclude", "b/")
    assert read_files(tmp_path / "out") == {"a/x.csv": b"1"}


def test_a_half_fetched_file_is_gone_on_with(flexai: Flexai, tmp_path: Path) -> None:
    data = os.urandom(12 * 2**20)
    flexai.run("dataset", "push", "half", "--file", write_files(tmp_path / "data", {"f": data}))
    name = f"{hashlib.sha256(data).hexdigest()}-{hashlib.sha256(b'f').hexdigest()[:16]}"
    target = write_files(tmp_path / "out", {f".flexai-pull/{name}": data[: 10 * 2**20]})
    assert flexai.json("dataset", "pull", "half", target)["fetched_size"] == 2 * 2**20
    assert read_files(target) == {"f": data}
    # One that holds other bytes is thrown away.
    target = write_files(tmp_path / "other", {f".flexai-pull/{name}": b"damaged" * 1000})
    flexai.run("dataset", "pull", "half", target)
    assert read_files(target) == {"f": data}


def test_equal_large_files(flexai: Flexai, tmp_path: Path) -> None:
    files = {f"{n}.bin": b"\x05" * (9 * 2**20) for n in range(6)} | {"other.bin": os.urandom(9 * 2**20)}
    flexai.run("dataset", "push", "equal", "--file", write_files(tmp_path / "data", files))
    pulled = flexai.json("dataset", "pull", "equal", tmp_path / "out")
    assert read_files(tmp_path / "out") == files
    assert pulled["fetched_count"] == len(files)


def test_pulls_into_one_folder_wait_for_each_other(flexai: Flexai, tmp_path: Path) -> None:
    files = {"large.bin": os.urandom(9 * 2**20)} | {f"s/{n}": bytes([n]) for n in range(30)}
    flexai.run("dataset", "push", "ranks", "--file", write_files(tmp_path / "data", files))
    target = tmp_path / "out"
    target.mkdir()
    held = os.open(target, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    ranks = [flexai.start("dataset", "pull", "ranks", target, "--json") for _ in range(2)]
    time.sleep(4)
    assert [rank.poll() for rank in ranks] == [None, None]
    assert read_files(target) == {}
    os.close(held)
    outs = [rank.communicate(timeout=SECONDS)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outs
    assert read_files(target) == files
    assert sorted(json.loads(out)["fetched_count"] for out in outs) == [0, len(files)]


def test_a_disk_that_takes_a_part_of_a_file(flexai: Flexai, tmp_path: Path) -> None:
    files = {"small": os.urandom(2**20), "large": os.urandom(9 * 2**20)}
    flexai.run("dataset", "push", "full", "--file", write_files(tmp_path / "data", files))
    # A limit on the size of files acts as a full disk does: the last write takes a part.
    limit = 2**19 + 5
    process = flexai.start("dataset", "pull", "full", tmp_path / "out", "--json", limits={resource.RLIMIT_FSIZE: limit})
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 8, out + err
    assert {row["path"] for row in json.loads(out)["error"]["errors"]} == set(files)
    assert not (tmp_path / "out/small").exists()


def test_a_file_where_a_folder_must_be(flexai: Flexai, tmp_path: Path) -> None:
    files = {"a/b": b"1", "c": b"2"}
    flexai.run("dataset", "push", "blocked", "--file", write_files(tmp_path / "data", files))
    target = write_files(tmp_path / "out", {"a": b"in the way"})
    refused = flexai.json("dataset", "pull", "blocked", target, code=8)["error"]
    assert [row["path"] for row in refused["errors"]] == ["a/b"]
    assert (target / "c").read_bytes() == b"2"


def test_look_around(flexai: Flexai, tmp_path: Path) -> None:
    files = {"a/b/c.txt": b"123", "top.txt": b"t"}
    folder = write_files(tmp_path / "data", files)
    flexai.run("dataset", "push", "around", "--file", folder)
    tree = flexai.json("dataset", "tree", "around", "-r")
    assert [(row["path"], row["type"]) for row in tree] == [
        ("a", "directory"),
        ("a/b", "directory"),
        ("a/b/c.txt", "file"),
        ("top.txt", "file"),
    ]
    assert "c.txt" in flexai.run("dataset", "tree", "around", "a/b").stdout
    assert flexai.run("dataset", "cat", "around", "a/b/c.txt").stdout == "123"
    (folder / "new").write_bytes(b"n")
    flexai.run("dataset", "push", "around", "--file", folder)
    changes = flexai.json("dataset", "diff", "around@1", "2")
    assert [(row["change"], row["path"]) for row in changes] == [("added", "new")]
    assert flexai.json("dataset", "diff", "lab/around@1", "lab/around@2") == changes
    for old, new in (("around@1", "other/around@2"), ("lab/around@1", "other/around")):
        assert "team lab" in flexai.json("dataset", "diff", old, new, code=2)["error"]["detail"]
    described = flexai.json("dataset", "inspect", "around")
    assert (described["kind"], described["metadata"]["name"]) == ("Dataset", "around")
    assert described["status"]["latest_version"] == 2
    version = flexai.json("dataset", "inspect", "around@2")
    assert (version["kind"], version["status"]["status"]) == ("Version", "available")
    assert list(described) == list(version) == ["kind", "metadata", "spec", "status"]
    assert described["spec"] == {"description": "", "tags": []}
    assert set(version["spec"]) == {"base", "source"}
    assert described["status"]["damaged"] is version["status"]["damaged"] is False
    for name, section in (("around", described), ("around@2", version)):
        shown = flexai.run("dataset", "inspect", name).stdout
        lines = [line.rstrip() for line in shown.splitlines()]
        assert [line for line in lines[1:] if not line.startswith(" ")] == ["Metadata", "Spec", "Status"]
        assert lines[0].split() == ["Kind", section["kind"]]
        below = lines[lines.index("Status") :]
        assert any(line.split() == ["Damaged", "no"] for line in below)
        assert any(line.split()[:2] == ["Digest", section["status"]["digest"]] for line in below[1:])
    assert "around" in flexai.run("dataset", "list").stdout
    assert "around" in [row["name"] for row in flexai.json("dataset", "list", "--search", "around")]


def test_archive_and_trash(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"a": b"1"})
    flexai.run("dataset", "push", "going", "--file", folder)
    flexai.run("dataset", "archive", "going")
    assert "going" not in [row["name"] for row in flexai.json("dataset", "list")]
    assert "going" in [row["name"] for row in flexai.json("dataset", "list", "--archived")]
    flexai.run("dataset", "unarchive", "going")
    asked = flexai.run("dataset", "delete", "going", code=2)
    assert "going: 1 version, 1 file, 1 B. It can be restored until" in asked.stdout
    assert "Nothing was deleted" in asked.stderr
    assert flexai.json("dataset", "inspect", "going")["status"]["latest_version"] == 1
    flexai.run("dataset", "delete", "going", "--yes")
    flexai.run("dataset", "inspect", "going", code=4)
    flexai.run("dataset", "restore", "going")
    assert flexai.json("dataset", "inspect", "going")["status"]["latest_version"] == 1


def test_sign_in(flexai: Flexai, tmp_path: Path) -> None:
    bare = Flexai(flexai.home, "", "", "")
    assert "auth login" in bare.run("auth", "status", code=3).stderr
    bare.run("auth", "login", "--url", flexai.url, stdin=flexai.token + "\n")
    saved = flexai.home / "config" / "login.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    status = bare.json("auth", "status")
    assert (status["url"], status["teams"][0]["name"]) == (flexai.url, "lab")
    assert status["account"]["username"] == "ada"
    assert bare.run("dataset", "list").returncode == 0
    # A variable goes before what is saved, also where that is good.
    Flexai(flexai.home, "", "wrong", "").run("dataset", "list", code=3)
    assert "no-such-team" in Flexai(flexai.home, "", "", "no-such-team").run("dataset", "list", code=4).stderr
    assert bare.run("dataset", "list", "--team", "lab").returncode == 0
    # A saved token goes to no other server.
    other = Flexai(flexai.home, "http://127.0.0.1:9", "", "")
    assert "no token" in other.run("dataset", "list", code=3).stderr
    bare.run("auth", "login", "--url", flexai.url, "--token", "wrong", code=3)
    bare.run("auth", "logout")
    assert not saved.exists()
    bare.run("auth", "status", code=3)


def test_labels(flexai: Flexai, tmp_path: Path) -> None:
    source = write_files(tmp_path / "in", {"a.txt": b"1", "b.txt": b"2"})
    flexai.run("dataset", "push", "labelled", "--file", source)
    flexai.run("dataset", "label", "labelled@1", "prod")
    (source / "a.txt").write_bytes(b"changed")
    flexai.run("dataset", "push", "labelled", "--file", source / "a.txt", "--base", "prod")
    assert flexai.json("dataset", "inspect", "labelled@prod")["metadata"]["labels"] == ["prod"]
    assert flexai.run("dataset", "cat", "labelled@prod", "a.txt").stdout == "1"
    assert flexai.run("dataset", "cat", "labelled", "b.txt").stdout == "2", "taken over from @prod"
    assert [row["change"] for row in flexai.json("dataset", "diff", "labelled@latest", "@prod")] == ["changed"]
    made = flexai.run("training", "run", "by-label", "--dataset", "labelled@prod", "--json", "--", "true").stdout
    assert [row["version"] for row in json.loads(made)["datasets"]] == [1]
    flexai.run("dataset", "label", "labelled", "prod")
    assert [(row["name"], row["version"]) for row in flexai.json("dataset", "labels", "labelled")] == [("prod", 2)]
    flexai.run("dataset", "unlabel", "labelled@prod")
    assert flexai.json("dataset", "labels", "labelled") == []
    flexai.run("dataset", "unlabel", "labelled@3", code=2)
    flexai.run("dataset", "inspect", "labelled@prod", code=4)
