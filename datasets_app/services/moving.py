"""Change what an open version takes from its base: move and rename files and folders, and undo single changes.

No bytes move and no tree is read: a moved folder is one row that says where it hangs, a moved file is a staged file
that has the base's blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Q

from datasets_app.errors import AppError, Conflict, ErrorItem, Invalid, NotFound
from datasets_app.models import StagedFile, StagedMove, StagedRemoval, Upload, User, Version
from datasets_app.models.fields import below
from datasets_app.permissions import require
from datasets_app.services.pending import Found, PendingTree, at_or_below
from datasets_app.services.staged import legal_path, lock_open, most_path_bytes, reopen
from datasets_app.services.uploads import end_uploads
from datasets_app.services.walking import longest_path
from datasets_app.store.paths import parents, to_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from django.db import models

MOST_AT_ONCE = 1000
MOST_MOVES = 10_000


class Move(NamedTuple):
    """From where to where: both paths in full, as they are before and after. A "/" at the end means a folder."""

    source: str
    target: str


def move_paths(actor: User, *, version: Version, moves: Sequence[Move]) -> int:
    """Move or rename files and folders of an open version, one after the other; all of them, or none.

    Returns how many moved: what is at its target already is left alone, so the same may be asked twice. Raises NotFound
    for what is not there, Conflict where the target is taken, Invalid for paths that can't be; each names the path.
    """
    require(actor, "version.fill", version)
    _check_count(len(moves), "moves")
    limit = most_path_bytes()
    wanted = [Move(*(legal_path(path.removesuffix("/"), limit=limit) for path in move)) for move in moves]
    with transaction.atomic():
        mover = _Mover(_lock(version))
        done = 0
        for given, move in zip(moves, wanted, strict=True):
            done += mover.move(move, is_folder=given.source.endswith("/"))
        if version.moves.count() > MOST_MOVES:
            raise Conflict(
                f"{version.label} has more than {MOST_MOVES} pending moves. Move whole folders, or seal first."
            )
        if done:
            reopen(version)
    return done


def undo_changes(actor: User, *, version: Version, paths: Sequence[str]) -> int:
    """Take back what is pending at these paths, as `list_changes` names them; "dir/" also what was added in a folder.

    A moved file or folder goes back to where it was, a removed one is there again, a new one is dropped. Returns how
    many changed. Raises Conflict, with the path, where something else stands in the way.
    """
    require(actor, "version.fill", version)
    _check_count(len(paths), "paths")
    limit = most_path_bytes()
    uploads: list[uuid.UUID] = []
    with transaction.atomic():
        mover = _Mover(_lock(version))
        done = 0
        for path in paths:
            done += mover.undo(
                legal_path(path.removesuffix("/"), limit=limit), is_folder=path.endswith("/"), ended=uploads
            )
        if done:
            reopen(version)
    end_uploads(uploads)
    return done


def undo_all(actor: User, *, version: Version) -> None:
    """Take back everything that is pending: the version is its base again."""
    require(actor, "version.fill", version)
    with transaction.atomic():
        _lock(version)
        uploads = list(version.uploads.filter(kind=Upload.Kind.FILE).values_list("pk", flat=True))
        for rows in (version.staged, version.removals, version.moves):
            rows.all().delete()
        reopen(version)
    end_uploads(uploads)


def _check_count(count: int, field: str) -> None:
    if not 1 <= count <= MOST_AT_ONCE:
        raise Invalid(
            f"From 1 to {MOST_AT_ONCE} {field} at a time.", errors=[{"field": field, "detail": f"{count} {field}"}]
        )


def _lock(version: Version) -> Version:
    locked = lock_open(version)
    if locked.status == Version.Status.SYNCING:
        raise Conflict(f"An import is bringing files into {locked.label}. Wait until it has ended, or cancel it.")
    return version


class _Mover:
    """The changes of one request; the version is locked."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.tree = PendingTree(version)

    def move(self, move: Move, *, is_folder: bool) -> bool:
        """Move one thing; False when it is there already."""
        source, target = move
        if source == target:
            raise _error(Invalid, source, "It has this name already.")
        found = self.tree.find(source)
        if found is None or (is_folder and not found.is_directory):
            if self._was_moved(source, target):
                return False
            kind = "folder" if is_folder else "file or folder"
            raise _error(NotFound, source, f"There is no such {kind} in {self.version.label} as it is now.")
        if found.is_directory and target.startswith(f"{source}/"):
            raise _error(Conflict, target, f"The folder {source} can't be moved into itself.")
        self._refuse_taken(target)
        if found.is_directory:
            self._move_folder(source, target, found)
        else:
            self._move_file(source, target, found)
        return True

    def undo(self, path: str, *, is_folder: bool, ended: list[uuid.UUID]) -> bool:
        """Take one change back; False when nothing is pending there."""
        tree = self.tree
        if (path in tree.files and not is_folder) or path in tree.folders:
            return self._put_back(path)
        staged = self.version.staged.filter(path=path).select_related("upload").first() if not is_folder else None
        if staged is not None:
            ended += _lone_uploads([staged])
            staged.delete()
            if (tree.layer(path, above=True).place, path) not in tree.departures():
                self.version.removals.filter(path=path).delete()
            return True
        departed = tree.departures().get((tree.layer(path, above=True).place, path))
        if departed is not None:
            return self._put_back(departed)
        for row, folder in ((f"{path}/", True), (path, False)):
            if (folder or not is_folder) and self.version.removals.filter(path=row).exists():
                self._restore(path, is_folder=folder)
                return True
        return is_folder and self._drop_added(path, ended)

    def _was_moved(self, source: str, target: str) -> bool:
        row = self.tree.folders.get(target) or self.tree.files.get(target)
        return row is not None and self.tree.place_of(row.origin) == source

    def _refuse_taken(self, target: str) -> None:
        there = self.tree.find(target)
        if there is not None:
            kind = "folder" if there.is_directory else "file"
            raise _error(Conflict, target, f"There is a {kind} of this name. Remove it first, or choose another name.")
        for folder in reversed(parents(target)):
            above = self.tree.find(folder)
            if above is not None:
                if not above.is_directory:
                    raise _error(Conflict, target, f"{folder} is a file: nothing can lie below it.")
                return

    def _move_file(self, source: str, target: str, found: Found) -> None:
        tree = self.tree
        lower = tree.nodes([source]).get(source)
        origin = tree.layer(source).base_path
        if found.staged is not None:
            if found.staged.blob_id is None:
                raise _error(Conflict, source, "Its bytes have not arrived yet. Send it again, or leave it out.")
            marker = tree.files.pop(source, None)
            self.version.moves.filter(path=source).delete()
            found.staged.path = target
            found.staged.save(update_fields=["path"])
            if lower is not None and not lower.is_directory:
                self._hide(source)
            if marker is None:
                return
            origin = marker.origin
        elif found.node is not None:
            node = found.node
            StagedFile.objects.create(
                version=self.version, path=target, size=node.size, sha256=node.digest, blob_id=node.ref
            )
            self._hide(source)
        if tree.place_of(origin) == target and not tree.hidden([target], by_parents=True):
            # Back where it was: the base has it.
            self.version.staged.filter(path=target).delete()
            self.version.removals.filter(path=target).delete()
            return
        self.version.moves.filter(path=target).delete()
        tree.files[target] = StagedMove.objects.create(version=self.version, path=target, origin=origin)

    def _move_folder(self, source: str, target: str, found: Found) -> None:
        tree, version = self.tree, self.version
        if version.staged.missing().filter(Q(path=f"{source}/") | below(source)).exists():
            raise _error(Conflict, source, "Files in it have not arrived yet. Send them again, or leave them out.")
        self._check_lengths(source, target, found)
        origin = tree.layer(source).base_path
        row = tree.folders.get(source)
        if row is not None:
            origin = row.origin
        # Nothing is at the target, so what was removed below it is gone as a whole.
        version.removals.filter(below(target)).delete()
        lower = tree.nodes([target]).get(target)
        if lower is not None and lower.is_directory:
            self._hide(f"{target}/")
        self._take_along(source, target, has_base=found.node is not None)
        if row is not None:
            del tree.folders[source]
            StagedMove.objects.filter(pk=row.pk).delete()
        if found.node is None:
            return
        if row is None:
            self._hide(f"{source}/")
        elif tree.place_of(origin) == target and not tree.hidden([target], by_parents=True):
            version.removals.filter(path=f"{target}/").delete()
            return
        tree.folders[target] = StagedMove.objects.create(
            version=version, path=target, origin=origin, directory_id=found.node.ref
        )

    def _take_along(self, source: str, target: str, *, has_base: bool) -> None:
        """Let everything pending below a folder follow it; removals from what is not moved stay behind."""
        version, tree = self.version, self.tree
        inside = f"{source}/"
        hanging = [] if has_base else [place for place in tree.folders if place.startswith(inside)]
        for folder in [source] if has_base else hanging:
            _rebase(StagedRemoval, version, folder, target + folder[len(source) :])
        _rebase(StagedFile, version, source, target)
        _rebase(StagedMove, version, source, target)
        for rows in (tree.folders, tree.files):
            for path in [path for path in rows if path.startswith(inside)]:
                moved = rows.pop(path)
                moved.path = target + path[len(source) :]
                rows[moved.path] = moved

    def _check_lengths(self, source: str, target: str, found: Found) -> None:
        """Refuse a place so deep that paths below it become too long."""
        longer = len(target.encode()) - len(source.encode())
        if longer <= 0:
            return
        limit = most_path_bytes()
        longest = len(source.encode()) + 1 + (longest_path(found.node.ref) if found.node is not None else 0)
        with connection.cursor() as cursor:
            measure = "octet_length(path)" if connection.vendor == "postgresql" else "length(CAST(path AS BLOB))"
            cursor.execute(
                f"SELECT max({measure}) FROM {StagedFile._meta.db_table} "  # noqa: S608 - our own names
                "WHERE version_id = %s AND path > %s AND path < %s",
                [self.version.pk, *_bounds(source)],
            )
            (staged,) = cursor.fetchone() or (0,)
        if max(longest, staged or 0) + longer > limit:
            raise _error(Invalid, target, f"Paths below it would be longer than {limit} bytes.")

    def _put_back(self, path: str) -> bool:
        """Undo a move."""
        tree = self.tree
        is_folder = path in tree.folders
        row = tree.folders[path] if is_folder else tree.files[path]
        home = tree.place_of(row.origin)
        if home == path or tree.hidden([home], by_parents=True):
            folder = home.rpartition("/")[0]
            raise _error(Conflict, path, f"It was in {folder}, which was removed. Undo that first.")
        if home.startswith(f"{path}/") or path.startswith(f"{home}/"):
            # Out of the way first, so that it does not stand in its own.
            aside = uuid4().hex
            self.move(Move(path, aside), is_folder=is_folder)
            path, home = aside, tree.place_of(row.origin)
        if home.startswith(f"{path}/"):
            raise _error(Conflict, path, f"It was in {row.origin}, which now lies inside of it. Undo that move first.")
        try:
            self._refuse_taken(home)
        except Conflict as error:
            detail = f"It can't go back to {home}: something else is there now. Undo that first, or move it away."
            raise _error(Conflict, path, detail) from error
        found = tree.find(path)
        if found is None:
            # All of the folder was removed after it was moved: only the row is left.
            self.version.removals.filter(Q(path=f"{home}/") | below(path)).delete()
            StagedMove.objects.filter(pk=row.pk).delete()
            del tree.folders[path]
        elif is_folder:
            self._move_folder(path, home, found)
        else:
            self._move_file(path, home, found)
        return True

    def _restore(self, path: str, *, is_folder: bool) -> None:
        """Undo a removal: of what was moved out of the folder, nothing comes back twice."""
        tree, version = self.tree, self.version
        taken = None
        if is_folder:
            inside = [place for place in tree.folders if place == path or place.startswith(f"{path}/")]
            departed = tree.departures()
            under = {place: tree.layer(place, above=True).place for place in inside}
            there = [place for place in tree.nodes(inside, above=True) if (under[place], place) not in departed]
            taken = path if version.staged.filter(path=path).exists() else next(iter(there), None)
        elif tree.has_new(path):
            taken = path
        if taken is None and tree.hidden([path], by_parents=True):
            detail = "A folder above it was removed too. Undo that instead."
            raise _error(Conflict, path, detail)
        if taken is not None:
            raise _error(Conflict, path, f"Something else is at {taken} now. Undo that first.")
        version.removals.filter(path=f"{path}/" if is_folder else path).delete()
        if is_folder:
            mine = tree.layer(path, above=True).place
            for (layer, place), now in tree.departures().items():
                if layer == mine and place.startswith(f"{path}/"):
                    self._hide(f"{place}/" if now in tree.folders else place)

    def _drop_added(self, path: str, ended: list[uuid.UUID]) -> bool:
        """Drop the new files below a folder, and that it could not be read; moved ones stay."""
        new = self.version.staged.filter(Q(path=f"{path}/") | below(path)).exclude(path__in=list(self.tree.files))
        lone = Upload.objects.filter(pk__in=new.values("upload"), kind=Upload.Kind.FILE)
        ended += lone.values_list("pk", flat=True)
        return new.delete()[0] > 0

    def _hide(self, path: str) -> None:
        StagedRemoval.objects.get_or_create(version=self.version, path=path)


def forget_moves(version: Version, files: Sequence[str], folders: Sequence[str]) -> None:
    """Let go of moves to paths that are being removed, inside the caller's transaction, and of removals below them."""
    moves = version.moves.all()
    if files:
        moves.filter(path__in=files, directory=None).delete()
    for folder in folders:
        moves.filter(at_or_below(folder)).delete()
        version.removals.filter(below(folder)).delete()


def _error(kind: type[AppError], path: str, detail: str) -> AppError:
    item: ErrorItem = {"path": path, "detail": detail}
    return kind(f"{path}: {detail}", errors=[item])


def _lone_uploads(rows: Sequence[StagedFile]) -> list[uuid.UUID]:
    return [row.upload.pk for row in rows if row.upload is not None and row.upload.kind == Upload.Kind.FILE]


def _bounds(folder: str) -> tuple[str, str]:
    key = to_key(folder)
    return f"{key}\x01", f"{key}\x02"


def _rebase(model: type[models.Model], version: Version, source: str, target: str) -> None:
    """Let all paths below a folder begin with another one."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {model._meta.db_table} SET path = %s || substr(path, %s) "  # noqa: S608 - our own names
            "WHERE version_id = %s AND path > %s AND path < %s",
            [to_key(target), len(source) + 1, version.pk, *_bounds(source)],
        )
