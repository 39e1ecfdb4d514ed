"""Plan what a version will hold: say which bytes are needed, leave paths out, and give up what does not come."""

from __future__ import annotations

from functools import reduce
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.models import Q

from datasets_app.errors import Conflict, Invalid
from datasets_app.models import StagedFile, StagedRemoval, Upload, User, Version
from datasets_app.models.fields import below
from datasets_app.permissions import require
from datasets_app.services import content
from datasets_app.services.finishing import UNFINISHED, finish_upload
from datasets_app.services.moving import forget_moves
from datasets_app.services.pending import find_nodes
from datasets_app.services.staged import (
    DeclaredFile,
    check_files,
    declare_files,
    find_staged,
    insert_files,
    known_paths,
    legal_path,
    lock_open,
    most_path_bytes,
    place_files,
    reopen,
)
from datasets_app.services.uploads import end_uploads, join_bundle, start_bundle

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator, Sequence

    from django.db.models import QuerySet

MOST_FILES = 1000
FOLDERS_AT_ONCE = 100
STORED, NEEDED, PARTIAL, UNREAD = "stored", "needed", "partial", "unread"


class PlannedFile(NamedTuple):
    """What a client has to do for one path: nothing (stored), send it (needed), or go on with `upload` at `offset`.

    "unread" is a folder that it can't read.
    """

    path: str
    state: str
    upload: uuid.UUID | None = None
    offset: int | None = None


class Plan(NamedTuple):
    """The answers, in the order of the question, and the bundle that waits for the bytes of all that are needed."""

    files: list[PlannedFile]
    bundle: Upload | None


def plan_files(actor: User, *, version: Version, files: Sequence[DeclaredFile], bundle: bool = False) -> Plan:
    """Declare up to 1000 files and say, in the same order, which bytes have to be sent.

    Files are linked without being sent when their digest is one that the own team can read. Declaring a path again
    with the same size (and digest, if given) changes nothing; with others, it replaces the earlier file. A path with
    a "/" at its end is a folder that the client can't read: no seal without its files, unless it is left out.
    With `bundle`, an upload is started whose body is all that is needed, back to back in this order; none where nothing
    is. Raises Invalid with every illegal path, and TooLarge when a bundle can't take so much: nothing of the request is
    declared then.
    """
    require(actor, "version.fill", version)
    if not 1 <= len(files) <= MOST_FILES:
        raise Invalid(
            f"Plan 1 to {MOST_FILES} files at a time.", errors=[{"field": "files", "detail": f"{len(files)} files"}]
        )
    wanted = check_files(files, with_folders=True)
    upload: Upload | None = None
    with transaction.atomic():
        lock_open(version)
        known = content.find_readable(((f.sha256, f.size) for f in wanted if f.sha256), team=version.dataset.team)
        place_files(version, wanted)
        there = [pk for (pk,) in find_staged(version.pk, [f.path for f in wanted], ("id",))]
        found = StagedFile.objects.filter(pk__in=there).select_related("upload") if there else ()
        rows = {row.path: row for row in found}
        replaced = declare_files(version, wanted, rows, known)
        planned = [_planned(rows[f.path]) if f.path in rows else _fresh(f, known) for f in wanted]
        fresh = [f for f in wanted if f.path not in rows] if rows else wanted
        needed = [f for f, plan in zip(wanted, planned, strict=True) if plan.state == NEEDED] if bundle else []
        if needed:
            places = dict(zip((f.path for f in needed), accumulate((f.size for f in needed), initial=0), strict=False))
            with start_bundle(actor, version=version, size=sum(f.size for f in needed)) as upload:
                insert_files(version, fresh, known, upload=upload, places=places)
                join_bundle(upload, [(rows[p].pk, rows[p].size, at) for p, at in places.items() if p in rows])
        else:
            insert_files(version, fresh, known)
    end_uploads(replaced)
    if upload is not None and upload.size == 0:
        finish_upload(upload)
    return Plan(planned, upload)


def remove_paths(actor: User, *, version: Version, paths: Sequence[str]) -> int:
    """Leave paths out of the version: staged ones, and those of its base; "dir/" is a whole directory.

    Returns how many staged files went. A path that is neither staged nor in the base is no error.
    """
    require(actor, "version.fill", version)
    if not 1 <= len(paths) <= MOST_FILES:
        raise Invalid(
            f"Remove 1 to {MOST_FILES} paths at a time.", errors=[{"field": "paths", "detail": f"{len(paths)} paths"}]
        )
    limit = most_path_bytes()
    files = [legal_path(path, limit=limit) for path in paths if not path.endswith("/")]
    folders = [legal_path(path.removesuffix("/"), limit=limit) for path in paths if path.endswith("/")]
    unread = [f"{folder}/" for folder in folders]
    count = 0
    uploads: list[Upload] = []
    with transaction.atomic():
        lock_open(version)
        for chosen in (Q(path__in=[*files, *unread]), *_below_any(folders)):
            going = version.staged.filter(chosen)
            uploads += Upload.objects.filter(pk__in=going.values("upload"), kind=Upload.Kind.FILE)
            count += going.delete()[0]
        if version.base_id is not None:
            forget_moves(version, files, folders)
            removals = (*files, *unread)
            StagedRemoval.objects.bulk_create(
                [StagedRemoval(version=version, path=path) for path in removals], ignore_conflicts=True
            )
        reopen(version)
    end_uploads(upload.pk for upload in uploads)
    return count


def leave_out(actor: User, *, version: Version, paths: Sequence[str] | None = None, count: int | None = None) -> int:
    """Give up files that were declared; what the base has at their paths stays, unless that was removed.

    Up to 1000 `paths`, whether their bytes are here or not; one that is not declared is no error. Without `paths`, all
    that lack verified bytes: Conflict when those are not `count` any more. Returns how many declared files went.
    """
    require(actor, "version.fill", version)
    if paths is not None and not 1 <= len(paths) <= MOST_FILES:
        raise Invalid(
            f"Leave out 1 to {MOST_FILES} paths at a time.",
            errors=[{"field": "paths", "detail": f"{len(paths)} paths"}],
        )
    with transaction.atomic():
        lock_open(version)
        going = version.staged.lacking() if paths is None else version.staged.filter(path__in=known_paths(paths))
        if paths is None and count is not None and going.count() != count:
            raise Conflict(
                f"{going.count()} files of {version.label} have not arrived now, and not {count}. Look at them again."
            )
        alone = Upload.objects.filter(pk__in=going.values("upload"), kind=Upload.Kind.FILE)
        uploads = list(alone.values_list("pk", flat=True))
        kept = _put_back_moved(version, going)
        left = going.exclude(path__in=kept).delete()[0] + len(kept)
        reopen(version)
    end_uploads(uploads)
    return left


def _put_back_moved(version: Version, going: QuerySet[StagedFile]) -> list[str]:
    """Give files of the base that were moved to where a new file was declared later their own bytes again."""
    moves = version.moves.filter(directory=None, path__in=going.values("path"))
    origins = dict(moves.values_list("path", "origin"))
    nodes = find_nodes(version.base.root_id if version.base else None, origins.values())
    found = {path: nodes[origin] for path, origin in origins.items() if origin in nodes}
    for path, node in found.items():
        version.staged.filter(path=path).update(
            size=node.size, sha256=node.digest, blob=node.ref, upload=None, offset=0, error=""
        )
    return list(found)


def _below_any(folders: Sequence[str]) -> Iterator[Q]:
    """Select what lies below the folders, in several conditions: one of a thousand parts is more than SQLite parses."""
    for start in range(0, len(folders), FOLDERS_AT_ONCE):
        yield reduce(or_, map(below, folders[start : start + FOLDERS_AT_ONCE]))


def _fresh(file: DeclaredFile, known: dict[bytes, int]) -> PlannedFile:
    if file.path.endswith("/"):
        return PlannedFile(file.path, UNREAD)
    return PlannedFile(file.path, STORED if file.sha256 in known else NEEDED)


def _planned(row: StagedFile) -> PlannedFile:
    """Only a single file's upload can be continued by somebody who knows the file alone; a bundle is made anew."""
    if row.path.endswith("/"):
        return PlannedFile(row.path, UNREAD)
    if row.blob_id is not None:
        return PlannedFile(row.path, STORED)
    upload = row.upload
    if upload is None or upload.kind != Upload.Kind.FILE or upload.status not in UNFINISHED:
        return PlannedFile(row.path, NEEDED)
    return PlannedFile(row.path, PARTIAL, upload.pk, content.arrived_bytes(upload.pk, upload.size))
