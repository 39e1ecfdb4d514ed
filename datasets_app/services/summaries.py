"""Summaries of versions: made once for each tree, in the background, in short turns that any worker takes up."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils import timezone

from datasets_app.errors import Unavailable
from datasets_app.models import Directory, Summary
from datasets_app.models.lease import LeaseLostError
from datasets_app.permissions import require
from datasets_app.queue import enqueue
from datasets_app.services.counting import count_files
from datasets_app.services.findings import Finding, note, read_findings
from datasets_app.services.looking import SHOWN_COLUMNS, SIDES, batches, compare_schemas, glance_at, take_in
from datasets_app.services.slots import hold_slot
from datasets_app.services.walking import walk_files

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from datasets_app.models import User, Version
    from datasets_app.services.walking import WalkedFile

logger = logging.getLogger(__name__)

TASK: Final = "datasets_app.summarize"
# Grows when a summary says something else of the same files.
EDITION: Final = 1
# A turn; then a worker does what else there is to do, and somebody goes on.
TURN_SECONDS: Final = 60
# One at a time on a machine: seals and imports need the other workers.
TURNS_AT_ONCE: Final = 1
MOST_ERRORS: Final = 3
MOST_DEATHS: Final = 5
# State is written so often while files are looked into.
SAVE_SECONDS: Final = 3
SHOWN_SIZES: Final = 5
SHOWN_SCHEMAS: Final = 10


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """What is known of a version's files. Sizes are bytes.

    `status` is waiting, running (then `progress` is a percentage), finished or failed; `figures` and `findings` grow
    meanwhile. `looked` of `file_count` files were looked into; `is_sample` says that not all of them will be.
    """

    status: str
    progress: int
    file_count: int
    looked: int
    is_sample: bool
    figures: dict[str, Any]
    findings: list[Finding]
    error: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it is still being made."""
        return self.status in Summary.ACTIVE

    @property
    def warnings(self) -> int:
        """How many kinds of findings ask for attention."""
        return sum(finding.level != "info" for finding in self.findings)


def describe_version(actor: User, *, version: Version, wake: bool = True) -> VersionSummary | None:
    """Return the summary of a sealed version, as far as it is made; None of one that is not sealed.

    Where nobody has begun one, `wake` begins it at once: somebody waits for it.
    """
    require(actor, "version.view", version)
    if version.root is None:
        return None
    row = Summary.objects.filter(digest=version.root.digest, edition=EDITION).first()
    if row is None and wake:
        row = want_summary(version.root)
    if row is not None and wake and row.status == Summary.Status.WAITING:
        enqueue(TASK)
    if row is None:
        return VersionSummary("waiting", 0, version.file_count, 0, is_sample=False, figures={}, findings=[])
    return _read(row, version.file_count)


def want_summary(root: Directory) -> Summary:
    """Ask for the summary of a tree; nothing happens where there is one already.

    The reaper begins it a while later: what its owners do next, such as sending another version, goes first.
    """
    row, _is_new = Summary.objects.get_or_create(digest=root.digest, defaults={"edition": EDITION})
    if row.edition < EDITION:
        fresh = {"status": "waiting", "phase": "count", "position": 0, "state": {}, "attempts": 0, "error": ""}
        Summary.objects.filter(pk=row.pk, edition=row.edition).update(edition=EDITION, **fresh)
        row.refresh_from_db()
    return row


def wake_summaries() -> None:
    """Wake a worker when summaries wait, or lost theirs."""
    if Summary.objects.active().unleased().exists():
        enqueue(TASK)


def forget_summaries() -> int:
    """Remove the summaries of trees that are no longer there; return how many."""
    return Summary.objects.exclude(digest__in=Directory.objects.values("digest")).delete()[0]


def run_summaries(*, seconds: float = TURN_SECONDS) -> None:
    """Go on, for about so long, with the summary that waits longest. May run twice and may die anywhere."""
    with hold_slot("summary", TURNS_AT_ONCE) as is_free:
        if not is_free:
            return
        # Those that wait for their first turn come first: a small version does not wait for a large one to be done.
        row = Summary.objects.active().unleased().order_by("-status", "pk").first()
        if row is not None:
            _run(row.pk, seconds)
    wake_summaries()


def _run(row_id: int, seconds: float) -> None:
    mine = Summary.objects.filter(pk=row_id)
    lease = mine.active().claim(seconds=settings.LEASE_SECONDS, status=Summary.Status.RUNNING)
    if lease is None:
        return
    row = mine.get()
    root = Directory.objects.filter(digest=row.digest).first()
    if root is None:
        mine.delete()
        return
    if row.attempts > MOST_DEATHS:
        _give_up(row, lease, f"{MOST_DEATHS} workers died while they made it, perhaps of the size of a file.")
        return
    try:
        _Turn(row, root, lease, seconds).work()
    except LeaseLostError:
        logger.info("%s was taken over", row)
    except Exception as error:
        logger.exception("%s failed", row)
        state = Summary.objects.get(pk=row_id).state
        errors = state.get("errors", 0) + 1
        if errors >= MOST_ERRORS:
            _give_up(row, lease, f"It could not be made ({type(error).__name__}); the operator finds more in the log.")
        else:
            mine.release(lease, state={**state, "errors": errors})


def _give_up(row: Summary, lease: uuid.UUID, why: str) -> None:
    changes = {"status": Summary.Status.FAILED, "error": why, "finished_at": timezone.now()}
    Summary.objects.filter(pk=row.pk).release(lease, **changes)


class _Turn:
    """Some work at one summary, under a lease that is renewed on the way."""

    def __init__(self, row: Summary, root: Directory, lease: uuid.UUID, seconds: float) -> None:
        self._row = row
        self._root = root
        self._lease = lease
        self._mine = Summary.objects.filter(pk=row.pk)
        self._end = time.monotonic() + seconds
        self._renewed = self._saved = time.monotonic()

    def work(self) -> None:
        """Count, then look into files until the time is over or all are done."""
        if self._row.phase == Summary.Phase.COUNT:
            figures = count_files(self._root, beat=self.beat)
            self._row.figures = figures
            self._row.phase = Summary.Phase.LOOK
            self._save(figures=figures, phase=Summary.Phase.LOOK, position=0, state={})
            self._row.state = {}
        if self._look():
            figures = _complete(self._row.figures, self._row.state)
            done = self._mine.release(
                self._lease,
                status=Summary.Status.FINISHED,
                figures=figures,
                state={},
                position=self._root.file_count,
                finished_at=timezone.now(),
            )
            if not done:
                raise LeaseLostError
        else:
            self._save_state()
            # It got somewhere: only workers that die one after the other count.
            self._mine.release(self._lease, attempts=0)

    def beat(self) -> None:
        """Keep the lease."""
        if time.monotonic() - self._renewed > settings.LEASE_SECONDS / 4:
            if not self._mine.renew(self._lease, seconds=settings.LEASE_SECONDS):
                raise LeaseLostError
            self._renewed = time.monotonic()

    def _look(self) -> bool:
        """Go on where the row says; whether the end was reached."""
        for batch in batches(self._chosen()):
            files = [file for _, file in batch]
            glances = glance_at(files)
            if len(files) > 1 and all(glance.get("is_lost") for glance in glances):
                # Not the files are to blame, but this machine, or the store.
                raise Unavailable(str(glances[0]["problem"]))
            for file, glance in zip(files, glances, strict=True):
                take_in(self._row.state, file.path, glance)
            self._row.position = batch[-1][0] + 1
            self.beat()
            if time.monotonic() > self._end:
                return False
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save_state()
        return True

    def _chosen(self) -> Iterator[tuple[int, WalkedFile]]:
        """Yield the files from the position on, with their numbers: all, or as many as may be, evenly spread."""
        total, most = self._root.file_count, settings.SUMMARY_FILES
        start = self._row.position
        for number, file in enumerate(walk_files(self._root, skip=start), start):
            if number % 1000 == 0:
                self.beat()
            if file.size and number * most % total < most:
                yield number, file

    def _save_state(self) -> None:
        self._save(position=self._row.position, state=self._row.state)
        self._saved = time.monotonic()

    def _save(self, **changes: Any) -> None:
        if not self._mine.filter(lease_token=self._lease).update(**changes):
            raise LeaseLostError


def _complete(figures: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Put together what was counted and what was seen."""
    findings = {name: {**found, "places": list(found["places"])} for name, found in figures["findings"].items()}
    for name, found in state.get("findings", {}).items():
        _merge(findings, name, found)
    compare_schemas(state, findings)
    licences = state.get("licences", {})
    named = [[path, licences.get(path, "")] for path, _ in figures["licences"]]
    named += [[path, name] for path, name in licences.items() if [path, ""] not in figures["licences"]]
    if not named:
        note(findings, "licence", "", "")
    return {
        **figures,
        "licences": named,
        "findings": findings,
        "looked": state.get("looked", 0),
        **{name: state[name] for name in ("audio", "video") if name in state},
        **({"images": _pictures(state["images"])} if "images" in state else {}),
        **({"tables": _tables(state["tables"])} if "tables" in state else {}),
    }


def _merge(findings: dict[str, Any], name: str, found: dict[str, Any]) -> None:
    """Add what was seen in files to what their names told; what was seen says more, and counts once."""
    seen = dict(found["places"])
    known = findings.get(name, {"count": 0, "places": []})
    twice = [path for path, _ in known["places"] if path in seen]
    findings[name] = {"count": known["count"] + found["count"] - len(twice), "places": list(found["places"])}
    for path, detail in known["places"]:
        if path not in seen:
            note(findings, name, path, detail, count=0)


def _pictures(images: dict[str, Any]) -> dict[str, Any]:
    count = images["count"]
    bounds = [str(side) for side in (*SIDES, 0)]
    sizes = sorted(images["sizes"].items(), key=lambda item: (-item[1], item[0]))[:SHOWN_SIZES]
    return {
        "count": count,
        "least": list(images["least"]),
        "most": list(images["most"]),
        "mean_pixels": images["pixels"] // count,
        # Pictures by the longer side, in pixels: [at most (0: more than all of these), how many].
        "sides": [[int(bound), images["sides"].get(bound, 0)] for bound in bounds],
        "sizes": [list(item) for item in sizes],
    }


def _tables(tables: dict[str, Any]) -> dict[str, Any]:
    schemas = sorted(tables["schemas"].values(), key=lambda schema: -schema["count"])
    return {
        "count": tables["count"],
        "rows": tables["rows"],
        "uncounted": tables["uncounted"],
        "schema_count": len(schemas),
        "has_more": bool(tables.get("more_schemas")) or len(schemas) > SHOWN_SCHEMAS,
        "schemas": [{**schema, "columns": schema["columns"][:SHOWN_COLUMNS]} for schema in schemas[:SHOWN_SCHEMAS]],
    }


def _read(row: Summary, file_count: int) -> VersionSummary:
    figures = row.figures
    if row.phase == Summary.Phase.LOOK and row.is_active and figures:
        figures = _complete(figures, row.state) if row.state else figures
    progress = 100 if row.status == Summary.Status.FINISHED else 100 * row.position // max(file_count, 1)
    findings = dict(figures.get("findings", {}))
    if row.is_active:
        # Nobody knows yet.
        findings.pop("licence", None)
    return VersionSummary(
        status=row.status,
        progress=progress,
        file_count=file_count,
        looked=figures.get("looked", 0),
        is_sample=file_count > settings.SUMMARY_FILES,
        figures={name: value for name, value in figures.items() if name != "findings"},
        findings=read_findings(findings),
        error=row.error,
    )
