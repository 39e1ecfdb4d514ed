"""Compose a version from parts of others, by reference: a worker builds the tree, and no bytes move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import transaction

from datasets_app.errors import AppError, Conflict, ErrorItem, Invalid
from datasets_app.models import AuditEvent, Dataset, Lineage, Version
from datasets_app.permissions import require
from datasets_app.queue import enqueue
from datasets_app.services.datasets import create_dataset
from datasets_app.services.import_paths import clean_prefix
from datasets_app.services.recipes import COMPOSE, WHOLE, Part, Split, refuse_clashes, unite, write_part
from datasets_app.services.teams import get_team
from datasets_app.services.validation import check_name, invalid_field
from datasets_app.services.versions import SEAL_TASK, create_version, find_version
from datasets_app.store.merkle import TreeBuilder
from datasets_app.store.patterns import clean_patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import Team, User
    from datasets_app.store.union import OnClash, Union

MOST_PARTS: Final = 20
LONGEST_SEED: Final = 100
# So many names are looked at for a preview (some tenths of a second), and before a version is started.
PREVIEWED: Final = 100_000
CHECKED: Final = 20_000


@dataclass(frozen=True, slots=True)
class PartCount:
    """What one part brings: files and bytes of the result. `problem` says why it can't be used."""

    label: str
    files: int = 0
    size: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CompositionPreview:
    """What a recipe would give. Of a large one only the beginning is looked at: then `is_whole` is False."""

    parts: list[PartCount]
    files: int
    size: int
    is_whole: bool
    clashes: list[str]
    clash_count: int
    problem: str = ""


class _EnoughError(Exception):
    """More is not looked at."""


def preview_composition(
    actor: User, *, team: str, parts: Sequence[Part], on_clash: OnClash = "refuse"
) -> CompositionPreview:
    """Count what a recipe would give, without making anything. Problems of parts are told, not raised."""
    row = get_team(actor, team=team)
    require(actor, "version.view", row)
    _check_recipe(parts, on_clash)
    found: list[tuple[Part, Version]] = []
    counts: list[PartCount] = []
    for index, part in enumerate(parts):
        try:
            found.append(_resolve(actor, row, index, part))
            counts.append(PartCount(found[-1][1].label))
        except AppError as error:
            counts.append(PartCount(f"{part.dataset}@{part.version}", problem=error.detail))
    if len(found) < len(parts) or not found:
        return CompositionPreview(counts, 0, 0, is_whole=False, clashes=[], clash_count=0)
    problem = ""
    union, is_whole = None, False
    try:
        union, is_whole = _look(found, on_clash, PREVIEWED)
    except AppError as error:
        problem = error.detail
    if union is None:
        return CompositionPreview(counts, 0, 0, is_whole=False, clashes=[], clash_count=0, problem=problem)
    counts = [PartCount(one.label, files, size) for one, (files, size) in zip(counts, union.taken, strict=True)]
    return CompositionPreview(
        counts,
        sum(one.files for one in counts),
        sum(one.size for one in counts),
        is_whole=is_whole,
        clashes=union.clashes,
        clash_count=union.clash_count,
    )


def compose_version(  # noqa: PLR0913 - one argument for each field of the form
    actor: User,
    *,
    team: str,
    name: str,
    parts: Sequence[Part],
    on_clash: OnClash = "refuse",
    description: str = "",
    message: str = "",
) -> Version:
    """Make a new version of the dataset `name`, which is made when the team has none, from parts of other versions.

    The numbers behind labels are pinned. A worker builds the tree; where parts disagree, the version ends as `error`,
    or at once with Conflict if that is quick to see. Raises Invalid for parts that can't be, NotFound for what is not
    there.
    """
    row = get_team(actor, team=team)
    require(actor, "version.create", row)
    check_name(name)
    _check_recipe(parts, on_clash)
    found = [_resolve(actor, row, index, part) for index, part in enumerate(parts)]
    union, is_whole = _look(found, on_clash, CHECKED)
    refuse_clashes(union, on_clash)
    if is_whole and not any(files for files, _ in union.taken):
        raise Conflict("Nothing is left of the parts: a version has at least one file.")
    with transaction.atomic():
        dataset = Dataset.objects.visible_to(actor).active().filter(team=row, name=name).first()
        if dataset is None:
            dataset = create_dataset(actor, team=team, name=name, description=description)
        version = create_version(actor, dataset=dataset, message=message)
        # From here on none of them is purged: see `garbage.purge`.
        sources = [source.pk for _, source in found]
        held = Version.objects.available().filter(pk__in=sources).order_by("pk").select_for_update(of=("self",))
        if len(list(held)) < len(set(sources)):
            raise Conflict("One of the versions was deleted just now.")
        version.source = {
            "kind": COMPOSE,
            "on_clash": on_clash,
            "parts": [write_part(part, source) for part, source in found],
        }
        version.status = Version.Status.PENDING
        version.save(update_fields=["source", "status"])
        Lineage.objects.bulk_create(
            Lineage(
                version=version,
                position=position,
                source=source,
                dataset_name=source.dataset.name,
                version_number=source.number,
                digest=source.digest,
            )
            for position, (_, source) in enumerate(found)
        )
        AuditEvent.objects.record(actor, team=row, verb="composed version", subject=version.label)
        enqueue(SEAL_TASK, version_id=version.pk)
    return version


def _check_recipe(parts: Sequence[Part], on_clash: str) -> None:
    if not 1 <= len(parts) <= MOST_PARTS:
        raise invalid_field("parts", f"A version is composed of 1 to {MOST_PARTS} parts.")
    if on_clash not in {"refuse", "first", "last"}:
        raise invalid_field("on_clash", "Where parts disagree: refuse, first or last.")


def _resolve(actor: User, team: Team, index: int, part: Part) -> tuple[Part, Version]:
    """Clean a part, and find its version; errors name the part's field."""
    try:
        folder, prefix = clean_prefix(part.folder), clean_prefix(part.prefix)
        cleaned = part._replace(
            folder=folder,
            prefix=prefix,
            include=clean_patterns(part.include, field="include"),
            exclude=clean_patterns(part.exclude, field="exclude"),
            split=_clean_split(part.split),
        )
    except Invalid as error:
        items: list[ErrorItem] = [
            {"field": f"parts.{index}.{item.get('field', '')}", "detail": item["detail"]} for item in error.errors
        ]
        raise Invalid(error.detail, errors=items) from error
    version = find_version(actor, team=team.name, dataset=part.dataset, number=part.version or "latest")
    if version.status != Version.Status.AVAILABLE:
        raise Conflict(f"{version.label} is {version.status}: only sealed versions can be composed.")
    return cleaned, version


def _clean_split(split: Split | None) -> Split | None:
    if split is None:
        return None
    if not 0 <= split.start < split.end <= WHOLE:
        raise invalid_field("split", "A split goes from a smaller to a larger percentage, from 0 to 100.")
    if not split.seed or len(split.seed) > LONGEST_SEED:
        raise invalid_field("split", f"A split needs a seed of 1 to {LONGEST_SEED} characters.")
    if split.by not in {"path", "content"}:
        raise invalid_field("split", "A split goes by path or by content.")
    return split


def _look(found: Sequence[tuple[Part, Version]], on_clash: OnClash, most: int) -> tuple[Union, bool]:
    """Read the result as far as that is quick; tell whether that was all of it."""

    def stop(looked: int) -> None:
        if looked >= most:
            raise _EnoughError

    union = unite(found, on_clash=on_clash, progress=stop)
    try:
        # Built as well: this is what refuses a file that is also a folder.
        for _ in TreeBuilder().build(union.entries()):
            pass
    except _EnoughError:
        return union, False
    except Invalid as error:
        if any(files for files, _ in union.taken):
            raise Conflict(error.detail, errors=error.errors) from error
    return union, True
