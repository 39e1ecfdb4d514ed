"""`manage.py collect`: remove what nothing needs any more, now and in this process."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from datasets_app.errors import AppError
from datasets_app.models import CollectionRun
from datasets_app.services.garbage import collect_now
from datasets_app.services.storage import report_rows
from datasets_app.templatetags.display import filesize_text


class Command(BaseCommand):
    help = "Collect garbage now. What is in use, or was until a grace period (GRACE_HOURS) ago, is never touched."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be removed.")
        parser.add_argument(
            "--forget-unknown",
            action="store_true",
            help="Remove unknown objects although the store holds versions that this database has never heard of.",
        )

    def handle(self, *, dry_run: bool, forget_unknown: bool, **_options: object) -> None:
        try:
            run = collect_now(is_dry_run=dry_run, forget_unknown=forget_unknown)
        except AppError as error:
            raise CommandError(error.detail) from error
        self.stdout.write("Would be removed:" if dry_run else "Removed:")
        for row in report_rows(run):
            self.stdout.write(f"  {row.count:>12,}  {filesize_text(row.size):>8}  {row.words}")
        for note in run.notes:
            self.stdout.write(note)
        if run.status == CollectionRun.Status.FAILED:
            raise CommandError(f"Some steps failed: {run.error}. The log tells more.")
