"""Uploads: bytes on their way from a client into packs. How far one came is the length of its staging file."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets_app.errors import Conflict, ErrorItem, Gone, Invalid, NotFound, TooLarge
from datasets_app.models import StagedFile, Upload, User, Version
from datasets_app.models.bulk import database_value, update_rows
from datasets_app.models.prepared import Prepared, Slot
from datasets_app.permissions import require
from datasets_app.services import content
from datasets_app.services.finishing import UNFINISHED, HashedSlices, complete_upload, finish_upload, read_slices
from datasets_app.services.staged import declare_file, find_staged, known_paths, lock_open
from datasets_app.store.hashers import SliceHasher
from datasets_app.store.paths import from_key, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from datasets_app.store.staging import Checksum

logger = logging.getLogger(__name__)

MOST_PATHS = 1000
# An upload that nobody has sent to for so long is not counted on to need its room.
IDLE_SECONDS = 600
_BY_ID = Prepared(
    lambda: Upload.objects.visible_to(Slot("user")).filter(pk=Slot("id")).select_related("version__dataset__team")
)


class PlannedSlice(NamedTuple):
    """A declared file that may become a part of a bundle; it has a blob when its bytes are stored already."""

    row: int
    size: int
    blob: int | None


def find_upload(actor: User, upload_id: uuid.UUID) -> Upload:
    """Return an upload of one of the actor's teams. NotFound for others; Gone when it has expired or was ended."""
    found = _BY_ID.first(user=actor.pk, id=upload_id)
    if found is None or not actor.reaches(found.version.dataset.team):
        raise NotFound("There is no such upload, or you are not in its team.")
    overdue = found.status == Upload.Status.RECEIVING and found.expires_at <= timezone.now()
    if overdue or found.status == Upload.Status.REMOVED:
        raise Gone("This upload has expired or was ended. Start a new one.")
    if found.status == Upload.Status.FAILED:
        raise Gone(f"This upload has failed: {found.error}")
    return found


def create_upload(actor: User, *, version: Version, path: str, size: int, sha256: bytes | None = None) -> Upload:
    """Start the upload of one file: declare its path, unless a plan has done so, and end an earlier upload of it.

    A digest that was planned still counts when `sha256` is None; that of a file which is there already does not.
    """
    require(actor, "version.fill", version)
    # Small files are not worth the look; a disk that they fill up is noticed as it happens.
    beside = _expected_bytes(version, path) if size >= settings.LARGE_FILE_BYTES else 0
    with _new_staging_file(size, beside=beside) as upload_id, transaction.atomic():
        lock_open(version)
        staged, replaced = declare_file(version=version, path=path, size=size, sha256=sha256)
        upload = _new_upload(upload_id, actor, version, Upload.Kind.FILE, size)
        declared = sha256 if staged.blob_id is not None else staged.sha256
        StagedFile.objects.filter(pk=staged.pk).update(upload=upload, offset=0, sha256=declared, blob=None, error="")
    end_uploads(replaced)
    if size == 0:
        finish_upload(upload)
    return upload


def create_bundle(actor: User, *, version: Version, paths: list[str]) -> Upload:
    """Start an upload whose body is the planned files `paths` back to back, in that order."""
    require(actor, "version.fill", version)
    if not 1 <= len(paths) <= MOST_PATHS or len(set(paths)) != len(paths):
        raise Invalid(
            f"A bundle has 1 to {MOST_PATHS} different paths.", errors=[{"field": "paths", "detail": "1 to 1000"}]
        )
    paths = [normalise(path) for path in paths]
    found = find_staged(version.pk, paths, ("path", "id", "size", "blob_id"))
    rows = {from_key(key): PlannedSlice(*others) for key, *others in found}
    _check_bundle(paths, rows)
    with transaction.atomic():
        lock_open(version)
        with start_bundle(actor, version=version, size=sum(row.size for row in rows.values())) as upload:
            places = accumulate((rows[path].size for path in paths), initial=0)
            join_bundle(upload, [(*rows[p][:2], offset) for p, offset in zip(paths, places, strict=False)])
    if upload.size == 0:
        finish_upload(upload)
    return upload


@contextmanager
def start_bundle(actor: User, *, version: Version, size: int) -> Iterator[Upload]:
    """Make an upload for planned files of `size` bytes together, inside the caller's transaction.

    Raises TooLarge for more than a pack takes. One of no bytes has to be finished after the transaction.
    """
    if size > settings.PACK_BYTES:
        raise TooLarge(f"A bundle holds at most {settings.PACK_BYTES} bytes; these files have {size}.")
    with _new_staging_file(size) as upload_id:
        yield _new_upload(upload_id, actor, version, Upload.Kind.BUNDLE, size)


def join_bundle(upload: Upload, parts: Sequence[tuple[int, int, int]]) -> None:
    """Note which declared files lie in the bundle: row, size as we know it, and offset of each."""
    column = database_value(upload.pk)
    update_rows(
        StagedFile,
        ("upload_id", "offset", "error"),
        [(row, size, column, offset, "") for row, size, offset in parts],
        # Not what was declared anew since we looked.
        keys=("id", "size"),
        only="blob_id IS NULL",
    )


def append(  # noqa: PLR0913
    actor: User,
    *,
    upload: Upload,
    offset: int,
    read: Callable[[int], bytes],
    length: int | None,
    checksum: Checksum | None = None,
) -> int:
    """Write one request's bytes at `offset` and return the new one; the last byte verifies and stores the upload.

    Raises what `Staging.append` raises, and ChecksumMismatch, naming paths, when files are not what was declared.
    """
    require(actor, "version.fill", upload.version)
    if upload.status != Upload.Status.RECEIVING:
        if offset != upload.size or length:
            raise Conflict(f"All {upload.size} bytes of this upload have arrived already.")
        return offset
    if not upload.version.is_open:
        raise Conflict(f"The version {upload.version.label} is {upload.version.status}: it takes no more files.")
    _postpone_expiry(upload)
    slices, hasher = [], None
    if upload.kind == Upload.Kind.BUNDLE and offset == 0 and length == upload.size:
        # It comes whole: hashed on its way, it need not be read again.
        slices = read_slices(upload)
        hasher = SliceHasher(piece.size for piece in slices)
    reached = content.staging().append(
        upload.pk,
        offset=offset,
        read=read,
        total=upload.size,
        length=length,
        checksum=checksum,
        hash_file=upload.kind == Upload.Kind.FILE,
        slices=hasher,
    )
    if reached == upload.size:
        complete_upload(upload, HashedSlices(slices, hasher.digests) if hasher else None)
    return reached


def terminate_upload(actor: User, *, upload: Upload) -> None:
    """End an upload at its owner's wish; what arrived is discarded."""
    require(actor, "version.fill", upload.version)
    if not end_uploads([upload.pk]) and upload.status == Upload.Status.FINISHED:
        raise Conflict("This upload is finished: remove its file from the version instead.")


def end_uploads(upload_ids: Iterable[uuid.UUID], *, note: Callable[[uuid.UUID], None] = lambda _upload_id: None) -> int:
    """Give up uploads and their bytes, unless they are finished; return how many.

    `note` is called for each inside its transaction. An object that reached the store already is left to the collector.
    """
    ended = 0
    for upload_id in upload_ids:
        with transaction.atomic():
            won = Upload.objects.filter(pk=upload_id, status__in=UNFINISHED).update(status=Upload.Status.REMOVED)
            if won:
                StagedFile.objects.filter(upload=upload_id, blob=None).update(upload=None, offset=0)
                note(upload_id)
        if won:
            ended += 1
            content.staging().remove(upload_id)
    return ended


@contextmanager
def _new_staging_file(size: int, *, beside: int = 0) -> Iterator[uuid.UUID]:
    """Make the file before its row, so that no row is without one; TooLarge, OutOfSpace where it can't be.

    There has to be room for `beside` more bytes, which others still expect.
    """
    if size > settings.UPLOAD_MAX_BYTES:
        raise TooLarge(f"{size} bytes are more than this server takes in one file ({settings.UPLOAD_MAX_BYTES}).")
    upload_id = uuid.uuid4()
    content.staging().create(upload_id, size, beside=beside)
    try:
        yield upload_id
    except BaseException:
        content.staging().remove(upload_id)
        raise


def _expected_bytes(version: Version, path: str) -> int:
    """Count what the uploads that are under way have still to bring, without one that a new one of this path ends."""
    since = time.time() - IDLE_SECONDS
    here = {file.upload: file.size for file in content.staging().staged() if file.modified >= since}
    sizes = dict(Upload.objects.filter(status=Upload.Status.RECEIVING).values_list("pk", "size"))
    ending = set(version.staged.filter(path__in=known_paths([path])).values_list("upload", flat=True))
    return sum(size - here[pk] for pk, size in sizes.items() if pk in here and pk not in ending)


def _new_upload(upload_id: uuid.UUID, actor: User, version: Version, kind: Upload.Kind, size: int) -> Upload:
    expires = timezone.now() + timedelta(hours=settings.UPLOAD_EXPIRY_HOURS)
    return Upload.objects.create(
        pk=upload_id, version=version, created_by=actor, kind=kind, size=size, expires_at=expires
    )


def _postpone_expiry(upload: Upload) -> None:
    """Let an upload that is in use live on; written down only when half of its time is over."""
    now, lifetime = timezone.now(), timedelta(hours=settings.UPLOAD_EXPIRY_HOURS)
    if upload.expires_at - now < lifetime / 2:
        upload.expires_at = now + lifetime
        Upload.objects.filter(pk=upload.pk).update(expires_at=upload.expires_at)


def _check_bundle(paths: list[str], rows: dict[str, PlannedSlice]) -> None:
    errors: list[ErrorItem] = []
    for path in paths:
        row = rows.get(path)
        if row is None:
            errors.append({"path": path, "detail": "not planned: declare it with its size first"})
        elif row.blob is not None:
            errors.append({"path": path, "detail": "its bytes are stored already"})
    if errors:
        raise Conflict(f"{len(errors)} paths cannot be in this bundle.", errors=errors)
