"""What a collection would remove now, step by step as `runs.STEPS` go; nothing is changed."""

from __future__ import annotations

from contextlib import suppress

from django.db.models import Q
from django.utils import timezone

from datasets_app.errors import Gone
from datasets_app.models import RemovedObject, Upload
from datasets_app.services.content import staging
from datasets_app.services.garbage.compaction import wasted_bytes
from datasets_app.services.garbage.figures import count_due_packs, count_due_trees, measure_unused
from datasets_app.services.garbage.leftovers import find_idle, find_over, find_stray
from datasets_app.services.garbage.objects import find_unknown
from datasets_app.services.garbage.purge import due_datasets, due_versions
from datasets_app.services.garbage.sweep import Sweep

KIND = RemovedObject.Kind


def measure(sweep: Sweep, *, with_objects: bool) -> None:
    """Count what would go, what waits for the end of its grace period, and half-empty packs.

    Unknown objects are looked for `with_objects`, since that lists the store.
    """
    sweep.add(KIND.DATASET, due_datasets(sweep).count())
    sweep.add(KIND.VERSION, due_versions(sweep).count() + find_idle(sweep).count())
    _measure_uploads(sweep)
    sweep.add(KIND.TREE, count_due_trees(sweep.cutoff))
    unused = measure_unused(sweep.cutoff)
    sweep.add(KIND.BLOB, unused.due_blobs, unused.due_size)
    sweep.add("waiting", unused.blobs - unused.due_blobs, unused.size - unused.due_size)
    sweep.add(KIND.PACK, *count_due_packs(sweep.cutoff))
    wasted = wasted_bytes()
    sweep.add("wasted", 1 if wasted else 0, wasted)
    if with_objects:
        for kind, objects, _ in find_unknown(sweep):
            sweep.add(kind, len(objects), sum(found.size for found in objects))
            sweep.beat()


def _measure_uploads(sweep: Sweep) -> None:
    expired = Q(status=Upload.Status.RECEIVING, expires_at__lt=timezone.now())
    ended = Upload.objects.filter(expired)
    sweep.add(KIND.UPLOAD, find_over(sweep).count() + ended.filter(created_at__lt=sweep.cutoff).count())
    idle = Upload.objects.filter(version__in=find_idle(sweep)).exclude(status=Upload.Status.FINISHED)
    # Each file once, whichever step would take it.
    going = set(ended.values_list("pk", flat=True)) | set(idle.values_list("pk", flat=True))
    for upload in going:
        with suppress(Gone):
            sweep.add(KIND.STAGING, 1, staging().offset(upload))
    for batch in find_stray(sweep):
        strays = [staged for staged in batch if staged.upload not in going]
        sweep.add(KIND.STAGING, len(strays), sum(staged.size for staged in strays))
