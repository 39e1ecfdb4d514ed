"""The command's own digest and path rules, on the published vectors, and beside the server's code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexai_cli.digest import parse_digest
from flexai_cli.manifest import Listed, digest_of, overlay_root
from flexai_cli.paths import IllegalPath, normalise
from flexai_cli.patterns import Patterns
from tests.store.naive import digest_of as naive_digest
from tests.store.vectors import ACCEPTED, REFUSED, VERSIONS

names = st.sampled_from(["a", "b", "a-b", "a b", "é", "B", "a.b", "z"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


def listed(files: dict[str, bytes]) -> list[Listed]:
    rows = [Listed(normalise(path), hashlib.sha256(data).digest(), len(data)) for path, data in files.items()]
    return sorted(rows, key=lambda row: row.key)


def is_tree(files: dict[str, bytes]) -> bool:
    return not any(other.startswith(f"{path}/") for path in files for other in files)


@pytest.mark.parametrize(("name", "files", "digest"), VERSIONS, ids=[name for name, _, _ in VERSIONS])
def test_vectors(name: str, files: dict[str, bytes], digest: str) -> None:
    assert str(digest_of(listed(files))) == digest


@pytest.mark.parametrize("path", ACCEPTED)
def test_accepted(path: str) -> None:
    assert normalise(normalise(path)) == normalise(path)


@pytest.mark.parametrize(("path", "why"), REFUSED)
def test_refused(path: str, why: str) -> None:
    with pytest.raises(IllegalPath):
        normalise(path)


@given(st.dictionaries(paths, st.binary(max_size=3), min_size=1, max_size=12).filter(is_tree))
def test_any_tree(files: dict[str, bytes]) -> None:
    assert str(digest_of(listed(files))) == naive_digest(files)


@given(
    st.dictionaries(paths, st.binary(max_size=3), min_size=1, max_size=8),
    st.dictionaries(paths, st.binary(max_size=3), min_size=1, max_size=8),
)
def test_any_overlay(old: dict[str, bytes], new: dict[str, bytes]) -> None:
    if is_tree(old | new):
        assert str(overlay_root(iter(listed(old)), iter(listed(new)))) == naive_digest(old | new)


def test_a_digest_is_read_strictly() -> None:
    text = "sha256:" + "ab" * 32
    assert parse_digest(text) == parse_digest(text.upper().replace("SHA256", "sha256")) == bytes.fromhex("ab" * 32)
    for wrong in ("", "ab", "sha256:" + "ab" * 31 + "a ", "zz" * 32):
        with pytest.raises(ValueError, match="hexadecimal"):
            parse_digest(wrong)


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("*.csv", ["a.csv", "x/y/a.csv", "a.csv/inside"], ["a.csvx", "x/a.tsv"]),
        ("train", ["train", "x/train/1", "train/1"], ["trains", "x/mytrain"]),
        ("train/*.csv", ["train/a.csv"], ["x/train/a.csv", "train/x/a.csv"]),
        ("/train", ["train/1"], ["x/train"]),
        ("train/**", ["train/1", "train/x/2"], ["train", "trains/1"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["a/zz", "b/z"]),
        ("tmp/", ["tmp/1", "x/tmp/1"], ["tmp", "x/tmp"]),
        ("f[0-9].bin", ["f1.bin"], ["fa.bin", "f10.bin"]),
        ("f[!0-9].bin", ["fa.bin"], ["f1.bin", "f/.bin"]),
        ("(x).txt", ["(x).txt"], ["x.txt"]),
    ],
)
def test_patterns(pattern: str, taken: list[str], left: list[str]) -> None:
    from datasets_app.store.patterns import Patterns as ServersPatterns

    for patterns in (Patterns(include=[pattern]), ServersPatterns(include=[pattern])):
        assert [path for path in taken + left if patterns.takes(path)] == taken
    assert [path for path in taken + left if not Patterns(exclude=[pattern]).takes(path)] == taken


def test_the_release_is_named_once(tmp_path: Path) -> None:
    import tomllib

    from flexai_cli.version import VERSION
    from tests.servers import ROOT

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
