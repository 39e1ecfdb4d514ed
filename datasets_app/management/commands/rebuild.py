"""`manage.py rebuild`: bring datasets back from the store alone."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from datasets_app.services.rebuilding import rebuild


class Command(BaseCommand):
    help = (
        "Bring back every version whose manifest lies in the store and that the database does not have: after the "
        "database was lost, or an old backup of it was restored. Teams come back without members."
    )

    def handle(self, **_options: object) -> None:
        done = rebuild(tell=self.stdout.write)
        self.stdout.write(f"Brought back {len(done.versions):,} versions; {done.kept:,} were there already.")
        if done.damaged:
            self.stdout.write(f"{done.damaged:,} files have no bytes in the store. Upload them again to heal them.")
        self.stdout.write("Run `manage.py verify` next, and add members to the teams.")
        for problem in done.problems:
            self.stderr.write(problem)
        if done.problems:
            raise CommandError(f"{len(done.problems):,} manifests could not be used.")
