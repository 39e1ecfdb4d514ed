"""What the walk over files finds: everything, in tree order, as it is when it is its turn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flexai_cli.chunks import Chunk
from flexai_cli.patterns import Patterns
from flexai_cli.scan import scan
from flexai_cli.sources import Node
from tests.cli.conftest import write_files


def walk(folder: Path, exclude: tuple[str, ...] = ()) -> tuple[list[Chunk], dict[str, str]]:
    """Return the chunks of a folder, and what was reported, by path."""
    reported: dict[str, str] = {}

    def report(source: str, reason: str, path: str = "") -> None:
        reported[source + path] = reason

    return list(scan(Node(folders=[str(folder)]), exclude=Patterns(exclude=exclude), report=report)), reported


def paths(chunks: list[Chunk]) -> list[str]:
    """Return the paths of all files, as they come."""
    return [chunk.path(index) for chunk in chunks for index in range(len(chunk.names))]


@pytest.mark.parametrize("odd", ["", "é", "a\\b"], ids=["plain", "accent", "illegal"])
def test_plain_names_or_not(tmp_path: Path, odd: str) -> None:
    files = {"a/1": b"1", "a.txt": b"2", "a-b/2": b"3", "b": b"4", "c/d/e/f": b"5", "c/x": b"6"}
    write_files(tmp_path, files)
    if odd:
        write_files(tmp_path, {odd: b"-", f"c/{odd}": b"-"})
    chunks, reported = walk(tmp_path)
    legal = files.keys() | ({odd, f"c/{odd}"} if odd == "é" else set())
    assert paths(chunks) == sorted(legal, key=lambda path: path.split("/"))
    assert set(reported) == ({f"{tmp_path}/a\\b", f"{tmp_path}/c/a\\b"} if odd == "a\\b" else set())
    assert {chunk.prefix for chunk in chunks if chunk.is_all} == ({"a/", "a-b/", "c/d/e/"})


def test_more_than_one_chunk(tmp_path: Path) -> None:
    names = [f"{number:04}" for number in range(2500)]
    write_files(tmp_path, dict.fromkeys(names, b""))
    (tmp_path / "1500").unlink()
    write_files(tmp_path, {"1500/inner": b""})
    names[1500] += "/inner"
    chunks, _ = walk(tmp_path)
    assert paths(chunks) == names
    assert [len(chunk.names) for chunk in chunks] == [1000, 500, 1, 499, 500]
    assert [chunk.is_all for chunk in chunks] == [False, False, True, False, False]


def test_what_is_excluded_or_no_file(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.tmp": b"", "b": b"", "cache/x": b"", "d/cache": b"", ".flexai-pull/half": b""})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to("missing")
    chunks, reported = walk(tmp_path, ("*.tmp", "cache/"))
    assert paths(chunks) == ["b", "d/cache"]
    assert {source.rpartition("/")[2]: reason for source, reason in reported.items()} == {
        "pipe": "This is no file, but a pipe, a socket or a device.",
        "nowhere": "The symbolic link leads nowhere.",
    }


def test_a_file_that_changes_before_its_turn(tmp_path: Path) -> None:
    """Sending what is in a folder before it may take hours."""
    write_files(tmp_path, {"a/first": b"1", "z": b"1"})
    found = scan(Node(folders=[str(tmp_path)]), exclude=Patterns(), report=lambda source, reason, path="": None)  # noqa: ARG005
    assert next(found).prefix == "a/"
    (tmp_path / "z").write_bytes(b"longer")
    assert next(found).stats[0].size == 6
