"""The lister: walks the remote path page by page, and stages what it finds.

Each page is one transaction, with the cursor after it: so a crash goes on where it was, and nothing is there twice.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from django.conf import settings

from datasets_app.models import Import, StagedFile, Upload
from datasets_app.models.bulk import insert_rows
from datasets_app.services.import_known import find_known
from datasets_app.services.import_parts import PartFile, insert_parts
from datasets_app.services.import_paths import Refusal, place_files, printable, same_path
from datasets_app.services.import_record import changing, note_refusals
from datasets_app.services.staged import most_path_bytes
from datasets_app.services.uploads import end_uploads
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import StoppedError
from datasets_app.store.paths import parents, to_key
from datasets_app.store.patterns import Patterns

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterator

    from datasets_app.services.import_paths import Placed
    from datasets_app.services.import_watch import Watch
    from datasets_app.sources.base import Page, SourceFile, Tree

# A store whose pages stay empty for so long will never say anything.
MOST_EMPTY_PAGES: Final = 1000
MOST_EMPTY_SECONDS: Final = 900.0
LOOKED_UP: Final = 1000
IS_A_FOLDER: Final = "It would be a file and a folder at once: other keys lie below it."


def list_files(run: Import, lease: uuid.UUID, tree: Tree, watch: Watch, *, wake: Callable[[], None]) -> None:
    """Stage page after page until the listing ends, or this turn; `wake` is called when there is something to copy.

    Raises SourceError where the listing can't go on, StoppedError when it must not.
    """
    patterns = Patterns(include=run.include, exclude=run.exclude)
    pages = PageReader(tree, run.cursor)
    # However long the store took to open, every turn comes further by a page.
    cursor, is_amid = run.cursor, True
    with ThreadPoolExecutor(1, thread_name_prefix="list") as pool:
        try:
            coming = pool.submit(watch.patience.call, pages.read)
            while (is_amid or not watch.is_over) and (page := watch.wait(coming)) is not None:
                # The next one is on its way while this one is written down.
                coming = pool.submit(watch.patience.call, pages.read)
                if _stage_page(run, lease, page, patterns, pinned=tree.revision):
                    wake()
                # Amid pages that hold nothing, there is no cursor to go on from: another turn would begin before them.
                is_amid, cursor = not page.files and page.cursor == cursor, page.cursor
                watch.tick()
            if coming.done() and coming.result() is None:
                _end_listing(run, lease, pinned=tree.revision)
        finally:
            watch.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


class PageReader:
    """Gives page after page; after an error it goes on behind the last one. Not to be used from two threads at once."""

    def __init__(self, tree: Tree, after: str = "") -> None:
        """Begin `after` a page's cursor."""
        self._tree = tree
        self._after = after
        self._pages: Iterator[Page] | None = None
        self._empty = 0
        self._moved_at = time.monotonic()

    def read(self) -> Page | None:
        """Return the next page, None after the last. Raises SourceError."""
        if self._pages is None:
            self._pages = self._tree.list_files(after=self._after)
        try:
            page = next(self._pages, None)
        except SourceError:
            self._pages = None
            raise
        if page is not None:
            self._refuse_circles(page)
            self._after = page.cursor
        return page

    def _refuse_circles(self, page: Page) -> None:
        now = time.monotonic()
        self._empty, self._moved_at = (0, now) if page.files else (self._empty + 1, self._moved_at)
        is_silent = self._empty > MOST_EMPTY_PAGES or (self._empty and now - self._moved_at > MOST_EMPTY_SECONDS)
        if is_silent or (page.files and page.cursor and page.cursor == self._after):
            raise SourceError(Cause.INVALID, "The store's listing does not come to an end: it repeats itself.")


def _stage_page(run: Import, lease: uuid.UUID, page: Page, patterns: Patterns, *, pinned: str) -> bool:
    """Write one page down; tell whether there is something in it to copy."""
    placed = place_files(page.files, patterns=patterns, prefix=run.prefix, limit=most_path_bytes())
    with changing(run.pk) as now:
        if now.lease_token != lease or now.connection is None:
            raise StoppedError
        replaced = _make_room(now, placed)
        known = find_known(now.connection, now.source_path, placed.files)
        _insert_staged(now, placed.files, known)
        needed = [PartFile(path, file) for path, file in placed.files.items() if path not in known]
        insert_parts(now.pk, needed, after=now.cursor)
        note_refusals(now, placed.refused)
        if page.cursor != now.cursor:
            # It goes on: what did not answer an hour ago counts no more.
            now.outages = 0
        now.cursor, now.pinned = page.cursor, pinned
        now.listed_files += len(placed.files)
        now.listed_size += sum(file.size for file in placed.files.values())
        now.skipped_files += placed.skipped
        now.linked_files += len(known)
        now.linked_size += sum(placed.files[path].size for path in known)
        total = now.listed_files + now.skipped_files + now.refused_files
        if total > settings.IMPORT_MAX_FILES:
            raise SourceError(
                Cause.INVALID,
                f"There are more than {settings.IMPORT_MAX_FILES:,} objects at this path. Import parts of it by "
                "themselves, or ask your operator to raise IMPORT_MAX_FILES.",
            )
    end_uploads(replaced)
    return bool(needed)


def _end_listing(run: Import, lease: uuid.UUID, *, pinned: str) -> None:
    with changing(run.pk) as now:
        if now.lease_token != lease:
            raise StoppedError
        now.is_listed, now.status, now.pinned = True, Import.Status.COPYING, pinned


def _make_room(run: Import, placed: Placed) -> list[uuid.UUID]:
    """Refuse what this import has staged under the same path before; replace what others had.

    Returns uploads that nobody needs any more.
    """
    rows = run.version.staged.filter(path__in=list(placed.files)).select_related("upload")
    replaced: list[StagedFile] = []
    for row in rows:
        if row.pk > run.first_staged:
            file = placed.files.pop(row.path)
            placed.refused.append(Refusal(printable(file.key), same_path(f"another one at {row.path}"), row.path))
        else:
            replaced.append(row)
    for path in _folders_among(run, placed.files):
        refused = placed.files.pop(path, None)
        placed.refused.append(Refusal(printable(refused.key) if refused else path, IS_A_FOLDER, path))
    StagedFile.objects.filter(pk__in=[row.pk for row in replaced]).delete()
    return [row.upload.pk for row in replaced if row.upload is not None and row.upload.kind == Upload.Kind.FILE]


def _folders_among(run: Import, files: dict[str, SourceFile]) -> list[str]:
    """Paths of files, of this page or staged before, below which this page has others; staged ones are removed.

    A file that comes after what lies below it is found by the seal: in listings by key that can't be.
    """
    above = sorted({folder for path in files for folder in parents(path)})
    clashing = [folder for folder in above if folder in files]
    for start in range(0, len(above), LOOKED_UP):
        rows = run.version.staged.filter(path__in=above[start : start + LOOKED_UP])
        staged = dict(rows.values_list("path", "pk"))
        clashing += staged
        StagedFile.objects.filter(pk__in=staged.values()).delete()
    return clashing


def _insert_staged(run: Import, files: dict[str, SourceFile], known: dict[str, int]) -> None:
    insert_rows(
        StagedFile,
        ("version_id", "path", "size", "sha256", "blob_id", "offset", "error"),
        (
            (run.version_id, to_key(path), file.size, file.sha256, known.get(path), 0, "")
            for path, file in files.items()
        ),
    )
