"""The only writer of blobs and packs, and the way to their bytes.

A pack's key is made from its upload's id, so a worker that dies between storing the bytes and writing the rows leaves
nothing unknown: whoever finishes the upload next finds the object under the same key.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connection
from django.utils import timezone

from datasets_app.errors import Gone, Unavailable
from datasets_app.models import Blob, Damage, Door, Pack, RememberedObject, Team, TeamBlob, UnreferencedBlob
from datasets_app.models.bulk import database_value, insert_new_rows
from datasets_app.models.holding import hold_clause, unmark
from datasets_app.models.prepared import Prepared, PreparedUpdate, Slot
from datasets_app.store.packs import MissingPack, PackStore
from datasets_app.store.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from datasets_app.store.listing import StoredObject

logger = logging.getLogger(__name__)

LOOKUP = 500
# What `pack_key` makes; packs of earlier releases lie a folder deeper.
PACK_KEY = re.compile(r"[0-9a-f]{2}/(?:[0-9a-f]{2}/)?([0-9a-f]{32})")
# Asked for each pack of an import.
_STORE = PreparedUpdate(lambda: Pack.objects.filter(key=Slot("key"), stored=False), "stored")
_PACK = Prepared(lambda: Pack.objects.filter(key=Slot("key")).only("pk"))
# What was lost is not found: so its bytes are asked for, and heal it.
_WHOLE = f"NOT EXISTS (SELECT 1 FROM {Damage._meta.db_table} d WHERE d.blob_id = b.id AND d.healed_at IS NULL)"  # noqa: S608 - our own names


class Slice(NamedTuple):
    """`size` bytes at `offset` of a staging file, with the SHA-256 that this server computed over them."""

    sha256: bytes
    size: int
    offset: int


class Place(NamedTuple):
    """Where bytes rest: the pack's key, and the offset in it."""

    key: str
    offset: int


class StoredSlice(NamedTuple):
    """A blob of `size` bytes, and where it was when we looked."""

    blob_id: int
    size: int
    place: Place


class VanishedBlobError(Exception):
    """A blob that was there a moment ago has been collected."""


class VanishedPackError(Exception):
    """A pack that waited too long for its rows has been collected."""


@lru_cache(maxsize=1)
def pack_store() -> PackStore:
    """Return the store that holds every pack."""
    return PackStore()


@lru_cache(maxsize=1)
def staging() -> Staging:
    """Return the folder on local disk where uploads grow."""
    return Staging(settings.STAGING_DIR, reserve=settings.DISK_RESERVE_BYTES)


def _forget(*, setting: str, **_kwargs: object) -> None:
    if setting in {"STORAGES", "STAGING_DIR", "DISK_RESERVE_BYTES"}:
        pack_store.cache_clear()
        staging.cache_clear()


setting_changed.connect(_forget)


def pack_key(upload_id: uuid.UUID) -> str:
    """Where the bytes of an upload, or of an import's pack, rest: random, and never used for other bytes."""
    return PackStore.key_of(upload_id)


def find_blobs(digests: Iterable[bytes]) -> dict[bytes, int]:
    """Ids of the blobs that exist. Inside a transaction: they are not collected before it ends.

    So whoever links blobs looks them up in the transaction that does.
    """
    return {digest: pk for digest, pk, _ in _look_up(set(digests))}


def _are_known(digests: list[bytes]) -> bool:
    """Tell whether all these blobs exist; one that doesn't settles it, so few are looked up at first."""
    start, step = 0, 10
    while start < len(digests):
        some = set(digests[start : start + step])
        if len(find_blobs(some)) < len(some):
            return False
        start, step = start + step, LOOKUP
    return True


def find_readable(files: Iterable[tuple[bytes, int]], *, team: Team) -> dict[bytes, int]:
    """Ids of the blobs that the team can read already, by digest; `files` are (digest, size in bytes).

    A digest that comes with another size than its bytes have is not found: the claim is wrong, so the bytes must come.
    As with `find_blobs`, ask inside the transaction that links them.
    """
    sizes: dict[bytes, set[int]] = {}
    for digest, size in files:
        sizes.setdefault(digest, set()).add(size)
    return {digest: pk for digest, pk, size in _look_up(sizes, team=team) if sizes[digest] == {size}}


def _look_up(digests: Iterable[bytes], *, team: Team | None = None) -> list[tuple[bytes, int, int]]:
    """Digest, id and size of blobs. By hand, since the ORM takes longer to write the statement than it takes to run."""
    wanted = list(digests)
    # CROSS JOIN keeps SQLite from walking all blobs of the team, which it believes to be few.
    theirs = f"CROSS JOIN {TeamBlob._meta.db_table} t WHERE t.blob_id = b.id AND t.team_id = %s AND"
    within, limit = (theirs, [team.pk]) if team else ("WHERE", [])
    found: list[tuple[bytes, int, int]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), LOOKUP):
            some = wanted[start : start + LOOKUP]
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(
                f"SELECT b.sha256, b.id, b.size FROM {Blob._meta.db_table} b {within} b.sha256 IN ({marks}) "  # noqa: S608 - our own names
                f"AND {_WHOLE} {hold_clause('b')}",
                [*limit, *some],
            )
            found += [(bytes(digest), pk, size) for digest, pk, size in cursor.fetchall()]
    unmark(UnreferencedBlob, [pk for _, pk, _ in found])
    return found


def find_remembered(*, connection_id: int, marks: Iterable[bytes], team: Team) -> dict[bytes, tuple[int, int]]:
    """Ids and sizes of blobs that were read by this connection from objects with these fingerprints, by fingerprint.

    Only blobs that the team can read. As with `find_blobs`, ask inside the transaction that links them.
    """
    wanted = list(marks)
    found: dict[bytes, tuple[int, int]] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), LOOKUP):
            some = wanted[start : start + LOOKUP]
            cursor.execute(
                f"SELECT r.fingerprint, b.id, b.size FROM {RememberedObject._meta.db_table} r "  # noqa: S608 - our own names
                f"JOIN {Blob._meta.db_table} b ON b.id = r.blob_id "
                f"JOIN {TeamBlob._meta.db_table} t ON t.blob_id = b.id AND t.team_id = %s "
                f"WHERE r.connection_id = %s AND r.fingerprint IN ({', '.join(['%s'] * len(some))}) "
                f"AND {_WHOLE} {hold_clause('b')}",
                [team.pk, connection_id, *some],
            )
            found |= {bytes(mark): (pk, size) for mark, pk, size in cursor.fetchall()}
    unmark(UnreferencedBlob, [pk for pk, _ in found.values()])
    return found


def remember_objects(*, connection_id: int, blobs: Iterable[tuple[bytes, int]]) -> None:
    """Note (fingerprint, blob id) of objects that were read, so that they need not be read again."""
    insert_new_rows(
        RememberedObject,
        ("connection_id", "fingerprint", "blob_id"),
        sorted((connection_id, mark, pk) for mark, pk in dict(blobs).items()),
    )


@contextmanager
def only_finisher(upload_id: uuid.UUID) -> Iterator[bool]:
    """Keep others from finishing the upload too; Locked when somebody else does, or is still writing.

    Gives False where there is nothing to lock, because the bytes are gone or were moved into the store: there,
    finishing twice is harmless.
    """
    with ExitStack() as stack:
        locked = False
        with suppress(Gone):
            stack.enter_context(staging().lock(upload_id))
            locked = True
        yield locked


def store_upload(*, upload_id: uuid.UUID, slices: list[Slice], always: bool = False) -> bool:
    """Move the upload's staging file into the store, unless all its bytes are known; durable when it returns.

    `always` stores it even then. No rows are written. Returns whether there is a pack to register.
    """
    if not always and _are_known([piece.sha256 for piece in slices]):
        return False
    try:
        pack_store().put(staging().path(upload_id), pack_key(upload_id))
    except FileNotFoundError:
        raise Gone("This upload was ended while its last bytes arrived. Start it anew.") from None
    return True


def register_upload(
    *, upload_id: uuid.UUID, size: int, slices: list[Slice], stored: bool, team: Team
) -> dict[bytes, int]:
    """Write the rows of what `store_upload` stored, inside the caller's transaction; return blob ids by digest.

    Digests that another upload registered first keep their place; the bytes that came twice are left unreferenced.
    Raises VanishedBlobError for a digest that was known before but is no longer: then store the upload after all.
    """
    if stored:
        return _register(slices, team, Pack.objects.create(key=pack_key(upload_id), size=size, stored=True).pk)
    known = find_blobs(piece.sha256 for piece in slices)
    if not known.keys() >= {piece.sha256 for piece in slices}:
        raise VanishedBlobError
    grant_blobs(team=team, blob_ids=known.values())
    return known


def adopt_pack(*, key: str, size: int, slices: list[Slice], team: Team | None) -> dict[bytes, int]:
    """Write the rows of a pack that lies in the store already, for a rebuild; `team` None: nobody may read it yet.

    Returns blob ids by digest. Call inside a transaction.
    """
    pack, _ = Pack.objects.get_or_create(key=key, defaults={"size": size, "stored": True})
    if not pack.stored:
        Pack.objects.filter(pk=pack.pk).update(stored=True)
    return _register(slices, team, pack.pk)


def _register(slices: list[Slice], team: Team | None, pack_id: int) -> dict[bytes, int]:
    """Insert the blobs that are new, into a pack which has them all, and let the team read them."""
    now = database_value(timezone.now())
    # In one order for all, so that two uploads with the same new blobs wait for each other and never both.
    pieces = {p.sha256: p for p in sorted(slices)}
    inserted = insert_new_rows(
        Blob,
        ("sha256", "size", "pack_id", "offset", "created_at"),
        [(p.sha256, p.size, pack_id, p.offset, now) for p in pieces.values()],
        returning=("sha256", "id"),
    )
    ids = {bytes(digest): pk for digest, pk in inserted}
    others = {digest: piece for digest, piece in pieces.items() if digest not in ids} if len(ids) < len(pieces) else {}
    if others:
        _heal(others, pack_id)
        ids |= find_blobs(others)
        if len(ids) < len(pieces):
            raise VanishedBlobError
    if team is not None:
        grant_blobs(team=team, blob_ids=ids.values())
    return ids


def _heal(brought: dict[bytes, Slice], pack_id: int) -> None:
    """Let blobs whose bytes were lost rest in the pack that has just brought the same bytes."""
    if not Damage.objects.open().exists():
        return
    lost = list(Damage.objects.open().filter(blob__sha256__in=list(brought)).select_related("blob")[: len(brought)])
    if not lost:
        return
    Door.objects.create(name="compaction")
    for damage in lost:
        if damage.blob is not None:
            place = brought[bytes(damage.blob.sha256)].offset
            Blob.objects.filter(pk=damage.blob.pk).update(pack=pack_id, offset=place)
            logger.warning("the lost bytes of blob %s were brought again", damage.blob.hex)
    Door.objects.filter(name="compaction").delete()
    Damage.objects.filter(pk__in=[damage.pk for damage in lost]).update(healed_at=timezone.now())


def reserve_pack(*, pack_id: uuid.UUID, size: int) -> None:
    """Write the row of a pack that comes from no upload, before its object: so no object of the store is unknown."""
    insert_new_rows(
        Pack,
        ("key", "size", "stored", "created_at"),
        [(pack_key(pack_id), size, False, database_value(timezone.now()))],
    )


def store_pack(pack_id: uuid.UUID) -> None:
    """Move the staging file of a reserved pack into the store; durable when it returns. Asks no database."""
    pack_store().put(staging().path(pack_id), pack_key(pack_id))


def register_pack(
    *, pack_id: uuid.UUID | None, slices: list[Slice], known: Collection[bytes], team: Team
) -> dict[bytes, int]:
    """Write the rows of a pack that `store_pack` stored, inside the caller's transaction; return blob ids by digest.

    `slices` are what the pack holds, `known` digests that were found before and so were not stored again.
    Raises VanishedBlobError when one of these is gone, VanishedPackError when the pack was collected meanwhile.
    """
    found = find_blobs(known)
    if len(found) < len(set(known)):
        raise VanishedBlobError
    grant_blobs(team=team, blob_ids=found.values())
    if not slices:
        return found
    key = pack_key(pack_id) if pack_id is not None else ""
    if not _STORE.run(key=key, stored=True) or (pack := _PACK.first(key=key)) is None:
        raise VanishedPackError
    return found | _register(slices, team, pack.pk)


def hash_stored(*, upload_id: uuid.UUID, sizes: Iterable[int]) -> list[bytes]:
    """SHA-256 of each slice of an upload that was moved into the store already; Gone when it is not there either."""
    key = pack_key(upload_id)
    if not pack_store().exists(key):
        raise Gone("The bytes of this upload are no longer here. Start it anew.")
    digests, offset = [], 0
    for size in sizes:
        hasher = hashlib.sha256()
        for block in read_pack(key=key, offset=offset, length=size):
            hasher.update(block)
        digests.append(hasher.digest())
        offset += size
    return digests


def arrived_bytes(upload_id: uuid.UUID, size: int) -> int:
    """How many of an unfinished upload's `size` bytes are here; all of them once it was moved into the store."""
    try:
        return staging().offset(upload_id)
    except Gone:
        return size


def is_quick(upload_id: uuid.UUID, size: int) -> bool:
    """Whether storing the upload neither reads it again nor sends it to another machine."""
    if pack_store().open_local(pack_key(upload_id)) is None:
        return False
    try:
        return staging().hashed(upload_id) == size
    except Gone:
        # Moved into the store by a process that died before it wrote the rows: there it has to be read.
        return False


def grant_blobs(*, team: Team, blob_ids: Iterable[int]) -> None:
    """Note that the team has had these bytes, so that their digests alone link to them from now on."""
    insert_new_rows(TeamBlob, ("team_id", "blob_id"), [(team.pk, pk) for pk in sorted(set(blob_ids))])


def put_manifest(*, key: str, lines: Iterator[bytes], anew: bool = False) -> None:
    """Store a manifest beside the packs, streamed; `anew` puts it in the place of one that is damaged.

    It is stored under another key first, as a whole manifest that a rebuild finds: so a crash anywhere leaves one.
    """
    if not anew:
        pack_store().put_bytes(key, lines)
        return
    folder, name = key.rsplit("/", 1)
    spare = f"{folder}/{uuid.uuid4().hex}.{name.partition('.')[2]}"
    pack_store().put_bytes(spare, lines)
    pack_store().remove(key)
    pack_store().put_bytes(key, read_manifest(spare))
    pack_store().remove(spare)


def list_stored(prefix: str = "") -> Iterator[StoredObject]:
    """List all objects of the store below the folder `prefix`, in no order."""
    return pack_store().objects(prefix)


def read_manifest(key: str) -> Iterator[bytes]:
    """Return the stored bytes of a manifest."""
    return pack_store().read(key, 0, pack_store().size(key))


def read_pack(*, key: str, offset: int, length: int) -> Iterator[bytes]:
    """Bytes of a pack, in blocks of at most 256 KiB."""
    return pack_store().read(key, offset, length)


def read_blob(blob: Blob, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """`length` bytes (default: all that follow) from `offset` of the blob, in blocks of at most 256 KiB."""
    left = blob.size - offset
    wanted = left if length is None else min(length, left)
    if wanted <= 0:
        return iter(())
    return read_slice(Place(blob.pack.key, blob.offset), blob_id=blob.pk, offset=offset, length=wanted)


def read_slice(place: Place, *, blob_id: int, offset: int = 0, length: int) -> Iterator[bytes]:
    """`length` bytes from `offset` of a blob that was at `place` a while ago, in blocks of at most 256 KiB.

    A blob that compaction has moved meanwhile is read on from where it is now. Raises `MissingPack` for lost bytes,
    and notes them, so that whoever has them is asked for them.
    """
    done = 0
    while True:
        try:
            for block in pack_store().read(place.key, place.offset + offset + done, length - done):
                done += len(block)
                yield block
        except MissingPack:
            now = find_place(blob_id)
            if now is None or now == place:
                note_damage(blob_id, Damage.Cause.MISSING, place)
                raise
            place = now
        else:
            return


def read_slices(pieces: Sequence[StoredSlice]) -> Iterator[bytes]:
    """Many blobs back to back, in blocks of at most 256 KiB; those that lie next to each other are read as one."""
    run: list[StoredSlice] = []
    for piece in pieces:
        if run and (piece.place.key, piece.place.offset) != (run[-1].place.key, run[-1].place.offset + run[-1].size):
            yield from _read_run(run)
            run = []
        run.append(piece)
    if run:
        yield from _read_run(run)


def _read_run(run: list[StoredSlice]) -> Iterator[bytes]:
    key, offset = run[0].place
    done = 0
    try:
        for block in pack_store().read(key, offset, sum(piece.size for piece in run)):
            done += len(block)
            yield block
    except MissingPack:
        # Compaction has moved some of them, perhaps to different packs: go on one by one.
        for piece in run:
            skipped = min(done, piece.size)
            done -= skipped
            if skipped < piece.size:
                yield from read_slice(piece.place, blob_id=piece.blob_id, offset=skipped, length=piece.size - skipped)


def find_place(blob_id: int) -> Place | None:
    """Say where a blob rests now; None when it has been collected."""
    found = Blob.objects.filter(pk=blob_id).values_list("pack__key", "offset").first()
    return Place(*found) if found is not None else None


def note_damage(blob_id: int, cause: Damage.Cause, place: Place) -> None:
    """Write down that the bytes of a blob are missing or changed, unless that is known: so they are asked for again."""
    if Blob.objects.filter(pk=blob_id).exists():
        damage = Damage(blob_id=blob_id, cause=cause, detail=f"pack {place.key} at {place.offset}")
        Damage.objects.bulk_create([damage], ignore_conflicts=True)
        logger.error("stored bytes are damaged", extra={"blob": blob_id, "pack": place.key, "cause": str(cause)})


def is_missing(error: Unavailable) -> bool:
    """Tell whether the store has no such bytes, rather than that it did not answer."""
    return isinstance(error, MissingPack)


def was_collected(error: Unavailable) -> bool:
    """Tell whether bytes were not found because their pack has been collected: then they are elsewhere now."""
    return isinstance(error, MissingPack) and not Pack.objects.filter(key=error.key).exists()


def local_path(blob: Blob) -> Path | None:
    """Return the blob's own file, where it is a whole pack of a store on this disk; never write to it."""
    return pack_store().open_local(blob.pack.key) if blob.whole_pack else None
