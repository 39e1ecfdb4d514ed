"""The declared files of an open version: the rules that they keep, and their rows."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.utils import timezone

from datasets_app.errors import Conflict, ErrorItem, Invalid, NotFound
from datasets_app.models import StagedFile, Upload, Version
from datasets_app.models.bulk import database_value, insert_rows, update_rows
from datasets_app.models.prepared import Prepared, Slot
from datasets_app.store.paths import MAX_PATH_BYTES, InvalidPath, from_key, normalise, parents, to_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Mapping, Sequence

# PostgreSQL can't index longer values than a third of its page; names of that length have not been seen in the wild.
INDEXED_PATH_BYTES = 2600
TOUCHED_EVERY = timedelta(hours=1)
UNREAD_FOLDER = "The folder could not be read when its files were chosen, so it isn't known what is in it."
_LOCKED = Prepared(
    lambda: Version.objects.select_related("dataset").select_for_update(of=("self",)).filter(pk=Slot("id"))
)


class DeclaredFile(NamedTuple):
    """A file that a client wants in the version: `size` in bytes, `sha256` (32 bytes) where it is known.

    A path that ends with "/" is a folder that the client wants and can't read: it stands in the way of a seal until a
    file below it is declared, or it is left out.
    """

    path: str
    size: int
    sha256: bytes | None = None


def find_staged(version_id: int, paths: Collection[str], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Read columns of the staged files of these normalised paths, in no order. Paths come as keys (`store.paths`).

    By hand: for 1,000 paths, the ORM takes three times as long to write the statement as it takes to run.
    """
    if not paths:
        return []
    marks = ", ".join(["%s"] * len(paths))
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names} FROM {StagedFile._meta.db_table} WHERE version_id = %s AND path IN ({marks})",  # noqa: S608 - our own names
            [version_id, *map(to_key, paths)],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def lock_open(version: Version, *, is_filled: bool = True) -> Version:
    """Lock the version's row for the rest of the transaction; Conflict unless it still takes files.

    `version` then has the status that it has now. One that is composed from others takes no files (`is_filled`).
    """
    locked = _LOCKED.first(id=version.pk)
    if locked is None:
        raise NotFound(f"The version {version.label} was abandoned.")
    if not locked.is_open:
        raise Conflict(f"The version {version.label} is {locked.status}: its files can no longer be changed.")
    if locked.dataset.archived_at is not None:
        raise Conflict(f"The dataset {locked.dataset.name} is archived: unarchive it to go on with {version.label}.")
    if is_filled and locked.source.get("kind") == "compose":
        raise Conflict(f"{version.label} is composed from other versions, and takes no files. Start another from it.")
    version.status = locked.status
    _touch(locked)
    return locked


def _touch(locked: Version) -> None:
    """Note that somebody works on the version, so that it isn't taken for idle; at most once an hour."""
    now = timezone.now()
    if now - (locked.touched_at or locked.created_at) >= TOUCHED_EVERY:
        Version.objects.filter(pk=locked.pk).update(touched_at=now)


def declare_file(*, version: Version, path: str, size: int, sha256: bytes | None) -> tuple[StagedFile, list[uuid.UUID]]:
    """Declare one file inside the caller's transaction; return its row and the uploads that it replaces."""
    (file,) = check_files([DeclaredFile(path, size, sha256)])
    place_files(version, [file])
    rows = {row.path: row for row in version.staged.filter(path=file.path).select_related("upload")}
    earlier = [row.upload_id for row in rows.values() if row.upload and row.upload.kind == Upload.Kind.FILE]
    declare_files(version, [file], rows, {})
    if not rows:
        insert_files(version, [file], {})
    row = rows.get(file.path) or version.staged.get(path=file.path)
    return row, [pk for pk in earlier if pk is not None]


def reopen(version: Version) -> None:
    """After a failed seal, any change of the files makes the version, which is locked, an ordinary open one again."""
    if version.status == Version.Status.ERROR:
        Version.objects.filter(pk=version.pk).update(status=Version.Status.UPLOADING, error="")


def most_path_bytes() -> int:
    """Return how long a path may be in this installation's database."""
    return INDEXED_PATH_BYTES if connection.vendor == "postgresql" else MAX_PATH_BYTES


def legal_path(path: str, *, limit: int) -> str:
    """Normalise one path; InvalidPath when it breaks a rule or has more than `limit` bytes."""
    normal = normalise(path)
    if len(normal) > limit // 4 and len(normal.encode()) > limit:
        raise InvalidPath(path, f"This server's database takes paths of at most {limit} bytes.")
    return normal


def known_paths(paths: Iterable[str]) -> list[str]:
    """Normalise the paths that a version can have, and of folders that can't be read ("dir/"); others are in none."""
    limit = most_path_bytes()
    found: list[str] = []
    for path in paths:
        with suppress(InvalidPath):
            found.append(_legal_file_or_folder(path, limit=limit))
    return found


def _legal_file_or_folder(path: str, *, limit: int) -> str:
    if not path.endswith("/"):
        return legal_path(path, limit=limit)
    return f"{legal_path(path.removesuffix('/'), limit=limit - 1)}/"


def check_files(files: Iterable[DeclaredFile], *, with_folders: bool = False) -> list[DeclaredFile]:
    """Normalise every path; Invalid with all that break a rule or are there twice.

    Folders that can't be read are illegal unless `with_folders` is set.
    """
    legal = _legal_file_or_folder if with_folders else legal_path
    errors: list[ErrorItem] = []
    good: dict[str, DeclaredFile] = {}
    limit, most_bytes = most_path_bytes(), settings.UPLOAD_MAX_BYTES
    for file in files:
        try:
            path = legal(file.path, limit=limit)
        except InvalidPath as error:
            errors += error.errors
            continue
        if path.endswith("/") and (file.size or file.sha256):
            errors.append({"path": path, "detail": "A folder that can't be read has the size 0 and no digest."})
        elif path in good:
            errors.append({"path": path, "detail": "The path is there twice in this request."})
        elif file.size < 0:
            errors.append({"path": path, "detail": "The size is not a number of bytes."})
        elif file.size > most_bytes:
            errors.append({"path": path, "detail": f"This server takes files of at most {most_bytes} bytes."})
        else:
            good[path] = file if path == file.path else file._replace(path=path)
    if errors:
        raise Invalid(f"{len(errors)} paths cannot be in a dataset.", errors=errors)
    return list(good.values())


def place_files(version: Version, files: Iterable[DeclaredFile]) -> None:
    """Find out early what would make the seal fail: a path that is a file and, on the way to another, a folder.

    Folders that could not be read before are forgotten where now a file is below them.
    """
    paths = {file.path for file in files}
    folders = {path[: path.rfind("/") + 1] for path in paths}
    above = {folder for path in folders for folder in parents(path)}
    found = {from_key(key) for (key,) in find_staged(version.pk, above | {f"{folder}/" for folder in above}, ("path",))}
    clashing = sorted(above & (paths | found) | _find_folders(version, paths))
    if clashing:
        errors: list[ErrorItem] = [{"path": p, "detail": "The path is both a file and a folder."} for p in clashing]
        raise Invalid("A path cannot be both a file and a folder.", errors=errors)
    read = found - {file.path for file in files}
    if read:
        version.staged.filter(path__in=read).delete()


def _find_folders(version: Version, paths: Iterable[str]) -> set[str]:
    """Return those of the paths that have staged files below them: one look into the index for each."""
    keys = [to_key(path) for path in paths]
    bounds = [(key, f"{key}\x01", f"{key}\x02") for key in keys]
    if connection.vendor == "postgresql":
        values: list[Any] = [list(column) for column in zip(*bounds, strict=True)]
        wanted = "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])"
    else:
        values = list(chain.from_iterable(bounds))
        wanted = f"VALUES {', '.join(['(%s, %s, %s)'] * len(bounds))}"
    table = StagedFile._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH wanted(folder, low, high) AS ({wanted}) SELECT folder FROM wanted WHERE EXISTS "  # noqa: S608 - our own names
            f"(SELECT 1 FROM {table} s WHERE s.version_id = %s AND s.path > wanted.low AND s.path < wanted.high)",
            [*values, version.pk],
        )
        return {from_key(key) for (key,) in cursor.fetchall()}


def declare_files(
    version: Version, files: list[DeclaredFile], rows: dict[str, StagedFile], known: dict[bytes, int]
) -> list[uuid.UUID]:
    """Make `rows`, those that exist by their paths, say what `files` say; others are for `insert_files`.

    Files whose digest is `known` (digest -> blob id) are stored already. Returns the uploads of single files that
    nobody needs now.
    """
    changed: list[StagedFile] = []
    replaced: list[uuid.UUID] = []
    for file in files if rows else ():
        row = rows.get(file.path)
        if row is None:
            continue
        blob = known.get(file.sha256) if file.sha256 else None
        if not _is_same(row, file) or (row.blob_id is None and blob is not None):
            if row.upload is not None and row.upload.kind == Upload.Kind.FILE:
                replaced.append(row.upload.pk)
            row.size, row.sha256, row.blob_id = file.size, file.sha256, blob
            row.upload, row.offset, row.error = None, 0, ""
            changed.append(row)
    update_rows(
        StagedFile,
        ("size", "sha256", "blob_id", "upload_id", "offset", "error"),
        [(row.pk, row.size, row.sha256, row.blob_id, None, 0, "") for row in changed],
    )
    if changed:
        reopen(version)
    return replaced


def insert_files(
    version: Version,
    files: list[DeclaredFile],
    known: dict[bytes, int],
    *,
    upload: Upload | None = None,
    places: Mapping[str, int] | None = None,
) -> None:
    """Declare files whose paths have no row. Those with an offset in `places`, by path, are parts of `upload`."""
    places = places or {}
    column = database_value(upload.pk) if upload is not None else None
    pk = version.pk
    insert_rows(
        StagedFile,
        ("version_id", "path", "size", "sha256", "blob_id", "upload_id", "offset", "error"),
        [
            (
                pk,
                to_key(path),
                size,
                sha256,
                known.get(sha256) if sha256 else None,
                column if path in places else None,
                places.get(path, 0),
                UNREAD_FOLDER if path[-1] == "/" else "",
            )
            for path, size, sha256 in files
        ],
    )
    if files:
        reopen(version)


def _is_same(row: StagedFile, file: DeclaredFile) -> bool:
    return row.size == file.size and (
        file.sha256 is None or (row.sha256 is not None and bytes(row.sha256) == file.sha256)
    )
