"""Datasets: made, described, listed and found. Their versions have a service of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import AuditEvent, Dataset, DatasetTag, User, Version
from datasets_app.permissions import get_visible, require
from datasets_app.services.damages import damaged_datasets
from datasets_app.services.dataset_filters import EMPTY, DatasetFilter
from datasets_app.services.paging import Page, take_page
from datasets_app.services.teams import get_team
from datasets_app.services.validation import check_name, check_tags, check_text, invalid_field

DESCRIPTION_LENGTH = 20_000
SORTS = {
    "name": ("name",),
    "updated": ("updated_at", "id"),
    "created": ("created_at", "id"),
    "size": ("latest_size", "id"),
    "files": ("latest_files", "id"),
    "versions": ("version_count", "id"),
}


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset with the facts that lists show: `latest` is its newest available version, `newest` its newest one."""

    dataset: Dataset
    tags: list[str]
    latest: Version | None
    newest: Version | None
    version_count: int
    # A version of it, outside the trash, has stored bytes that are lost or changed.
    damaged: bool = False

    @property
    def size(self) -> int:
        """Bytes in the latest available version; 0 when there is none."""
        return self.latest.size if self.latest is not None else 0

    @property
    def file_count(self) -> int:
        """Files in the latest available version; 0 when there is none."""
        return self.latest.file_count if self.latest is not None else 0

    @property
    def status(self) -> str:
        """Status of the newest version, or "empty" when there is none."""
        return self.newest.status if self.newest is not None else EMPTY


def create_dataset(actor: User, *, team: str, name: str, description: str = "", tags: Iterable[str] = ()) -> Dataset:
    """Make an empty dataset. Raise Conflict when the team has one of that name, also in its trash."""
    row = get_team(actor, team=team)
    require(actor, "dataset.create", row)
    check_name(name)
    description = check_text(description, field="description", most=DESCRIPTION_LENGTH)
    words = check_tags(tags)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(team=row, name=name, description=description, created_by=actor)
            DatasetTag.objects.bulk_create([DatasetTag(dataset=dataset, name=word) for word in words])
            AuditEvent.objects.record(actor, team=row, verb="created dataset", subject=name)
    except IntegrityError as error:
        detail = f"{row.name} already has a dataset called {name}."
        if Dataset.objects.filter(team=row, name=name).exclude(deleted_at=None).exists():
            detail = (
                f"A dataset called {name} is in the trash of {row.name}. Restore it, or choose another name: this one "
                "is free again once it has been purged."
            )
        raise Conflict(detail, errors=[{"field": "name", "detail": detail}]) from error
    return dataset


def get_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Return the dataset with its team; NotFound for strangers and for what is in the trash."""
    rows = Dataset.objects.visible_to(actor).filter(team__name=team, name=name).select_related("team")
    return _outside_trash(rows.first(), team, name)


def lock_dataset(dataset: Dataset) -> Dataset:
    """Hold the dataset's row for the rest of the transaction; NotFound when it went to the trash meanwhile."""
    rows = Dataset.objects.active().select_related("team").select_for_update(of=("self",))
    return get_visible(rows.filter(pk=dataset.pk).first(), f"dataset {dataset.name}")


def summarize_dataset(actor: User, *, team: str, name: str) -> DatasetSummary:
    """Return one dataset with the facts that lists show."""
    rows = _with_facts(Dataset.objects.visible_to(actor).filter(team__name=team, name=name))
    return _summarize([_outside_trash(rows.first(), team, name)])[0]


def update_dataset(
    actor: User, *, team: str, name: str, description: str | None = None, tags: Iterable[str] | None = None
) -> Dataset:
    """Change the description and the tags; None leaves them as they are."""
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.edit", dataset)
    if dataset.archived_at is not None:
        raise Conflict(f"{name} is archived, so it can't be changed. Unarchive it first.")
    changed = []
    with transaction.atomic():
        if description is not None:
            dataset.description = check_text(description, field="description", most=DESCRIPTION_LENGTH)
            changed.append("description")
        if tags is not None:
            words = check_tags(tags)
            dataset.tags.exclude(name__in=words).delete()
            rows = [DatasetTag(dataset=dataset, name=word) for word in words]
            DatasetTag.objects.bulk_create(rows, ignore_conflicts=True)
            changed.append("tags")
        if changed:
            dataset.updated_at = timezone.now()
            dataset.save(update_fields=["description", "updated_at"])
            AuditEvent.objects.record(actor, team=dataset.team, verb="edited dataset", subject=name, changed=changed)
    return dataset


def list_datasets(  # noqa: PLR0913 - one argument for each control of the list
    actor: User,
    *,
    team: str,
    wanted: DatasetFilter | None = None,
    sort: str = "-updated",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DatasetSummary]:
    """Return one page of the team's datasets, in four queries whatever its length.

    `sort` is a key of SORTS, "-" descends. Without `wanted`, all that are not archived.
    """
    mine = get_team(actor, team=team)
    rows: QuerySet[Dataset] = Dataset.objects.visible_to(actor).active().filter(team=mine)
    rows = (wanted or DatasetFilter()).narrow(rows)
    order = _order(sort)
    rows = _with_facts(rows, *(name.removeprefix("-") for name in order))
    page = take_page(rows, order=order, cursor=cursor, limit=limit)
    return Page(_summarize(page.items), page.next_cursor)


def _outside_trash(found: Dataset | None, team: str, name: str) -> Dataset:
    dataset = get_visible(found, f"dataset {name} in {team}")
    if dataset.deleted_at is not None:
        raise NotFound(f"The dataset {name} is in the trash of {team}, from where it can be restored.")
    return dataset


def _order(sort: str) -> tuple[str, ...]:
    fields = SORTS.get(sort.removeprefix("-"))
    if fields is None:
        raise invalid_field("sort", f"Sort by one of {', '.join(SORTS)}, with - in front to descend.")
    return tuple(f"-{field}" for field in fields) if sort.startswith("-") else fields


def _with_facts(rows: QuerySet[Dataset], *more: str) -> QuerySet[Dataset]:
    """Annotate what every summary shows, and of the rest what is sorted by."""
    kept = Version.objects.filter(dataset=OuterRef("pk"), deleted_at=None).order_by("-number")
    latest = kept.filter(status=Version.Status.AVAILABLE)
    count = kept.order_by().values("dataset").annotate(count=Count("pk")).values("count")
    others = {
        "latest_size": Coalesce(Subquery(latest.values("root__size")[:1]), Value(0)),
        "latest_files": Coalesce(Subquery(latest.values("root__file_count")[:1]), Value(0)),
    }
    return rows.select_related("team").annotate(
        latest_id=Subquery(latest.values("pk")[:1]),
        newest_id=Subquery(kept.values("pk")[:1]),
        version_count=Coalesce(Subquery(count), Value(0)),
        **{name: others[name] for name in more if name in others},
    )


def _summarize(rows: Sequence[Dataset]) -> list[DatasetSummary]:
    """Fetch the tags, versions and damages of all rows at once."""
    keys = {_fact(row, name) for row in rows for name in ("latest_id", "newest_id")}
    versions = {version.pk: version for version in Version.objects.filter(pk__in=keys).select_related("root")}
    tags: dict[int, list[str]] = {row.pk: [] for row in rows}
    for dataset_id, word in (
        DatasetTag.objects.filter(dataset__in=tags).values_list("dataset_id", "name").order_by("name")
    ):
        tags[dataset_id].append(word)
    by_id = {row.pk: row for row in rows}
    damaged = damaged_datasets(rows)
    for version in versions.values():
        version.dataset = by_id[version.dataset_id]
    return [
        DatasetSummary(
            dataset=row,
            tags=tags[row.pk],
            latest=versions.get(_fact(row, "latest_id")),
            newest=versions.get(_fact(row, "newest_id")),
            version_count=_fact(row, "version_count"),
            damaged=row.pk in damaged,
        )
        for row in rows
    ]


def _fact(row: Dataset, name: str) -> int:
    """Read an annotation; 0 stands for null, which no key is."""
    return getattr(row, name) or 0
