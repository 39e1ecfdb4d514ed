"""Routes about labels: names for versions that can be moved."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body
from datasets_app.models import Label
from datasets_app.services import labels
from datasets_app.services.datasets import get_dataset
from datasets_app.services.versions import find_version

router = Router()


class LabelTarget(Body):
    """The version that a label shall point to: a number, or another label."""

    version: int | str


class LabelAnswer(Answer):
    """A label. While its version is in the trash (`in_trash`), it names nothing."""

    name: str
    version: int
    in_trash: bool
    updated_at: datetime
    updated_by: str | None

    @classmethod
    def of(cls, label: Label) -> Self:
        """Render a label."""
        return cls(
            name=label.name,
            version=label.version.number,
            in_trash=label.version.deleted_at is not None,
            updated_at=label.updated_at,
            updated_by=label.updated_by.get_username() if label.updated_by else None,
        )


class LabelsAnswer(Answer):
    """All labels of a dataset, by name. `latest` is not among them: it is always the newest available version."""

    items: list[LabelAnswer]


@router.get("", response=LabelsAnswer, operation_id="list_labels", summary="List labels")
def list_all(request: ApiRequest, team: Path[str], name: Path[str]) -> LabelsAnswer:
    """Return the dataset's labels (at most 100)."""
    dataset = get_dataset(request.auth, team=team, name=name)
    return LabelsAnswer(items=[LabelAnswer.of(row) for row in labels.list_labels(request.auth, dataset=dataset)])


@router.put("/{label}", response=LabelAnswer, operation_id="set_label", summary="Set or move a label")
def set_(request: ApiRequest, team: Path[str], name: Path[str], label: Path[str], payload: LabelTarget) -> LabelAnswer:
    """Let the label point to an available version. Needs the role writer."""
    dataset = get_dataset(request.auth, team=team, name=name)
    version = find_version(request.auth, team=team, dataset=name, number=payload.version)
    return LabelAnswer.of(labels.set_label(request.auth, dataset=dataset, name=label, version=version))


@router.delete("/{label}", response={204: None}, operation_id="delete_label", summary="Delete a label")
def delete(request: ApiRequest, team: Path[str], name: Path[str], label: Path[str]) -> Any:  # noqa: ANN401
    """Take the label away; the version stays. Needs the role writer."""
    labels.delete_label(request.auth, dataset=get_dataset(request.auth, team=team, name=name), name=label)
    return Status(204, None)
