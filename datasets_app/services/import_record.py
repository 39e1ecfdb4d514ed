"""What becomes of an import's files, written down in one transaction each time: rows, problems, counters.

Whoever changes rows of a running import locks the version first, then the import, so that nobody waits crosswise.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import transaction

from datasets_app.models import Import, ImportPart, ImportProblem, StagedFile, Version
from datasets_app.models.bulk import update_rows
from datasets_app.models.prepared import Prepared, PreparedUpdate, Slot
from datasets_app.services import content
from datasets_app.services.import_known import fingerprint
from datasets_app.services.import_paths import Refusal, printable
from datasets_app.sources.patience import StoppedError
from datasets_app.store.paths import to_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from datasets_app.services.content import Slice
    from datasets_app.sources.base import SourceError, SourceFile

MOST_PROBLEMS: Final = 10_000
# The speed is told from the last so many seconds, in so many steps.
SAMPLE_SECONDS: Final = 2.0
SAMPLES: Final = 6
_CHANGING: Final = (
    "cursor",
    "pinned",
    "is_listed",
    "status",
    "listed_files",
    "listed_size",
    "skipped_files",
    "refused_files",
    "linked_files",
    "linked_size",
    "copied_files",
    "copied_size",
    "failed_files",
    "failed_in_a_row",
    "outages",
    "samples",
)
# Asked for each pack.
_VERSION = Prepared(
    lambda: Version.objects.select_for_update(of=("self",), no_key=True).only("pk").filter(imports=Slot("run"))
)
_RUN = Prepared(
    lambda: (
        Import.objects.select_for_update(of=("self",))
        .select_related("version__dataset__team", "connection__team")
        .running()
        .filter(pk=Slot("id"))
    )
)
_SAVE = PreparedUpdate(lambda: Import.objects.filter(pk=Slot("id")), *_CHANGING)
_PART = Prepared(lambda: ImportPart.objects.select_for_update().only("lease_token").filter(pk=Slot("id")))


class Copied(NamedTuple):
    """A file whose bytes are here. `listed_size` is what its staged row says; `source` what was really read."""

    path: str
    listed_size: int
    source: SourceFile
    sha256: bytes


class Failed(NamedTuple):
    """A file that could not be had."""

    path: str
    key: str
    error: SourceError


@dataclass(slots=True, eq=False)
class HeldPart:
    """A part in this worker's hands: how many of its files are neither copied nor failed yet."""

    pk: int
    token: uuid.UUID
    left: int
    has_failed: bool = False


@contextmanager
def changing(run_id: int) -> Iterator[Import]:
    """Lock a running import inside a transaction; its counters and where it stands are saved at the end.

    Raises StoppedError when it was cancelled, or its version abandoned.
    """
    with transaction.atomic():
        lock_version(run_id)
        run = _RUN.first(id=run_id)
        if run is None or not run.version.is_open:
            raise StoppedError
        yield run
        _add_sample(run)
        _SAVE.run(id=run.pk, **{name: getattr(run, name) for name in _CHANGING})


def lock_version(run_id: int) -> None:
    """Lock the row of the version that an import goes into, as whoever stages files or finishes uploads does."""
    _VERSION.first(run=run_id)


class StoredBytes(NamedTuple):
    """What was stored for some files: a pack (`pack_id` None: none was needed), and digests that were there before."""

    pack_id: uuid.UUID | None = None
    slices: Sequence[Slice] = ()
    known: Collection[bytes] = ()


def record_files(
    run_id: int, *, stored: StoredBytes, copied: Sequence[Copied], failed: Sequence[Failed], parts: Collection[HeldPart]
) -> Import:
    """Make copied files those of the version, and write down failures; parts of which nothing is left are closed.

    Raises StoppedError when a part was lost to another worker, and what `content.register_pack` raises.
    """
    with changing(run_id) as run:
        _refuse_lost(parts)
        blobs = content.register_pack(
            pack_id=stored.pack_id, slices=list(stored.slices), known=stored.known, team=run.version.dataset.team
        )
        update_rows(
            StagedFile,
            ("blob_id", "size", "error"),
            [
                (run.version_id, to_key(f.path), f.listed_size, blobs[f.sha256], f.source.size, "")
                for f in sorted(copied)
            ],
            # Not what was declared anew, or is being uploaded, since it was listed.
            keys=("version_id", "path", "size"),
            only="blob_id IS NULL AND upload_id IS NULL",
        )
        if run.connection_id is not None:
            marks = ((fingerprint(run.source_path, f.source), blobs[f.sha256]) for f in copied)
            content.remember_objects(
                connection_id=run.connection_id, blobs=((mark, pk) for mark, pk in marks if mark is not None)
            )
        run.copied_files += len(copied)
        run.copied_size += sum(f.source.size for f in copied)
        if copied:
            run.outages = run.failed_in_a_row = 0
        _note_failures(run, failed)
        _close(parts)
    return run


def link_file(run_id: int, *, part: HeldPart, path: str, size: int, sha256: bytes) -> bool:
    """Link a file, the only one of its part, to bytes that the team has; False when it can't read such bytes."""
    with changing(run_id) as run:
        _refuse_lost([part])
        found = content.find_readable([(sha256, size)], team=run.version.dataset.team)
        if not found:
            return False
        row = (run.version_id, to_key(path), size, found[sha256], "")
        only = "blob_id IS NULL AND upload_id IS NULL"
        update_rows(StagedFile, ("blob_id", "error"), [row], keys=("version_id", "path", "size"), only=only)
        run.linked_files += 1
        run.linked_size += size
        part.left = 0
        _close([part])
    return True


def note_refusals(run: Import, refused: Sequence[Refusal]) -> None:
    """Keep what can never be imported, inside `changing`."""
    run.refused_files += len(refused)
    _insert_problems(run, [(r.key, r.path, r.cause, r.reason, True) for r in refused])


def _note_failures(run: Import, failed: Sequence[Failed]) -> None:
    if not failed:
        return
    run.failed_files += len(failed)
    run.failed_in_a_row += len(failed)
    rows = [(run.version_id, to_key(f.path), f.error.detail) for f in sorted(failed)]
    update_rows(StagedFile, ("error",), rows, keys=("version_id", "path"), only="blob_id IS NULL AND upload_id IS NULL")
    _insert_problems(run, [(printable(f.key), f.path, f.error.cause, f.error.detail, False) for f in failed])


def _insert_problems(run: Import, problems: Iterable[tuple[str, str, str, str, bool]]) -> None:
    if not problems:
        return
    room = MOST_PROBLEMS - ImportProblem.objects.filter(run=run).count()
    ImportProblem.objects.bulk_create(
        [
            ImportProblem(run=run, key=key, path=path, cause=cause, reason=reason, is_refused=is_refused)
            for key, path, cause, reason, is_refused in list(problems)[: max(0, room)]
        ],
        batch_size=500,
    )


def _refuse_lost(parts: Collection[HeldPart]) -> None:
    """Raise StoppedError unless all parts are still ours; they stay ours until the end of the transaction."""
    # In one order for all who lock several.
    for part in sorted(parts, key=lambda part: part.pk):
        row = _PART.first(id=part.pk)
        if row is None or row.lease_token != part.token:
            raise StoppedError


def _close(parts: Iterable[HeldPart]) -> None:
    for part in parts:
        if part.left == 0:
            status = ImportPart.Status.FAILED if part.has_failed else ImportPart.Status.DONE
            ImportPart.objects.filter(pk=part.pk).release(part.token, status=status, staged_as=None, staged_size=0)


def _add_sample(run: Import) -> None:
    now = time.time()
    latest = [now, run.linked_files + run.copied_files, run.copied_size]
    # The last entry moves along; it stays where it is once it is old enough, and another one follows.
    kept = run.samples[:-1] if len(run.samples) > 1 and now - run.samples[-2][0] < SAMPLE_SECONDS else run.samples
    run.samples = [*kept[-(SAMPLES - 1) :], latest]
