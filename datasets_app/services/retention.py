"""Retention rules: old versions go to the trash by themselves. Off by default; a dry run tells what would go."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from datasets_app.errors import AppError, Conflict, ErrorItem, Invalid
from datasets_app.models import AuditEvent, Dataset, Job, JobDataset, Label, RetentionRule, User, Version
from datasets_app.permissions import require
from datasets_app.services.datasets import lock_dataset
from datasets_app.services.removal import live_versions
from datasets_app.services.trash import trash_version
from datasets_app.services.weighing import weigh_own

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

MOST_KEPT = 100_000
MOST_DAYS = 36_500
# The clock looks every hour: a bit less than a day, so that it doesn't slip by one each day.
APPLIED_EVERY = timedelta(hours=23, minutes=30)


class Limits(NamedTuple):
    """A rule: a version stays while it is among the last N, or younger than T days, or (if asked) has a label."""

    keep_last: int | None = None
    older_than_days: int | None = None
    keep_labelled: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a rule says about one version: `reason` is why it stays, or why it goes."""

    version: Version
    goes: bool
    reason: str


@dataclass(frozen=True)
class DryRun:
    """What a rule would do now. `freed_size` in bytes: once they are purged, what nothing else in the team holds."""

    verdicts: list[Verdict]
    freed_size: int

    @property
    def going(self) -> list[Verdict]:
        """The versions that would go, the newest first."""
        return [verdict for verdict in self.verdicts if verdict.goes]

    @property
    def staying(self) -> list[Verdict]:
        """The versions that would stay, the newest first."""
        return [verdict for verdict in self.verdicts if not verdict.goes]


def get_rule(actor: User, *, dataset: Dataset) -> RetentionRule:
    """Return the dataset's rule; one that is off when none was ever set."""
    require(actor, "dataset.view", dataset)
    return RetentionRule.objects.filter(dataset=dataset).first() or RetentionRule(dataset=dataset)


def set_rule(actor: User, *, dataset: Dataset, is_on: bool, limits: Limits) -> RetentionRule:
    """Set the rule, on or off; it is applied within the hour, and then once a day.

    Raises Invalid for one without a limit, or out of bounds.
    """
    require(actor, "retention.edit", dataset)
    _check(limits, is_on=is_on)
    with transaction.atomic():
        owner = lock_dataset(dataset)
        if owner.archived_at is not None:
            raise Conflict(f"{owner.name} is archived: unarchive it before you change its retention.")
        values = {"is_on": is_on, **limits._asdict()}
        changed = {**values, "updated_by": actor, "updated_at": timezone.now(), "applied_at": None}
        rule, _ = RetentionRule.objects.update_or_create(dataset=owner, defaults=changed)
        AuditEvent.objects.record(actor, team=owner.team, verb="set retention of", subject=owner.name, **values)
    return rule


def dry_run(actor: User, *, dataset: Dataset, limits: Limits) -> DryRun:
    """Tell what the rule would do now; nothing is changed."""
    require(actor, "dataset.view", dataset)
    _check(limits, is_on=True)
    verdicts = judge(dataset, limits)
    going = [verdict.version.pk for verdict in verdicts if verdict.goes]
    versions = Version.objects.filter(pk__in=going)
    freed = weigh_own(versions, beside=live_versions(dataset).exclude(pk__in=going)) if going else 0
    return DryRun(verdicts, freed)


def judge(dataset: Dataset, limits: Limits) -> list[Verdict]:
    """Say of every available version whether it goes, the newest first. The newest always stays."""
    rows = dataset.versions.available().select_related("root").order_by("-number")
    versions = list(rows)
    labels: dict[int, str] = dict(Label.objects.filter(dataset=dataset).values_list("version_id", "name"))
    pins = JobDataset.objects.filter(version__dataset=dataset, job__status__in=Job.ACTIVE)
    jobs: dict[int | None, str] = dict(pins.values_list("version_id", "job__name"))
    unsealed = dataset.versions.filter(deleted_at=None).exclude(status=Version.Status.AVAILABLE)
    bases: dict[int | None, int] = dict(unsealed.exclude(base=None).values_list("base_id", "number"))
    verdicts = []
    for place, version in enumerate(versions):
        version.dataset = dataset
        kept = _kept(version, place, limits)
        if not kept and limits.keep_labelled and version.pk in labels:
            kept = f"has the label {labels[version.pk]}"
        if not kept and version.pk in jobs:
            kept = f"the job {jobs[version.pk]} uses it"
        if not kept and version.pk in bases:
            kept = f"@{bases[version.pk]}, not sealed yet, starts from it"
        verdicts.append(Verdict(version, not kept, kept or _gone(limits)))
    return verdicts


def apply_rules() -> int:
    """Move to the trash what the rules say that were not applied today; return how many versions went.

    May run twice and may die anywhere.
    """
    count = 0
    now = timezone.now()
    rules = RetentionRule.objects.filter(is_on=True, dataset__deleted_at=None, dataset__archived_at=None)
    due = rules.filter(Q(applied_at=None) | Q(applied_at__lte=now - APPLIED_EVERY))
    for rule in due.select_related("dataset__team").order_by("pk"):
        limits = Limits(rule.keep_last, rule.older_than_days, rule.keep_labelled)
        for verdict in judge(rule.dataset, limits):
            if not verdict.goes:
                continue
            try:
                count += _remove(rule, verdict.version)
            except AppError as error:
                # Somebody began to use it, or deleted it, in this very moment.
                logger.info("%s stays: %s", verdict.version.label, error.detail)
        # One that was changed meanwhile is applied anew.
        RetentionRule.objects.filter(pk=rule.pk, updated_at=rule.updated_at).update(applied_at=now)
    return count


def _remove(rule: RetentionRule, version: Version) -> bool:
    """Move a version to the trash, unless the rule was changed or the version got a label since it was judged."""
    with transaction.atomic():
        lock_dataset(rule.dataset)
        if not RetentionRule.objects.filter(pk=rule.pk, is_on=True, updated_at=rule.updated_at).exists():
            return False
        if rule.keep_labelled and Label.objects.filter(version=version).exists():
            return False
        trash_version(None, version=version)
    return True


def _kept(version: Version, place: int, limits: Limits) -> str:
    if place == 0:
        return "the newest always stays"
    if limits.keep_last is not None and place < limits.keep_last:
        return f"among the last {limits.keep_last}"
    age = timezone.now() - (version.sealed_at or version.created_at)
    if limits.older_than_days is not None and age < timedelta(days=limits.older_than_days):
        return f"not older than {limits.older_than_days} days"
    return ""


def _gone(limits: Limits) -> str:
    reasons = []
    if limits.keep_last is not None:
        reasons.append(f"not among the last {limits.keep_last}")
    if limits.older_than_days is not None:
        reasons.append(f"older than {limits.older_than_days} days")
    return ", ".join(reasons)


def _check(limits: Limits, *, is_on: bool) -> None:
    errors: list[ErrorItem] = []
    if is_on and limits.keep_last is None and limits.older_than_days is None:
        errors.append({"field": "keep_last", "detail": "Say how many versions to keep, or for how many days."})
    bounds: Sequence[tuple[str, int | None, int]] = (
        ("keep_last", limits.keep_last, MOST_KEPT),
        ("older_than_days", limits.older_than_days, MOST_DAYS),
    )
    for field, value, most in bounds:
        if value is not None and not 1 <= value <= most:
            errors.append({"field": field, "detail": f"This is from 1 to {most:,}."})
    if errors:
        raise Invalid(" ".join(item["detail"] for item in errors), errors=errors)
