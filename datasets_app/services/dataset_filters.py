"""What a team's list of datasets can be narrowed to: a dataset is listed when it fits all conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Max, OuterRef, Q, Subquery

from datasets_app.models import Dataset, DatasetTag, User, Version
from datasets_app.services.teams import get_team
from datasets_app.services.validation import invalid_field
from datasets_app.sources.registry import PROVIDERS

if TYPE_CHECKING:
    from django.db.models import QuerySet

EMPTY: Final = "empty"
STATUSES: Final = (*Version.Status.values, EMPTY)
UPLOAD: Final = "upload"
# What a form offers; a version may come from elsewhere too, such as from other versions.
SOURCES: Final = (
    (UPLOAD, "Uploaded"),
    ("compose", "Composed"),
    *((name, provider.label) for name, provider in PROVIDERS.items()),
)
MOST_TAGS: Final = 20
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """Conditions; what is empty or None does not count.

    Every word of `search` is in the name, the description or a tag. `tags`: all of them. `owner` made the dataset.
    `status` and `source` (upload, or a provider's name) are those of the newest version; the status may be "empty".
    `since` and `until` are the days, in UTC, between which it last changed, as YYYY-MM-DD.
    `archived`: True or False for only those, None for both.
    """

    search: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    status: str = ""
    source: str = ""
    since: str = ""
    until: str = ""
    archived: bool | None = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return self == DatasetFilter()

    def narrow(self, rows: QuerySet[Dataset]) -> QuerySet[Dataset]:
        """Keep what fits. Raise Invalid, with the field, for what no list takes."""
        for word in self.search.split():
            tagged = DatasetTag.objects.filter(name__icontains=word).values("dataset")
            rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word) | Q(pk__in=tagged))
        if len(self.tags) > MOST_TAGS:
            raise invalid_field("tag", f"Ask for at most {MOST_TAGS} tags at once.")
        for tag in self.tags:
            rows = rows.filter(pk__in=DatasetTag.objects.filter(name=tag.lower()).values("dataset"))
        if self.owner:
            rows = rows.filter(created_by__in=User.objects.filter(username=self.owner))
        if self.since:
            rows = rows.filter(updated_at__gte=_day("since", self.since))
        if self.until:
            rows = rows.filter(updated_at__lt=_day("until", self.until) + timedelta(days=1))
        if self.archived is not None:
            rows = rows.filter(archived_at__isnull=not self.archived)
        return self._by_newest(rows)

    def _by_newest(self, rows: QuerySet[Dataset]) -> QuerySet[Dataset]:
        """Look at the newest versions: from their side, which costs the same whether many fit or none."""
        kept = Version.objects.filter(deleted_at=None)
        if self.status and self.status not in STATUSES:
            raise invalid_field("status", f"A status is one of {', '.join(STATUSES)}.")
        if self.source and not _WORD.fullmatch(self.source):
            raise invalid_field("source", f"A source is one of {', '.join(name for name, _ in SOURCES)}.")
        if self.status == EMPTY:
            rows = rows.exclude(pk__in=kept.values("dataset"))
            return rows.none() if self.source else rows
        if not self.status and not self.source:
            return rows
        last = kept.filter(dataset=OuterRef("dataset")).order_by().values("dataset").annotate(last=Max("number"))
        newest = kept.filter(number=Subquery(last.values("last")))
        if self.status:
            newest = newest.filter(status=self.status)
        if self.source:
            imported = Q(source__kind="import", source__provider=self.source)
            newest = newest.filter(Q(source__kind=self.source) | imported)
        return rows.filter(pk__in=newest.values("dataset"))


def list_tags(actor: User, *, team: str) -> list[str]:
    """Return the tags in use in the team."""
    row = get_team(actor, team=team)
    used = DatasetTag.objects.filter(dataset__team=row, dataset__deleted_at=None)
    return list(used.order_by("name").values_list("name", flat=True).distinct())


def list_owners(actor: User, *, team: str) -> list[str]:
    """Return the names of those who made the team's datasets, members or not any more."""
    row = get_team(actor, team=team)
    makers = Dataset.objects.active().filter(team=row).values("created_by")
    return list(User.objects.filter(pk__in=makers).order_by("username").values_list("username", flat=True))


def _day(field: str, text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError as error:
        raise invalid_field(field, "Write a day as 2026-03-31.") from error
