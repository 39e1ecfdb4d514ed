"""Encrypt all stored credentials with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from datasets_app.services.credentials import rotate_credentials


class Command(BaseCommand):
    help = (
        "Encrypt the credentials of all connections with the first key of CREDENTIALS_KEYS. "
        "Afterwards the other keys may be taken away."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        done, unreadable = rotate_credentials()
        self.stdout.write(f"Encrypted with the first key: {done}")
        if unreadable:
            raise CommandError(
                f"No key can read the credentials of {', '.join(unreadable)}. Keep the old keys, or enter them again."
            )
