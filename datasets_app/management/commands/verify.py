"""`manage.py verify`: read stored bytes again and compare them with their digests, in this process."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from datasets_app.errors import AppError
from datasets_app.models import Damage, Dataset, Verification
from datasets_app.services.integrity import verify_now
from datasets_app.templatetags.display import filesize_text

SHOWN_PATHS = 20


class Command(BaseCommand):
    help = (
        "Read everything that is stored, or one dataset, and compare each file and each tree with its digest. "
        "Ends with 1 when something is damaged."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dataset", metavar="TEAM/NAME", help="Only what this dataset holds.")

    def handle(self, *, dataset: str | None, **_options: object) -> None:
        try:
            run = verify_now(dataset=_find(dataset) if dataset else None, progress=self._tell)
        except AppError as error:
            raise CommandError(error.detail) from error
        if run.status == Verification.Status.FAILED:
            raise CommandError(f"The verification failed ({run.error}). The log tells more.")
        self.stdout.write(
            f"Read {filesize_text(run.read_size)} in {run.blob_count:,} blobs of {run.pack_count:,} packs, "
            f"and {run.directory_count:,} directories."
        )
        if run.healed_count:
            self.stdout.write(f"{run.healed_count:,} that were damaged are whole again.")
        for damage in Damage.objects.open().filter(run=run).select_related("blob"):
            self.stdout.write(f"Damaged ({damage.cause}): {damage.detail}")
            for row in damage.paths.select_related("version__dataset__team")[:SHOWN_PATHS]:
                self.stdout.write(f"  {row.version.dataset.team}/{row.version.label}: {row.path or '(all of it)'}")
        if run.damaged_count:
            raise CommandError(
                f"{run.damaged_count:,} are damaged. Upload or import the same files again to heal them."
            )
        self.stdout.write("Everything is what its digest says.")

    def _tell(self, run: Verification) -> None:
        self.stderr.write(f"{run.phase}: {filesize_text(run.read_size)} of {filesize_text(run.total_size)}")


def _find(name: str) -> Dataset:
    team, _, dataset = name.partition("/")
    found = Dataset.objects.filter(team__name=team, name=dataset).first()
    if found is None:
        raise CommandError(f"There is no dataset {dataset} in a team {team}.")
    return found
