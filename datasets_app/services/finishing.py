"""The end of an upload: its bytes are hashed, moved into the store, and become blobs of the declared files."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from datasets_app.errors import ChecksumMismatch, ErrorItem, Gone, Locked
from datasets_app.models import StagedFile, Upload, Version
from datasets_app.models.bulk import database_value, update_rows
from datasets_app.models.prepared import Prepared, PreparedUpdate, Slot
from datasets_app.queue import enqueue
from datasets_app.services import content
from datasets_app.services.content import Slice
from datasets_app.store.paths import from_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

logger = logging.getLogger(__name__)

FINISH_TASK = "datasets_app.finish_upload"
POLL_SECONDS = 0.1
_SLICES = f"""
SELECT id, path, size, "offset", sha256 FROM {StagedFile._meta.db_table} WHERE upload_id = %s ORDER BY "offset", size
"""  # noqa: S608 - only names of our own table
_LOCKED = Prepared(lambda: Version.objects.select_for_update(no_key=True).filter(pk=Slot("id")))
UNFINISHED = (Upload.Status.RECEIVING, Upload.Status.RECEIVED)
_END = PreparedUpdate(lambda: Upload.objects.filter(pk=Slot("id"), status__in=UNFINISHED), "status", "error")


class StagedSlice(NamedTuple):
    """Where a declared file lies in its upload; `row` is None for bytes whose file was replaced meanwhile.

    `key` is its path as the database has it (`store.paths`).
    """

    row: int | None
    key: str
    size: int
    offset: int
    declared: bytes | None


class HashedSlices(NamedTuple):
    """The files of an upload, and the SHA-256 of the bytes that came for each."""

    slices: list[StagedSlice]
    digests: list[bytes]


def upload_offset(upload: Upload) -> int:
    """Count the bytes that have arrived. An upload that is complete, but whose last request died, is finished first.

    Raises Gone when its bytes turn out to be not what was declared.
    """
    if upload.status != Upload.Status.RECEIVING:
        return upload.size
    reached = content.arrived_bytes(upload.pk, upload.size)
    if reached == upload.size:
        try:
            complete_upload(upload)
        except ChecksumMismatch as error:
            raise Gone(f"This upload has failed: {error.detail}", errors=error.errors) from error
    return reached


def complete_upload(upload: Upload, hashed: HashedSlices | None = None) -> None:
    """Finish an upload whose bytes are all here: at once where that is quick, else by a worker.

    `hashed` is what it has, when it was hashed as it came.
    """
    quick = upload.size <= settings.FINISHED_IN_REQUEST_BYTES or content.is_quick(upload.pk, upload.size)
    if quick:
        # Where another request is just finishing it, a worker sees to it that this comes to an end.
        with suppress(Locked):
            finish_upload(upload, hashed)
            return
    if Upload.objects.filter(pk=upload.pk).transition(was=Upload.Status.RECEIVING, to=Upload.Status.RECEIVED):
        enqueue(FINISH_TASK, upload_id=str(upload.pk))


def finish_upload(upload: Upload, hashed: HashedSlices | None = None) -> None:
    """Hash what arrived, store it, and write its rows. May run twice and may die anywhere.

    Raises ChecksumMismatch, naming the paths, after the files that are not what was declared were marked as failed;
    Gone when the bytes were lost; Locked while somebody else is finishing it.
    """
    with content.only_finisher(upload.pk) as locked:
        if not locked and _is_over(upload):
            return
        try:
            if hashed is None:
                slices = read_slices(upload)
                hashed = HashedSlices(slices, _digests(upload, [piece.size for piece in slices]))
            errors, won = _keep(upload, list(zip(*hashed, strict=True)))
        except Gone:
            _lose(upload)
            raise
    if not won:
        # What was moved into the store meanwhile has no row: the collector finds it.
        return
    content.staging().remove(upload.pk)
    if errors:
        raise ChecksumMismatch(f"{len(errors)} files are not what was declared.", errors=errors)


def run_finish(upload_id: uuid.UUID) -> None:
    """Finish an upload that waits for a worker; nothing when that is done already."""
    waiting = Upload.objects.filter(pk=upload_id, status=Upload.Status.RECEIVED).select_related(
        "version__dataset__team"
    )
    upload = waiting.first()
    if upload is not None:
        finish_upload(upload)


def finish_arrived(
    version: Version, *, everything: bool = False, progress: Callable[[int], None] = lambda _rows: None
) -> None:
    """Finish uploads of the version whose bytes are all here, after a request or a worker died.

    With `everything` also those that wait for a worker. Failures are kept in the rows.
    """
    wanted = UNFINISHED if everything else (Upload.Status.RECEIVING,)
    for upload in version.uploads.filter(status__in=wanted).select_related("version__dataset__team"):
        try:
            if upload.status == Upload.Status.RECEIVED:
                _finish_or_wait(upload, progress)
            else:
                # Large ones are handed to a worker.
                upload_offset(upload)
        except (ChecksumMismatch, Gone) as error:
            logger.info("upload %s is not finished: %s", upload.pk, error.detail)
        progress(1)


def wake_received() -> int:
    """Queue again what arrived whole and nobody has finished; return how many."""
    waiting = list(Upload.objects.filter(status=Upload.Status.RECEIVED).values_list("pk", flat=True)[:1000])
    for upload_id in waiting:
        enqueue(FINISH_TASK, upload_id=str(upload_id))
    return len(waiting)


def _finish_or_wait(upload: Upload, progress: Callable[[int], None]) -> None:
    """Finish the upload, or wait for the worker that is just doing so."""
    while _is_unfinished(upload):
        try:
            finish_upload(upload)
        except Locked:
            progress(0)
            time.sleep(POLL_SECONDS)
        else:
            return


def _is_over(upload: Upload) -> bool:
    """Tell whether somebody else has finished it already; Gone when it was ended, or has failed, meanwhile."""
    status = Upload.objects.filter(pk=upload.pk).values_list("status", flat=True).first()
    if status in UNFINISHED:
        return False
    if status == Upload.Status.FINISHED:
        return True
    raise Gone("This upload was ended while its last bytes arrived. Start it anew.")


def _is_unfinished(upload: Upload) -> bool:
    return Upload.objects.filter(pk=upload.pk, status__in=UNFINISHED).exists()


def read_slices(upload: Upload) -> list[StagedSlice]:
    """Cut the upload into its files; gaps are bytes of files that were planned anew meanwhile.

    One that is planned anew later lets go of this upload: then what is found here for it has no effect.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SLICES, [database_value(upload.pk)])
        rows = cursor.fetchall()
    slices: list[StagedSlice] = []
    end = 0
    for pk, key, size, offset, declared in rows:
        if offset > end:
            slices.append(StagedSlice(None, "", offset - end, end, None))
        slices.append(StagedSlice(pk, key, size, offset, None if declared is None else bytes(declared)))
        end = offset + size
    if end < upload.size:
        slices.append(StagedSlice(None, "", upload.size - end, end, None))
    return slices


def _digests(upload: Upload, sizes: list[int]) -> list[bytes]:
    """SHA-256 of each slice over the bytes that are on disk, or in the store when a worker died after the move."""
    try:
        if len(sizes) == 1:
            return [content.staging().sha256(upload.pk)]
        return content.staging().hash_slices(upload.pk, sizes)
    except Gone:
        return content.hash_stored(upload_id=upload.pk, sizes=sizes)


def _keep(upload: Upload, found: list[tuple[StagedSlice, bytes]]) -> tuple[list[ErrorItem], bool]:
    """Store and register what is as declared; return what is not, and whether this caller was the one to do it."""
    errors = [_mismatch(p, digest) for p, digest in found if p.row and p.declared not in {None, digest}]
    good = [(p, digest) for p, digest in found if p.row and p.declared in {None, digest}]
    pieces = [Slice(digest, p.size, p.offset) for p, digest in good]
    stored = bool(pieces) and content.store_upload(upload_id=upload.pk, slices=pieces)
    try:
        return errors, _register(upload, good, pieces, errors, stored=stored)
    except content.VanishedBlobError:
        # Known when we looked, collected since: keep our own copy of the bytes.
        stored = content.store_upload(upload_id=upload.pk, slices=pieces, always=True)
        return errors, _register(upload, good, pieces, errors, stored=stored)


def _lose(upload: Upload) -> None:
    """Note that the bytes of an unfinished upload are gone, so that its files are asked for again."""
    text = "The bytes were lost on the server before they were stored. Send the file again."
    with transaction.atomic():
        if Upload.objects.filter(pk=upload.pk, status__in=UNFINISHED).update(status=Upload.Status.FAILED, error=text):
            StagedFile.objects.filter(upload=upload.pk, blob=None).update(upload=None, offset=0, error=text)


def _mismatch(piece: StagedSlice, actual: bytes) -> ErrorItem:
    declared = piece.declared.hex() if piece.declared else ""
    return {
        "path": from_key(piece.key),
        "detail": f"Declared as sha256 {declared}, but the bytes that arrived have {actual.hex()}. Send it again.",
    }


def _register(
    upload: Upload, good: list[tuple[StagedSlice, bytes]], pieces: list[Slice], errors: list[ErrorItem], *, stored: bool
) -> bool:
    """Write the outcome in one transaction; False when the upload was finished or ended by somebody else."""
    failed = bool(errors) and not good
    text = errors[0]["detail"] if failed else ""
    with transaction.atomic():
        # Bundles and plans of this version lock it too: rows that several want are then never locked crosswise.
        _LOCKED.first(id=upload.version_id)
        status = Upload.Status.FAILED if failed else Upload.Status.FINISHED
        if not _END.run(id=upload.pk, status=status.value, error=text):
            return False
        ids = content.register_upload(
            upload_id=upload.pk, size=upload.size, slices=pieces, stored=stored, team=upload.version.dataset.team
        )
        # A row that was declared anew since we looked has let go of this upload.
        column = database_value(upload.pk)
        update_rows(
            StagedFile,
            ("blob_id", "error"),
            [(piece.row, column, ids[digest], "") for piece, digest in good],
            keys=("id", "upload_id"),
        )
        rows = {piece["path"]: piece["detail"] for piece in errors}
        for path, detail in rows.items():
            StagedFile.objects.filter(upload=upload, path=path).update(error=detail, upload=None)
    upload.status = status
    return True
