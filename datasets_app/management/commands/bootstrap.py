"""`manage.py bootstrap`: set up an installation without a browser."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from datasets_app.errors import AppError
from datasets_app.services.accounts import bootstrap


class Command(BaseCommand):
    help = (
        "Make the first administrator and team, unless they exist, and print an API token alone on the last line. "
        "The token replaces the one that this command made before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument("--password", required=True, help="Kept only when the account is new.")
        parser.add_argument("--team", required=True)

    def handle(self, *, username: str, password: str, team: str, **_options: object) -> None:
        try:
            done = bootstrap(username=username, password=password, team=team)
        except AppError as error:
            raise CommandError(error.detail) from error
        state = "Made the account" if done.user_is_new else "Kept the account"
        self.stdout.write(f"{state} {done.user.get_username()}, admin of the team {done.team.name}. Its API token:")
        self.stdout.write(done.token)
