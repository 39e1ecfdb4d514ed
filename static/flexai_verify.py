#!/usr/bin/env python3
"""Prove what a folder holds: compute the digest of its files, and compare it with a digest or a manifest.

    python3 flexai_verify.py FOLDER                                    print the folder's digest
    python3 flexai_verify.py FOLDER sha256:...                         is it that version?
    python3 flexai_verify.py FOLDER --manifest images-3.ndjson         if not, which files differ?
    python3 flexai_verify.py --manifest images-3.ndjson sha256:...     is this the manifest of that version?

One file, for Python 3.9 or later, without anything to install, and without a server: keep it beside the data. The
format of the digest is public: docs/decisions/0002-digest-format.md of the FlexAI Dataset Manager. A version's page
and its API (/api/v1/teams/TEAM/datasets/NAME/versions/3/manifest) give the manifest: a line of JSON for each file,
with path, size and sha256.

Ends with 0 when all is as it should be, with 1 when something differs, with 2 when it could not be found out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PREFIX = "sha256:"
BLOCK_BYTES = 1024 * 1024
MOST_NAME_BYTES = 255
MOST_PATH_BYTES = 4096
# A path of so many bytes can have half as many directories in it.
DEEPEST = 10_000
SHOWN = 100


class CannotTellError(Exception):
    """It could not be found out; the text says why."""


class Directory(NamedTuple):
    """The digest of a directory (hex), the bytes of all files below it, and how many there are."""

    digest: str
    size: int
    file_count: int


class File(NamedTuple):
    """A file's size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


# --- The format


def directory_digest(entries: Iterable[tuple[bytes, str, str, int]]) -> str:
    """Return the digest (hex) of a directory whose entries are (name, "file" or "directory", digest in hex, size)."""
    hasher = hashlib.sha256(b"directory\n")
    for name, kind, digest, size in sorted(entries):
        hasher.update(f"{kind} {digest} {size} ".encode("ascii") + name + b"\0")
    return hasher.hexdigest()


def check_name(name: str, where: str) -> str:
    """Return a name as versions hold it, in NFC; raise CannotTellError for one that no version may hold."""
    name = unicodedata.normalize("NFC", name)
    if name in {"", ".", ".."}:
        raise CannotTellError(f"{where!r}: a path has no empty part, no . and no ..")
    if any(sign == "\\" or sign < " " or "\x7f" <= sign <= "\x9f" for sign in name):
        raise CannotTellError(f"{where!r}: a name has no control characters and no backslash")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise CannotTellError(f"{where!r}: a name is valid Unicode") from None
    if length > MOST_NAME_BYTES:
        raise CannotTellError(f"{where!r}: a name has at most {MOST_NAME_BYTES} bytes")
    return name


def check_path(path: str) -> str:
    """Return a path whose names were checked; raise CannotTellError for one that is too long."""
    if len(path.encode()) > MOST_PATH_BYTES:
        raise CannotTellError(f"{path[:100]!r}...: a path has at most {MOST_PATH_BYTES} bytes")
    return path


# --- A folder on disk


def hash_file(path: bytes) -> File:
    """Read a file, a block at a time."""
    hasher, size = hashlib.sha256(), 0
    with open(path, "rb") as file:  # noqa: PTH123 - bytes of any encoding
        while block := file.read(BLOCK_BYTES):
            hasher.update(block)
            size += len(block)
    return File(size, hasher.hexdigest())


class Folder:
    """Walks a folder, and counts what it reads. Symbolic links are followed; directories without files don't count."""

    def __init__(self, top: str, expected: Mapping[str, File] | None = None) -> None:
        self.top = os.fsencode(top)
        self.expected = expected
        self.differences: list[str] = []
        self.missing = set(expected or ())

    def digest(self) -> Directory:
        """Return the digest of it all."""
        found = self._directory(self.top, "", ())
        if found is None:
            raise CannotTellError(f"there are no files in {os.fsdecode(self.top)}, and a version has at least one")
        return found

    def _directory(self, place: bytes, path: str, above: tuple[tuple[int, int], ...]) -> Directory | None:
        status = os.stat(place)  # noqa: PTH116 - bytes of any encoding
        me = (status.st_dev, status.st_ino)
        if me in above:
            raise CannotTellError(f"{path!r} is a link to a directory above it")
        entries: dict[bytes, tuple[bytes, str, str, int]] = {}
        size = file_count = 0
        with os.scandir(place) as scan:
            children = sorted(scan, key=lambda child: child.name)
        for child in children:
            shown = f"{path}{os.fsdecode(child.name)}"
            name = check_name(os.fsdecode(child.name), shown)
            inner = check_path(f"{path}{name}")
            if child.is_dir():
                below = self._directory(child.path, f"{inner}/", (*above, me))
                if below is None:
                    continue
                entry = (name.encode(), "directory", below.digest, below.size)
                file_count += below.file_count
            elif child.is_file():
                file = hash_file(child.path)
                self._compare(inner, file)
                entry = (name.encode(), "file", file.sha256, file.size)
                file_count += 1
            else:
                raise CannotTellError(f"{shown!r} is neither a file nor a directory")
            if entry[0] in entries:
                raise CannotTellError(f"{inner!r} is there twice, in two forms of Unicode")
            entries[entry[0]] = entry
            size += entry[3]
        return Directory(directory_digest(entries.values()), size, file_count) if entries else None

    def _compare(self, path: str, file: File) -> None:
        if self.expected is None:
            return
        self.missing.discard(path)
        wanted = self.expected.get(path)
        if wanted is None:
            self.differences.append(f"not in the manifest: {path}")
        elif wanted.size != file.size:
            self.differences.append(f"changed: {path} ({file.size} bytes, not {wanted.size})")
        elif wanted.sha256 != file.sha256:
            self.differences.append(f"changed: {path} (other bytes, of the same size)")


# --- A manifest


def read_manifest(lines: Iterable[str]) -> dict[str, File]:
    """Read a manifest: each path with its size and SHA-256."""
    files: dict[str, File] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path, file = row["path"], File(int(row["size"]), str(row["sha256"]).lower())
        except (ValueError, TypeError, KeyError):
            raise CannotTellError(f"line {number} of the manifest is no file with path, size and sha256") from None
        path = check_path("/".join(check_name(part, path) for part in path.split("/")))
        if path in files or len(file.sha256) != hashlib.sha256().digest_size * 2:
            raise CannotTellError(f"line {number} of the manifest: {path!r} is there twice, or has no SHA-256")
        files[path] = file
    if not files:
        raise CannotTellError("the manifest names no files")
    return files


def manifest_digest(files: Mapping[str, File]) -> Directory:
    """Return the digest of a version with these files."""
    top: dict[str, Any] = {}
    for path, file in files.items():
        *folders, name = path.split("/")
        inside = top
        for folder in folders:
            inside = inside.setdefault(folder, {})
            if isinstance(inside, File):
                raise CannotTellError(f"{path!r} is below a file of the manifest")
        if name in inside:
            raise CannotTellError(f"{path!r} is a file and a directory in the manifest")
        inside[name] = file
    return _digest_of(top)


def _digest_of(inside: Mapping[str, Any]) -> Directory:
    entries = []
    file_count = 0
    for name, child in inside.items():
        if isinstance(child, File):
            entries.append((name.encode(), "file", child.sha256, child.size))
            file_count += 1
        else:
            below = _digest_of(child)
            entries.append((name.encode(), "directory", below.digest, below.size))
            file_count += below.file_count
    return Directory(directory_digest(entries), sum(entry[3] for entry in entries), file_count)


# --- The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return the exit code."""
    sys.setrecursionlimit(DEEPEST)
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (CannotTellError, OSError) as error:
        sys.stderr.write(f"It could not be found out: {error}\n")
        return 2


def _run(options: argparse.Namespace) -> int:
    wanted = _digest_asked(options)
    files = None
    if options.manifest:
        with sys.stdin if options.manifest == "-" else open(options.manifest, encoding="utf-8") as lines:  # noqa: PTH123
            files = read_manifest(lines)
        listed = manifest_digest(files)
        if wanted and wanted != listed.digest:
            return _tell(1, f"This is another version's manifest: its digest is {PREFIX}{listed.digest}.")
        if not options.folder:
            return _tell(0, f"{PREFIX}{listed.digest}", _counts(listed), *_matches(wanted))
        wanted = listed.digest
    folder = Folder(options.folder, files)
    found = folder.digest()
    if not wanted or found.digest == wanted:
        return _tell(0, f"{PREFIX}{found.digest}", _counts(found), *_matches(wanted))
    differences = folder.differences + [f"missing: {path}" for path in sorted(folder.missing)]
    shown = differences[:SHOWN]
    if len(differences) > SHOWN:
        shown.append(f"and {len(differences) - SHOWN} more")
    return _tell(1, f"{PREFIX}{found.digest}", _counts(found), f"It should be {PREFIX}{wanted}.", *shown)


def _tell(code: int, *lines: str) -> int:
    # Names on disk may be no text at all.
    sys.stdout.write("".join(line.encode("utf-8", "backslashreplace").decode() + "\n" for line in lines))
    return code


def _counts(found: Directory) -> str:
    return f"{found.file_count} files, {found.size} bytes"


def _matches(wanted: str | None) -> list[str]:
    return ["It is as it should be."] if wanted else []


def _digest_asked(options: argparse.Namespace) -> str | None:
    """Take the digest from where it stands: alone beside a manifest, it stands in the place of the folder."""
    if options.manifest and options.folder and not options.digest and options.folder.startswith(PREFIX):
        options.folder, options.digest = None, options.folder
    if not options.folder and not options.manifest:
        raise CannotTellError("name a folder, a manifest, or both")
    if not options.digest:
        return None
    digest: str = options.digest.removeprefix(PREFIX).lower()
    if len(digest) != hashlib.sha256().digest_size * 2 or set(digest) - set("0123456789abcdef"):
        raise CannotTellError(f"{options.digest} is no digest; it looks like sha256: and 64 hexadecimal digits")
    return digest


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Compute the digest of a folder's files, and compare it with a version's digest or manifest.",
        epilog="Ends with 0: as it should be; 1: something differs; 2: it could not be found out.",
    )
    parser.add_argument("folder", nargs="?", help="the folder to read, every byte of it")
    parser.add_argument("digest", nargs="?", help="the digest that it should have: sha256:...")
    parser.add_argument("--manifest", metavar="FILE", help="the manifest that it should match; - is standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
