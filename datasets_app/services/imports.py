"""Imports: what people may ask for. Workers do them in `importing`.

Readers see them; writers start, cancel and retry them, by connections that an admin has made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import (
    AuditEvent,
    Connection,
    Dataset,
    Import,
    ImportPart,
    ImportProblem,
    StagedFile,
    Version,
)
from datasets_app.permissions import get_visible, require
from datasets_app.services import content
from datasets_app.services.connections import PATH_LENGTH, REVISION_LENGTH
from datasets_app.services.datasets import create_dataset
from datasets_app.services.import_paths import clean_prefix
from datasets_app.services.import_preview import ImportPreview, preview_import
from datasets_app.services.import_progress import ImportProgress, has_untried, is_retriable, measure_import
from datasets_app.services.importing import describe_source, end_import, finish, start_waiting
from datasets_app.services.paging import Page, take_page
from datasets_app.services.staged import lock_open
from datasets_app.services.teams import get_team
from datasets_app.services.validation import invalid_field
from datasets_app.services.versions import create_version
from datasets_app.store.patterns import clean_patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import User

__all__ = [
    "ImportPreview",
    "ImportProgress",
    "cancel_import",
    "find_imports",
    "get_import",
    "import_dataset",
    "leave_out_failed",
    "list_problems",
    "measure_import",
    "preview_import",
    "retry_import",
    "start_import",
]

PROBLEM_ROWS = 100
CANCELLED = "The import was cancelled before all files were here. Retry it, or abandon the version."


def import_dataset(  # noqa: PLR0913 - one argument for each field of the form
    actor: User,
    *,
    team: str,
    name: str,
    connection: Connection,
    source_path: str,
    revision: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prefix: str = "",
    base: int | str | None = None,
    description: str = "",
    message: str = "",
    seal: bool = True,
) -> Import:
    """Import into a new version of the dataset `name`, which is made when the team has none of that name.

    `base`: the available version (its number or a label) whose files the new one begins with; `description` is a new
    dataset's, `message` the version's. Raises as `start_import` does, and makes nothing then.
    """
    require(actor, "import.create", get_team(actor, team=team))
    _check_source(actor, connection, source_path, revision)
    with transaction.atomic():
        dataset = Dataset.objects.visible_to(actor).active().filter(team__name=team, name=name).first()
        if dataset is None:
            dataset = create_dataset(actor, team=team, name=name, description=description)
        version = create_version(actor, dataset=dataset, base=base, message=message)
        return start_import(
            actor,
            version=version,
            connection=connection,
            source_path=source_path,
            revision=revision,
            include=include,
            exclude=exclude,
            prefix=prefix,
            seal=seal,
        )


def start_import(  # noqa: PLR0913
    actor: User,
    *,
    version: Version,
    connection: Connection,
    source_path: str,
    revision: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prefix: str = "",
    seal: bool = True,
) -> Import:
    """Copy what lies below `source_path` into the open version, at its root or below `prefix`, and seal it then.

    Patterns as `store.patterns` tells. It waits for its turn where the team has many imports. Conflict while another
    one into this version is under way.
    """
    require(actor, "import.create", version)
    _check_source(actor, connection, source_path, revision)
    if connection.team_id != version.dataset.team_id:
        raise NotFound(f"There is no connection {connection.name} in the team of {version.dataset.name}.")
    run = Import(
        version=version,
        connection=connection,
        connection_name=connection.name,
        provider=connection.provider,
        source_path=source_path,
        revision=revision,
        include=clean_patterns(include, field="include"),
        exclude=clean_patterns(exclude, field="exclude"),
        prefix=clean_prefix(prefix),
        seal=seal,
        created_by=actor,
    )
    with transaction.atomic():
        # In this order for all: a connection is not changed while an import that uses it begins.
        if Connection.objects.select_for_update().filter(pk=connection.pk).first() is None:
            raise NotFound(f"The connection {connection.name} was deleted.")
        lock_open(version)
        _refuse_second(version)
        run.first_staged = StagedFile.objects.aggregate(last=Max("pk"))["last"] or 0
        run.save()
        _set_syncing(version, run)
        AuditEvent.objects.record(
            actor,
            team=version.dataset.team,
            verb="started import",
            subject=version.label,
            connection=connection.name,
            path=source_path,
        )
    start_waiting(version.dataset.team_id)
    return _reload(run)


def cancel_import(actor: User, *, run: Import) -> Import:
    """Stop an import. What it has brought stays in the open version, so that a retry goes on from there."""
    require(actor, "import.stop", run)
    # It may have ended while somebody read the question, and its version be sealed: that is what they should be told.
    if not run.is_active:
        raise Conflict(f"This import is {run.status} already.")
    with transaction.atomic():
        found = _lock(run)
        if not found.is_active:
            raise Conflict(f"This import is {found.status} already.")
        end_import(found, Import.Status.CANCELLED, CANCELLED)
        _record(actor, run, "cancelled import")
    _discard_staged(run)
    start_waiting(run.version.dataset.team_id)
    return _reload(run)


def retry_import(actor: User, *, run: Import) -> Import:
    """Go on with an import that failed or was cancelled: with its listing, and with the files that are not here."""
    require(actor, "import.create", run)
    with transaction.atomic():
        if run.connection_id is not None:
            list(Connection.objects.select_for_update().filter(pk=run.connection_id).values_list("pk", flat=True))
        found = _lock_incomplete(run)
        if found.connection is None:
            raise Conflict(f"The connection {found.connection_name} was deleted. Start a new import.")
        if not is_retriable(found):
            raise Conflict(
                "Trying again is of no use: what failed can't be a file of a dataset. Rename it at its source and "
                "start a new import, or leave it out."
                if found.refused_files
                else f"Trying again is of no use: the listing of {found.source_path} is complete, and holds no files "
                "for this import. Start a new import with another path or other patterns."
            )
        parts = ImportPart.objects.filter(run=run)
        parts.filter(status=ImportPart.Status.FAILED).update(status=ImportPart.Status.WAITING, attempts=1)
        found.version.staged.failed().filter(pk__gt=found.first_staged, upload=None).update(error="")
        ImportProblem.objects.filter(run=run, is_refused=False).delete()
        Import.objects.filter(pk=run.pk).update(
            status=Import.Status.WAITING,
            error="",
            failed_files=0,
            failed_in_a_row=0,
            outages=0,
            paused_until=None,
            finished_at=None,
            samples=[],
            served_at=timezone.now(),
        )
        _set_syncing(found.version, found)
        _record(actor, run, "retried import")
    start_waiting(run.version.dataset.team_id)
    return _reload(run)


def leave_out_failed(actor: User, *, run: Import) -> Import:
    """Finish a failed import without the files that failed, and seal the version if it was to be.

    How many were left out is kept in the version's source. Conflict while files have not even been tried.
    """
    require(actor, "import.create", run)
    with transaction.atomic():
        found = _lock_incomplete(run)
        if has_untried(found):
            raise Conflict("Not all files have been tried: retry the import first.")
        mine = found.version.staged.filter(pk__gt=found.first_staged, upload=None)
        if mine.failed().count() >= mine.count() and found.version.base_id is None:
            raise Conflict("No file of this import is here: there is nothing to go on with.")
        mine.failed().delete()
        finish(found, left_out=found.failed_files + found.refused_files)
        _record(actor, run, "left out failed files")
    return _reload(run)


def find_imports(actor: User, *, version: Version) -> list[Import]:
    """Return all imports into the version, the newest first."""
    require(actor, "import.view", version)
    rows = Import.objects.filter(version=version).select_related("created_by", "connection")
    return list(rows.order_by("-pk"))


def get_import(actor: User, *, version: Version) -> Import | None:
    """Return the newest import into the version, with what its page shows; None when there is none."""
    require(actor, "import.view", version)
    rows = Import.objects.filter(version=version).select_related("created_by", "connection", "version__dataset__team")
    return rows.order_by("-pk").first()


def list_problems(
    actor: User, *, run: Import, cursor: str | None = None, limit: int = PROBLEM_ROWS
) -> Page[ImportProblem]:
    """Return one page of what could not be imported, the first first. Of very many, the first 10,000 are kept.

    A retry forgets those that it tries again.
    """
    require(actor, "import.view", run)
    return take_page(ImportProblem.objects.filter(run=run), order=("id",), cursor=cursor, limit=limit)


def _check_source(actor: User, connection: Connection, source_path: str, revision: str) -> None:
    require(actor, "connection.use", connection)
    for field, text, most in (("source_path", source_path, PATH_LENGTH), ("revision", revision, REVISION_LENGTH)):
        if len(text) > most:
            raise invalid_field(field, f"This has {len(text):,} characters; at most {most:,} fit.")
        if "\0" in text:
            raise invalid_field(field, "This holds a NUL character.")
    if not source_path.strip("/ "):
        raise invalid_field("source_path", "Say what to import, for instance bucket/folder.")


def _refuse_second(version: Version) -> None:
    if Import.objects.active().filter(version=version).exists():
        raise Conflict(f"An import into {version.label} is under way already.")


def _set_syncing(version: Version, run: Import) -> None:
    version.source = describe_source(run)
    version.status = Version.Status.SYNCING
    Version.objects.filter(pk=version.pk).update(status=version.status, source=version.source, error="")


def _lock(run: Import) -> Import:
    """Lock the version, then the import, as workers do."""
    lock_open(run.version)
    rows = Import.objects.select_for_update(of=("self",)).filter(pk=run.pk)
    return get_visible(rows.select_related("version__dataset__team", "connection").first(), "such import")


def _lock_incomplete(run: Import) -> Import:
    """Lock an import that has ended with files missing; Conflict for others, and for one that is not the newest."""
    found = _lock(run)
    if found.status not in Import.INCOMPLETE:
        raise Conflict(f"This import is {found.status}.")
    if Import.objects.filter(version=found.version, pk__gt=found.pk).exists():
        raise Conflict(f"There is a newer import into {found.version.label}.")
    return found


def _discard_staged(run: Import) -> None:
    """Give the disk back that a large file took which is not whole; the rest of it is fetched anew by a retry."""
    kept = ImportPart.objects.filter(run=run, staged_as__isnull=False)
    for part in kept.unleased():
        if part.staged_as is not None:
            ImportPart.objects.filter(pk=part.pk).update(staged_as=None, staged_size=0)
            content.staging().remove(part.staged_as)


def _record(actor: User, run: Import, verb: str) -> None:
    team = run.version.dataset.team
    AuditEvent.objects.record(actor, team=team, verb=verb, subject=run.version.label, source=str(run))


def _reload(run: Import) -> Import:
    return Import.objects.select_related("version__dataset__team", "connection", "created_by").get(pk=run.pk)
