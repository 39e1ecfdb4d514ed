"""Archived datasets: read-only, out of the list, and no longer offered to jobs. Jobs that run go on."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import AuditEvent, Dataset, Import, User
from datasets_app.permissions import require
from datasets_app.services.datasets import get_dataset, lock_dataset


def archive_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Make a dataset read-only. Archiving twice changes nothing. Raises Conflict while an import fills it."""
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.archive", dataset)
    with transaction.atomic():
        dataset = lock_dataset(dataset)
        run = Import.objects.active().filter(version__dataset=dataset).select_related("version__dataset").first()
        if run is not None:
            raise Conflict(
                f"An import is bringing files into {run.version.label}. Cancel it, or wait until it has ended."
            )
        if dataset.archived_at is None:
            dataset.archived_at = timezone.now()
            dataset.save(update_fields=["archived_at"])
            AuditEvent.objects.record(actor, team=dataset.team, verb="archived dataset", subject=name)
    return dataset


def unarchive_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Bring a dataset back from the archive; harmless when it isn't there."""
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.archive", dataset)
    with transaction.atomic():
        if Dataset.objects.filter(pk=dataset.pk).exclude(archived_at=None).update(archived_at=None):
            AuditEvent.objects.record(actor, team=dataset.team, verb="unarchived dataset", subject=name)
    dataset.refresh_from_db(fields=("archived_at",))
    return dataset
