"""Routes about retention: which old versions of a dataset go to the trash by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from ninja import Path, Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body
from datasets_app.models import RetentionRule
from datasets_app.services import retention
from datasets_app.services.datasets import get_dataset

router = Router()

MOST_NAMED = 1000


class RuleLimits(Body):
    """A version stays while it is among the last N, or not older than T days, or (if asked) has a label.

    One of `keep_last` and `older_than_days` must be given; null does not keep anything.
    """

    keep_last: int | None = None
    older_than_days: int | None = None
    keep_labelled: bool = True

    def limits(self) -> retention.Limits:
        """Return them as the service takes them."""
        return retention.Limits(self.keep_last, self.older_than_days, self.keep_labelled)


class NewRule(RuleLimits):
    """A rule to set. Off, it is kept and does nothing."""

    is_on: bool


class RuleAnswer(Answer):
    """A dataset's rule, off unless somebody switched it on. It is applied once a day."""

    is_on: bool
    keep_last: int | None
    older_than_days: int | None
    keep_labelled: bool
    updated_at: datetime | None
    updated_by: str | None

    @classmethod
    def of(cls, rule: RetentionRule) -> Self:
        """Render a rule; one that was never set has no date."""
        is_set = not rule._state.adding  # noqa: SLF001 - Django's word for "not in the database"
        return cls(
            is_on=rule.is_on,
            keep_last=rule.keep_last,
            older_than_days=rule.older_than_days,
            keep_labelled=rule.keep_labelled,
            updated_at=rule.updated_at if is_set else None,
            updated_by=rule.updated_by.get_username() if rule.updated_by else None,
        )


class VerdictAnswer(Answer):
    """A version, whether it would go, and why it goes or stays."""

    number: int
    goes: bool
    reason: str
    file_count: int
    size: int


class DryRunAnswer(Answer):
    """What a rule would do now; `items` are the newest 1000 versions, the newest first.

    `freed_size` (bytes) comes back once what goes has been purged: what nothing else in the team holds.
    """

    going_count: int
    staying_count: int
    freed_size: int
    items: list[VerdictAnswer]


@router.get("", response=RuleAnswer, operation_id="get_retention", summary="Show a dataset's retention rule")
def get(request: ApiRequest, team: Path[str], name: Path[str]) -> RuleAnswer:
    """Return the rule."""
    dataset = get_dataset(request.auth, team=team, name=name)
    return RuleAnswer.of(retention.get_rule(request.auth, dataset=dataset))


@router.put("", response=RuleAnswer, operation_id="set_retention", summary="Set a dataset's retention rule")
def set_(request: ApiRequest, team: Path[str], name: Path[str], payload: NewRule) -> RuleAnswer:
    """Set the rule, on or off. 409 for an archived dataset. Needs the role writer."""
    dataset = get_dataset(request.auth, team=team, name=name)
    rule = retention.set_rule(request.auth, dataset=dataset, is_on=payload.is_on, limits=payload.limits())
    return RuleAnswer.of(rule)


@router.post("/dry-run", response=DryRunAnswer, operation_id="try_retention", summary="Try a retention rule")
def try_(request: ApiRequest, team: Path[str], name: Path[str], payload: RuleLimits) -> DryRunAnswer:
    """Tell which versions such a rule would move to the trash now, and why; nothing is changed."""
    dataset = get_dataset(request.auth, team=team, name=name)
    found = retention.dry_run(request.auth, dataset=dataset, limits=payload.limits())
    items = [
        VerdictAnswer(
            number=verdict.version.number,
            goes=verdict.goes,
            reason=verdict.reason,
            file_count=verdict.version.file_count,
            size=verdict.version.size,
        )
        for verdict in found.verdicts[:MOST_NAMED]
    ]
    return DryRunAnswer(
        going_count=len(found.going), staying_count=len(found.staying), freed_size=found.freed_size, items=items
    )
