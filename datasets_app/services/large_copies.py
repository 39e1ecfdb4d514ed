"""Large files: fetched in ranges by many threads, hashed in their order, each stored by itself."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING, Final

from datasets_app.models import ImportPart
from datasets_app.services import content
from datasets_app.services.content import Slice
from datasets_app.services.copy_turn import CopyTurn, Unit
from datasets_app.services.fetching import Again, fetch_range
from datasets_app.services.import_record import Copied, Failed, HeldPart, StoredBytes, link_file
from datasets_app.services.landing import LargeFile
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import OutageError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datasets_app.services.import_claims import Claimed

RANGE_BYTES: Final = 8 * 2**20
# Of these, a second try from the beginning may come to a good end.
ONCE_MORE: Final = frozenset({Cause.CHANGED, Cause.DAMAGED})


class LargeCopies:
    """The large files of one turn. `again` gives the units of those that are fetched once more."""

    def __init__(self, turn: CopyTurn, *, fail: Callable[[HeldPart, Failed], None]) -> None:
        """Call `fail` for what could not be had."""
        self._turn = turn
        self._fail = fail
        self.again: list[Iterator[Unit]] = []

    def begin(self, claimed: Claimed) -> Iterator[Unit]:
        """Give the units of a part that is one large file; none where the team turns out to have its bytes."""
        turn = self._turn
        file = claimed.needed[0]
        looked = file.source
        try:
            looked = turn.ask(turn.tree.look_up, file.source)
        except SourceError:
            # What it could have told is of use, but not needed; reading it will tell what is wrong.
            pass
        except OutageError as error:
            turn.sort_error(error)
            return
        if looked.sha256 is not None and link_file(
            turn.run_id, part=claimed.held, path=file.path, size=looked.size, sha256=looked.sha256
        ):
            turn.claims.forget_closed()
            turn.has_begun = True
            return
        large = LargeFile(claimed.held, file, staged_as=claimed.staged_as, staged_size=claimed.staged_size)
        large.start(looked)
        turn.watch.wait(turn.writer.submit(large.rehash))
        yield from self._ranges(large, Again(turn.tree, turn.watch.patience, claimed.files))

    def _ranges(self, large: LargeFile, again: Again) -> Iterator[Unit]:
        """Give one unit for each range, and one of no bytes for the end."""
        turn = self._turn
        size = large.source.size
        for offset in range(large.resume_at, size, RANGE_BYTES):
            # A turn that is over by time still brings the file that it has begun to its end.
            if large.error is not None or turn.end is not None:
                break
            length = min(RANGE_BYTES, size - offset)
            future = turn.pool.submit(fetch_range, turn.tree, turn.watch.patience, large, offset, length)
            yield Unit(length, future, partial(self._take_range, large))
        over: Future[None] = Future()
        over.set_result(None)
        yield Unit(0, over, partial(self._take_end, large, again))

    def _take_range(self, large: LargeFile, unit: Unit) -> None:
        try:
            data = unit.future.result()
        except (SourceError, OutageError, StoppedError, CancelledError) as error:
            large.error = large.error or error
            return
        if large.error is None:
            large.hash(data)
            self._keep_durable(large)

    def _keep_durable(self, large: LargeFile) -> None:
        """Write down now and then how much of the file a later try need not fetch."""
        if large.syncing is not None and large.syncing.done():
            large.durable = large.syncing.result()
            large.syncing = None
            large.is_kept = bool(
                ImportPart.objects.filter(pk=large.part.pk, lease_token=large.part.token).update(
                    staged_as=large.pack_id, staged_size=large.durable
                )
            )
        if large.syncing is None and large.is_worth_syncing:
            large.syncing = self._turn.writer.submit(large.sync)

    def _take_end(self, large: LargeFile, again: Again, _unit: Unit) -> None:
        turn = self._turn
        error = large.error
        if error is None and large.hashed < large.source.size:
            # The turn ends before all ranges were asked for.
            error = StoppedError()
        try:
            copied = large.finish() if error is None else None
        except SourceError as damaged:
            copied, error = None, damaged
        if copied is not None:
            self._store(large, copied)
            return
        own = turn.sort_error(error) if error is not None else None
        if own is not None and own.cause in ONCE_MORE and not large.is_restarted and turn.end is None:
            self._restart(large, again, own)
        else:
            self._give_up(large, own)

    def _restart(self, large: LargeFile, again: Again, error: SourceError) -> None:
        """Fetch it from the beginning, as it is now."""
        turn = self._turn
        fresh = large.source
        if error.cause == Cause.CHANGED:
            try:
                fresh = turn.watch.wait(turn.pool.submit(again.look, large.source))
            except (SourceError, OutageError) as found:
                self._give_up(large, turn.sort_error(found))
                return
        mine = ImportPart.objects.filter(pk=large.part.pk, lease_token=large.part.token)
        mine.update(staged_as=None, staged_size=0)
        large.restart(fresh)
        self.again.append(self._ranges(large, again))

    def _give_up(self, large: LargeFile, own: SourceError | None) -> None:
        """Fail the file, if that is its own fault; otherwise keep what a later try can go on with."""
        if own is not None:
            self._fail(large.part, Failed(large.file.path, large.source.key, own))
        if own is not None or not large.is_kept:
            large.discard()

    def _store(self, large: LargeFile, copied: Copied) -> None:
        def write(everything: bool) -> StoredBytes:  # noqa: FBT001 - of two calls, one says True
            if not everything and content.find_blobs([copied.sha256]):
                return StoredBytes(known={copied.sha256})
            content.reserve_pack(pack_id=large.pack_id, size=large.source.size)
            return StoredBytes(large.pack_id, [Slice(copied.sha256, large.source.size, 0)])

        large.part.left = 0
        self._turn.store(write, copied=[copied], parts=[large.part])
        large.discard()
