"""What jobs print and leave behind. A job writes its output folder itself, so nothing in there is to be trusted."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple

from django.conf import settings

from datasets_app.errors import NotFound
from datasets_app.permissions import require
from datasets_app.services.validation import invalid_field

if TYPE_CHECKING:
    from datasets_app.models import Job, User

LOG_BYTES: Final = 256 * 1024
LAST_OFFSET: Final = 2**62
SHOWN_LOG_BYTES: Final = 64 * 1024
MOST_OUTPUTS: Final = 10_000
_UTF8_CONTINUES: Final = 0b1000_0000
_UTF8_MASK: Final = 0b1100_0000
_LONGEST_CHARACTER: Final = 4
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a named pipe would hold the request until somebody writes into it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogPart(NamedTuple):
    """Some of a log. The next part begins at byte `next_offset`; `is_final`: nothing will ever come after this one."""

    data: bytes
    next_offset: int
    is_final: bool


class Output(NamedTuple):
    """Something in the output folder. `size` is in bytes; "other" is a link, pipe or device, which is not served."""

    kind: Literal["directory", "file", "other"]
    name: str
    path: str
    size: int
    modified_at: datetime


class OutputFile(NamedTuple):
    """An open output file, for the caller to close; `size` in bytes when it was opened."""

    file: BinaryIO
    name: str
    size: int


class OutputList(NamedTuple):
    """A directory of outputs; `is_cut` when it has more than are listed."""

    items: list[Output]
    is_cut: bool


class JobFiles(NamedTuple):
    """What a job's page shows: the end of the log (after `skipped` bytes), where it goes on, and the top outputs."""

    log: str
    skipped: int
    next_offset: int
    is_final: bool
    outputs: OutputList


def job_folder(job: Job) -> Path:
    """Where all files of the job are."""
    return Path(settings.JOBS_DIR) / str(job.pk)


def output_dir(job: Job) -> Path:
    """Return what the job sees as /output."""
    return job_folder(job) / "output"


def log_path(job: Job) -> Path:
    """Return the file with all that the job printed."""
    return job_folder(job) / "log.txt"


def read_log(actor: User, *, job: Job, offset: int = 0, limit: int = LOG_BYTES) -> LogPart:
    """Return up to `limit` bytes of the log from byte `offset`, cut between characters. Load `job` just before."""
    require(actor, "job.view", job)
    if not 0 <= offset <= LAST_OFFSET:
        raise invalid_field("offset", "An offset is 0 or more, and no larger than any file.")
    if limit < 1:
        raise invalid_field("limit", "A part has at least one byte.")
    try:
        with log_path(job).open("rb") as file:
            file.seek(offset)
            data = file.read(limit)
            ended = not job.is_active
            at_end = not file.read(1)
    except FileNotFoundError:
        return LogPart(b"", offset, not job.is_active)
    if not (ended and at_end):
        data = _whole_characters(data)
    return LogPart(data, offset + len(data), ended and at_end)


def describe_job(actor: User, *, job: Job, with_log: bool = True) -> JobFiles:
    """Return what the job's page shows; without the log for the parts of the page that don't have it."""
    outputs = list_outputs(actor, job=job)
    if not with_log:
        return JobFiles("", 0, 0, is_final=False, outputs=outputs)
    path = log_path(job)
    skipped = max(0, path.stat().st_size - SHOWN_LOG_BYTES) if path.exists() else 0
    part = read_log(actor, job=job, offset=skipped, limit=SHOWN_LOG_BYTES)
    # Begin with a whole line.
    cut = part.data.find(b"\n") + 1 if skipped else 0
    return JobFiles(part.data[cut:].decode(errors="replace"), skipped + cut, part.next_offset, part.is_final, outputs)


def list_outputs(actor: User, *, job: Job, path: str = "") -> OutputList:
    """List a directory of the output, directories first. NotFound when it is not one, or is behind a link."""
    require(actor, "job.view", job)
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    try:
        with _open_folder(job, path) as folder, os.scandir(folder) as entries:
            found = [_describe(entry, prefix) for entry in islice(entries, MOST_OUTPUTS + 1)]
    except FileNotFoundError:
        if not prefix:
            return OutputList([], is_cut=False)
        raise _not_found(job, path) from None
    except OSError as error:
        raise _not_found(job, path) from error
    found.sort(key=lambda output: (output.kind != "directory", output.name))
    return OutputList(found[:MOST_OUTPUTS], is_cut=len(found) > MOST_OUTPUTS)


def find_output(actor: User, *, job: Job, path: str) -> OutputFile | OutputList:
    """Open the file, or list the directory, that is at `path` of the output. NotFound for anything else."""
    try:
        return list_outputs(actor, job=job, path=path)
    except NotFound:
        return open_output(actor, job=job, path=path)


def open_output(actor: User, *, job: Job, path: str) -> OutputFile:
    """Open a regular file of the output. NotFound for anything else, also behind a link that leads to a file."""
    require(actor, "job.view", job)
    parent, _, name = path.strip("/").rpartition("/")
    try:
        with _open_folder(job, parent) as folder:
            descriptor = os.open(_part(name), _FILE, dir_fd=folder)
    except OSError as error:
        raise _not_found(job, path) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _not_found(job, path)
    return OutputFile(os.fdopen(descriptor, "rb"), name, found.st_size)


@contextmanager
def _open_folder(job: Job, path: str) -> Iterator[int]:
    """Open a directory of the output step by step, since the job may put a link in the place of any of them."""
    descriptor = os.open(output_dir(job), _FOLDER)
    try:
        for name in filter(None, path.split("/")):
            inner = os.open(_part(name), _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _part(name: str) -> str:
    if name in {"", ".", ".."} or "\0" in name:
        raise OSError(errno.ENOENT, "not a name")
    return name


def _describe(entry: os.DirEntry[str], prefix: str) -> Output:
    kind: Literal["directory", "file", "other"] = "other"
    size, modified = 0, 0.0
    # It may be gone by now.
    with suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        modified = found.st_mtime
        if stat.S_ISDIR(found.st_mode):
            kind = "directory"
        elif stat.S_ISREG(found.st_mode):
            kind, size = "file", found.st_size
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        # Bytes that are no text can't be part of an address.
        kind = "other"
    name = os.fsencode(entry.name).decode(errors="replace")
    return Output(kind, name, prefix + name, size, _time(modified))


def _time(seconds: float) -> datetime:
    # A job can set any time, also one that no calendar has.
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _not_found(job: Job, path: str) -> NotFound:
    return NotFound(f"There is no {path or 'output'} that could be shown in the output of {job.name}.")


def _whole_characters(data: bytes) -> bytes:
    """Leave out the last character if it is not all there yet."""
    for back in range(1, min(_LONGEST_CHARACTER, len(data)) + 1):
        byte = data[-back]
        if byte & _UTF8_MASK != _UTF8_CONTINUES:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4  # noqa: PLR2004 - UTF-8 itself
            return data[:-back] if needed > back and byte >= 0xC0 else data  # noqa: PLR2004
    return data
