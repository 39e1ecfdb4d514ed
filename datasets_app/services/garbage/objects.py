"""Objects of the store that no row knows: what a crash left, or what came before the backup that was restored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice

from django.db import transaction
from django.db.models import Min

from datasets_app.models import Dataset, Pack, RemovedObject, Version
from datasets_app.services.content import PACK_KEY, pack_store
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.leftovers import find_wanted
from datasets_app.services.garbage.sweep import LOOKUP, Sweep
from datasets_app.services.manifests import FOLDER as MANIFESTS
from datasets_app.services.manifests import read_header, was_sealed_later
from datasets_app.services.slice_lists import FOLDER as SLICES
from datasets_app.store.listing import StoredObject
from datasets_app.store.packs import MissingPack

MANIFEST = re.compile(rf"{MANIFESTS}/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.ndjson\.zst")
# Half-written files, and probes of the health check that outlived their process.
PARTIAL = re.compile(r"(.*/)?\.new-[^/]+|probe/[0-9a-f]{32}")
REASON = "no row of the database knows it"
SHOWN = 5


Unknown = tuple[RemovedObject.Kind, list[StoredObject], str]


def collect_objects(sweep: Sweep) -> None:
    """Remove unknown objects that are older than the grace period, unless there are signs that they are somebody's."""
    for kind, objects, reason in find_unknown(sweep):
        _remove(sweep, kind, objects, reason)
        sweep.beat()
    # Told to `runs`, which lists a remote store once a day.
    sweep.add("listed", 1)


def find_unknown(sweep: Sweep) -> Iterator[Unknown]:
    """Give such objects in batches, with their kind and the reason."""
    manifests = list(_unknown_manifests(sweep))
    foreign = [found for found in manifests if _is_foreign(found)]
    forget = sweep.run is not None and sweep.run.forget_unknown
    if foreign and not forget:
        shown = ", ".join(found.key for found in foreign[:SHOWN])
        sweep.notes.append(
            f"The store holds {len(foreign)} manifests of versions that this database does not know ({shown}). "
            "Perhaps an old backup was restored, or another installation uses the same store: no unknown object was "
            "removed. manage.py rebuild brings the versions back; manage.py collect --forget-unknown lets them go."
        )
    for objects in _batches(sweep, pack_store().objects()):
        partial = [found for found in objects if PARTIAL.fullmatch(found.key)]
        yield RemovedObject.Kind.PARTIAL, _not_going(partial), "it was never whole"
        if forget or not foreign:
            yield RemovedObject.Kind.UNKNOWN, _not_going(_unknown_packs(objects)), REASON
    if forget or not foreign:
        yield RemovedObject.Kind.UNKNOWN, _not_going(manifests), REASON


def _batches(sweep: Sweep, objects: Iterator[StoredObject]) -> Iterator[list[StoredObject]]:
    """Cut the list of those that are old enough."""
    old = (found for found in objects if found.modified <= sweep.cutoff.timestamp())
    while batch := list(islice(old, LOOKUP)):
        yield batch


def _unknown_packs(objects: Iterable[StoredObject]) -> list[StoredObject]:
    """Packs, and lists of slices, that neither a row nor an unfinished upload stands for."""
    named = {}
    for found in objects:
        match = PACK_KEY.fullmatch(found.key.removeprefix(f"{SLICES}/").removesuffix(".ndjson.zst"))
        if match is not None:
            named[found] = match
    # In this order: an upload ends in the transaction that writes its pack's row.
    wanted = find_wanted([uuid.UUID(hex=match[1]) for match in named.values()])
    known = set(Pack.objects.filter(key__in=[match[0] for match in named.values()]).values_list("key", flat=True))
    return [f for f, match in named.items() if match[0] not in known and uuid.UUID(hex=match[1]) not in wanted]


def _unknown_manifests(sweep: Sweep) -> Iterator[StoredObject]:
    for objects in _batches(sweep, pack_store().objects(MANIFESTS)):
        # A pending version's seal may have written one that its row is about to name.
        pending = Version.objects.filter(status=Version.Status.PENDING).aggregate(oldest=Min("created_at"))["oldest"]
        old = [f for f in objects if pending is None or f.modified < pending.timestamp()]
        old = [f for f in old if MANIFEST.fullmatch(f.key)]
        rows = Version.objects.filter(manifest_key__in=[found.key for found in old])
        known = set(rows.values_list("manifest_key", flat=True))
        yield from (found for found in old if found.key not in known)


def _is_foreign(found: StoredObject) -> bool:
    """Tell whether the manifest is of a version that this database has never had, or not as a sealed one."""
    try:
        header = read_header(found.key)
    except (MissingPack, ValueError):
        return False
    if was_sealed_later(header, modified=found.modified):
        return True
    team, dataset, number = (header.get(name) for name in ("team", "dataset", "version"))
    if Dataset.objects.filter(team__name=team, name=dataset, last_number__gte=number or 0).exists():
        return False
    gone = (f"{team}/{dataset}", f"{team}/{dataset}@{number}")
    return not RemovedObject.objects.filter(key__in=[found.key, *gone]).exists()


def _not_going(objects: list[StoredObject]) -> list[StoredObject]:
    """Leave out what is going already: it has its entry."""
    entries = RemovedObject.objects.filter(removed_at=None, key__in=[found.key for found in objects])
    going = set(entries.values_list("key", flat=True))
    return [found for found in objects if found.key not in going]


def _remove(sweep: Sweep, kind: RemovedObject.Kind, objects: list[StoredObject], reason: str) -> None:
    if not objects:
        return
    with transaction.atomic():
        journal.write(sweep, kind, [Removal(found.key, found.size) for found in objects], reason)
    sweep.add(kind, len(objects), sum(found.size for found in objects))
    journal.finish(sweep)


def is_local() -> bool:
    """Whether listing the store costs nothing but a walk over folders."""
    return pack_store().open_local("probe") is not None
