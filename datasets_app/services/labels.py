"""Labels: names for versions that can be moved, and `latest`, which is always the newest available version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import LABEL_PATTERN, LABEL_RULE, LATEST, AuditEvent, Dataset, Label, User, Version
from datasets_app.permissions import require
from datasets_app.services.datasets import lock_dataset
from datasets_app.services.validation import invalid_field

if TYPE_CHECKING:
    from collections.abc import Iterable

SET, MOVED, DELETED = "set label", "moved label", "deleted label"
HISTORY_ROWS = 100
MOST_LABELS = 100
MOST_DIGITS = 10


def list_labels(actor: User, *, dataset: Dataset) -> list[Label]:
    """Return the dataset's labels by name; those of versions in the trash too, since they come back with them."""
    require(actor, "version.view", dataset)
    rows = list(Label.objects.filter(dataset=dataset).select_related("version", "updated_by").order_by("name"))
    for label in rows:
        label.version.dataset = label.dataset = dataset
    return rows


def set_label(actor: User, *, dataset: Dataset, name: str, version: Version) -> Label:
    """Let the label point to this available version; it is made when there is none. Setting it again changes nothing.

    Raises Invalid for a name that can't be a label, Conflict for a version that is not available.
    """
    require(actor, "label.edit", dataset)
    check_label(name)
    with transaction.atomic():
        owner = _lock_writable(dataset)
        if not Version.objects.available().filter(pk=version.pk, dataset=owner).exists():
            raise Conflict(f"{version.label} is not available, so no label can point to it.")
        label = Label.objects.filter(dataset=owner, name=name).select_related("version").first()
        before = label.version.number if label is not None else None
        if label is None:
            if Label.objects.filter(dataset=owner).count() >= MOST_LABELS:
                raise Conflict(f"{owner.name} has {MOST_LABELS} labels already. Delete one first.")
            label = Label(dataset=owner, name=name)
        if before == version.number:
            return label
        label.version, label.updated_by, label.updated_at = version, actor, timezone.now()
        label.save()
        _record(actor, owner, SET if before is None else MOVED, name, old=before, new=version.number)
    return label


def delete_label(actor: User, *, dataset: Dataset, name: str) -> None:
    """Take the label away; the version stays. Raises NotFound when there is none of that name."""
    require(actor, "label.edit", dataset)
    with transaction.atomic():
        owner = _lock_writable(dataset)
        label = Label.objects.filter(dataset=owner, name=name).select_related("version").first()
        if label is None:
            raise NotFound(f"{owner.name} has no label {name}.")
        label.delete()
        _record(actor, owner, DELETED, name, old=label.version.number, new=None)


def label_history(actor: User, *, dataset: Dataset) -> list[AuditEvent]:
    """Return the last 100 times that a label of the dataset was set, moved or deleted, the newest first."""
    require(actor, "version.view", dataset)
    rows = AuditEvent.objects.filter(
        team=dataset.team_id,
        verb__in=(SET, MOVED, DELETED),
        subject__startswith=f"{dataset.name}@",
        # A dataset that had the same name before was another one.
        created_at__gte=dataset.created_at,
    )
    return list(rows[:HISTORY_ROWS])


def label_names(dataset: Dataset, versions: Iterable[Version]) -> dict[int, list[str]]:
    """Return the labels of the versions, by the versions' keys; `latest` too."""
    names: dict[int, list[str]] = {version.pk: [] for version in versions}
    for pk, name in Label.objects.filter(version__in=names).order_by("name").values_list("version_id", "name"):
        names[pk].append(name)
    newest = dataset.versions.available().order_by("-number").values_list("pk", flat=True).first()
    if newest in names:
        names[newest].insert(0, LATEST)
    return names


def find_number(actor: User, *, team: str, dataset: str, name: str) -> int:
    """Return the number of the version that `name` means: a number in digits, `latest`, or a label.

    Raises NotFound for a label that doesn't exist, and for strangers.
    """
    if name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS:
        return int(name)
    mine = Q(dataset__team__name=team, dataset__name=dataset)
    versions = Version.objects.visible_to(actor).filter(mine)
    if name == LATEST:
        found = versions.available().order_by("-number").values_list("number", flat=True).first()
        if found is None:
            raise NotFound(f"There is no dataset {dataset} with an available version in a team {team} of yours.")
        return found
    label = None
    if re.fullmatch(LABEL_PATTERN, name) is not None:
        label = Label.objects.visible_to(actor).filter(mine, name=name).select_related("version__dataset").first()
    if label is None:
        raise NotFound(f"There is no version and no label {name} of a dataset {dataset} in a team {team} of yours.")
    if label.version.deleted_at is not None:
        raise NotFound(f"The label {name} points to {label.version.label}, which is in the trash.")
    return label.version.number


def check_label(name: str) -> None:
    """Raise Invalid for a name that can't be a label."""
    if name.lower() == LATEST:
        raise invalid_field("name", f"{LATEST} is always the newest available version: choose another name.")
    if re.fullmatch(LABEL_PATTERN, name) is None or name.isdecimal():
        raise invalid_field("name", f"A label has {LABEL_RULE}.")


def _lock_writable(dataset: Dataset) -> Dataset:
    owner = lock_dataset(dataset)
    if owner.archived_at is not None:
        raise Conflict(f"The dataset {owner.name} is archived: unarchive it before you change its labels.")
    return owner


def _record(actor: User, dataset: Dataset, verb: str, name: str, **change: int | None) -> None:
    AuditEvent.objects.record(actor, team=dataset.team, verb=verb, subject=f"{dataset.name}@{name}", **change)
