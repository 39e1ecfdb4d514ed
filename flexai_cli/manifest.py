"""A version's manifest, as the server streams it: every file with its size and SHA-256, in tree order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flexai_cli.digest import Root, TreeDigest, Twice
from flexai_cli.session import Session


class Listed(NamedTuple):
    """A file: path, SHA-256 (32 bytes), size in bytes."""

    path: str
    sha256: bytes
    size: int

    @property
    def key(self) -> str:
        """What sorts paths in tree order: a folder's content stays together."""
        return self.path.replace("/", "\x01")


def read_manifest(session: Session, team: str, dataset: str, number: int) -> Iterator[Listed]:
    """Every file of a sealed version. Memory does not grow with their number."""
    address = session.path("teams", team, "datasets", dataset, "versions", number, "manifest")
    done = 0
    for attempt in session.attempts():
        with attempt:
            # Always the same lines in the same order: after a broken connection, those that we had are skipped.
            for count, file in enumerate(_lines(session, address), start=1):
                if count > done:
                    done, attempt.has_moved = count, True
                    yield file
            return


def _lines(session: Session, address: str) -> Iterator[Listed]:
    with session.stream("GET", address) as answer:
        for line in answer.iter_lines():
            if line:
                row = json.loads(line)
                yield Listed(row["path"], bytes.fromhex(row["sha256"]), row["size"])


def digest_of(files: Iterable[Listed]) -> Root | None:
    """Return the digest of files in tree order; None for no files."""
    tree = TreeDigest()
    for file in files:
        tree.add(file.path, file.sha256, file.size)
    return tree.finish()


def overlay_root(base: Iterator[Listed], files: Iterator[Listed]) -> Root | None:
    """Return the digest of `base` with `files` laid over it, in tree order; None where only the server can tell."""
    try:
        return digest_of(_overlay(base, files))
    except Twice:
        # A file where the base has a folder, or the reverse.
        return None


def _overlay(base: Iterator[Listed], files: Iterator[Listed]) -> Iterator[Listed]:
    old, new = next(base, None), next(files, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.key < new.key):
            assert old is not None  # noqa: S101 - for the type checker
            yield old
            old = next(base, None)
            continue
        if old is not None and old.path == new.path:
            old = next(base, None)
        yield new
        new = next(files, None)
