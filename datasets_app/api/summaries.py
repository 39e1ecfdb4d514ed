"""The route about what is inside a version: made once after the seal, by a worker."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Path, Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer
from datasets_app.errors import Conflict
from datasets_app.services.findings import Finding
from datasets_app.services.summaries import VersionSummary, describe_version
from datasets_app.services.versions import find_version

router = Router()


class TypeAnswer(Answer):
    """The files of one ending, or of one modality (image, audio, video, table, text, archive, arrays, other)."""

    name: str
    modality: str
    files: int
    size: int


class LicenceAnswer(Answer):
    """A file that names a licence, or is one; `name` is empty where none is recognised."""

    path: str
    name: str


class SizeAnswer(Answer):
    """Pictures whose longer side has at most so many pixels (null: more than all of these), and more than before."""

    most_pixels: int | None
    files: int


class PicturesAnswer(Answer):
    """Pictures that were looked into: the smallest and the largest (width, height), and how many of which size."""

    files: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    longer_sides: list[SizeAnswer]


class MediaAnswer(Answer):
    """Recordings or films that were looked into, and how long they are together."""

    files: int
    seconds: float


class ColumnAnswer(Answer):
    """A column and its type, in Arrow's words."""

    name: str
    type: str


class SchemaAnswer(Answer):
    """Tables with the same columns, of which the first 50 are listed; `example` is one of them."""

    files: int
    rows: int
    column_count: int
    columns: list[ColumnAnswer]
    example: str


class TablesAnswer(Answer):
    """Tables that were looked into. The rows of `uncounted` large text tables are not counted."""

    files: int
    rows: int
    uncounted: int
    schemas: list[SchemaAnswer]


class PlaceAnswer(Answer):
    """Where something was found, and what; never the secret itself."""

    path: str
    detail: str


class FindingAnswer(Answer):
    """One kind of finding, with the first fifty places of `count`."""

    kind: str
    level: Literal["bad", "warn", "info"]
    title: str
    advice: str
    count: int
    places: list[PlaceAnswer]

    @classmethod
    def of(cls, finding: Finding) -> FindingAnswer:
        """Render one."""
        return cls(
            kind=finding.kind,
            level=finding.level,
            title=finding.title,
            advice=finding.advice,
            count=finding.count,
            places=[PlaceAnswer(path=path, detail=detail) for path, detail in finding.places],
        )


class SummaryAnswer(Answer):
    """What is inside a version. Status: waiting, running, finished, failed; null is not known, or not there.

    Of versions with very many files some are `looked_into`, evenly spread. Sizes are bytes.
    """

    status: str
    progress: int
    error: str
    file_count: int
    looked_into: int
    modalities: list[TypeAnswer]
    types: list[TypeAnswer]
    equal_size: int
    licences: list[LicenceAnswer]
    pictures: PicturesAnswer | None
    audio: MediaAnswer | None
    video: MediaAnswer | None
    tables: TablesAnswer | None
    findings: list[FindingAnswer]

    @classmethod
    def of(cls, summary: VersionSummary) -> SummaryAnswer:
        """Render a summary, however far it is made."""
        figures = summary.figures
        return cls(
            status=summary.status,
            progress=summary.progress,
            error=summary.error,
            file_count=summary.file_count,
            looked_into=summary.looked,
            modalities=[
                TypeAnswer(name=name, modality=name, files=files, size=size)
                for name, files, size in figures.get("modalities", [])
            ],
            types=[
                TypeAnswer(name=name, modality=modality, files=files, size=size)
                for name, modality, files, size in figures.get("types", [])
            ],
            equal_size=figures.get("equal_size", 0),
            licences=[LicenceAnswer(path=path, name=name) for path, name in figures.get("licences", [])],
            pictures=_pictures(figures.get("images")),
            audio=_media(figures.get("audio")),
            video=_media(figures.get("video")),
            tables=_tables(figures.get("tables")),
            findings=[FindingAnswer.of(finding) for finding in summary.findings],
        )


@router.get("/{number}/summary", response=SummaryAnswer, operation_id="get_summary", summary="What is inside a version")
def get(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> SummaryAnswer:
    """Return what was found out about the files; ask again while the status is waiting or running. 409 until sealed."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    summary = describe_version(request.auth, version=version)
    if summary is None:
        raise Conflict(f"{version.label} is {version.status}: its files are looked at once it is sealed.")
    return SummaryAnswer.of(summary)


def _pictures(images: dict[str, Any] | None) -> PicturesAnswer | None:
    if images is None:
        return None
    return PicturesAnswer(
        files=images["count"],
        smallest=tuple(images["least"]),
        largest=tuple(images["most"]),
        longer_sides=[SizeAnswer(most_pixels=side or None, files=count) for side, count in images["sides"]],
    )


def _media(media: dict[str, Any] | None) -> MediaAnswer | None:
    return MediaAnswer(files=media["count"], seconds=media["seconds"]) if media is not None else None


def _tables(tables: dict[str, Any] | None) -> TablesAnswer | None:
    if tables is None:
        return None
    return TablesAnswer(
        files=tables["count"],
        rows=tables["rows"],
        uncounted=tables["uncounted"],
        schemas=[
            SchemaAnswer(
                files=schema["count"],
                rows=schema["rows"],
                column_count=schema["column_count"],
                columns=[ColumnAnswer(name=name, type=kind) for name, kind in schema["columns"]],
                example=schema["example"],
            )
            for schema in tables["schemas"]
        ],
    )
