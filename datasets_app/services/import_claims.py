"""The parts of an import that one worker has in its hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from django.conf import settings

from datasets_app.models import ImportPart
from datasets_app.services.import_parts import PartFiles, unpack_files
from datasets_app.services.import_record import HeldPart
from datasets_app.services.staged import find_staged
from datasets_app.sources.base import Cause, SourceError
from datasets_app.store.paths import from_key

if TYPE_CHECKING:
    import uuid

    from datasets_app.services.import_parts import PartFile
    from datasets_app.services.import_watch import Watch

# After so many workers that died over one part, a person has to look.
MOST_DEATHS: Final = 20
# What `attempts` says of a part that was given back in good order: it was begun, and no worker died over it.
GIVEN_BACK: Final = 1


class Claimed(NamedTuple):
    """A part with what is left of it: `needed` are those of its files that have neither come nor failed."""

    held: HeldPart
    files: PartFiles
    needed: list[PartFile]
    staged_as: uuid.UUID | None
    staged_size: int


class Claims:
    """Takes the parts of an import one by one, and gives back what is not done."""

    def __init__(self, run_id: int, version_id: int, watch: Watch) -> None:
        """Hold none yet."""
        self._run_id = run_id
        self._version_id = version_id
        self._watch = watch
        self._held: dict[int, HeldPart] = {}

    def take(self) -> Claimed | None:
        """Take the next part that nobody holds; None when there is none at present."""
        found = self._claim()
        if found is None:
            return None
        pk, token = found
        mine = ImportPart.objects.filter(pk=pk)
        part = mine.get()
        held = HeldPart(pk, token, left=0)
        self._held[pk] = held
        self._watch.hold(mine, token)
        if part.attempts > MOST_DEATHS:
            raise SourceError(Cause.INVALID, f"{MOST_DEATHS} workers died over the same files of it.")
        files = unpack_files(bytes(part.files))
        needed = self._needed(held, files.files)
        held.left = len(needed)
        return Claimed(held, files, needed, part.staged_as, part.staged_size)

    def _claim(self) -> tuple[int, uuid.UUID] | None:
        free = ImportPart.objects.waiting().filter(run=self._run_id).unleased().order_by("id")
        while (pk := free.values_list("pk", flat=True).first()) is not None:
            token = ImportPart.objects.waiting().filter(pk=pk).claim(seconds=settings.LEASE_SECONDS)
            if token is not None:
                return pk, token
        return None

    def forget_closed(self) -> None:
        """Hold no more what is done."""
        for held in [held for held in self._held.values() if held.left == 0]:
            self._watch.let_go(held.token)
            del self._held[held.pk]

    def give_back(self) -> None:
        """Let others have what is not done."""
        for held in self._held.values():
            self._watch.let_go(held.token)
            ImportPart.objects.filter(pk=held.pk).release(held.token, attempts=GIVEN_BACK)
        self._held.clear()

    def _needed(self, held: HeldPart, files: list[PartFile]) -> list[PartFile]:
        """Leave out what came before, what failed, and what somebody has declared anew meanwhile."""
        columns = ("path", "size", "error", "blob_id", "upload_id")
        found = find_staged(self._version_id, [file.path for file in files], columns)
        open_files = {
            from_key(key): (size, error) for key, size, error, blob, upload in found if blob is None and upload is None
        }
        held.has_failed = any(error for _, error in open_files.values())
        return [file for file in files if open_files.get(file.path) == (file.source.size, "")]
