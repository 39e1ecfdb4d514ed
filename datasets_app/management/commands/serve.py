"""`manage.py serve`: run the whole installation on this machine."""

from __future__ import annotations

import fcntl
import threading
import time
import urllib.request
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from datasets_app.services.running import find_runner
from flexai_site.processes import run_processes
from flexai_site.static_files import collect_static_files
from flexai_site.web import ListenError, open_listener

# A server that was killed leaves processes that end by themselves within moments.
LOCK_SECONDS = 10
READY_SECONDS = 60


class Command(BaseCommand):
    help = "Prepare database and static files, then run the web server and one worker until Ctrl-C."
    requires_system_checks: list[str] = []

    def handle(self, **_options: object) -> None:
        lock = self.take_lock(Path(settings.DATA_DIR))
        self.check_address()
        self.check_tools()
        self.prepare()
        threading.Thread(target=self.announce, daemon=True).start()
        problem = run_processes(settings.BASE_DIR)
        lock.close()
        if problem:
            raise CommandError(problem)

    def take_lock(self, folder: Path) -> IO[str]:
        lock = (folder / "serve.lock").open("w")
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    message = (
                        f"Another server already runs on DATA_DIR {str(folder)!r}: stop it or choose another DATA_DIR."
                    )
                    raise CommandError(message) from None
                time.sleep(0.1)
            else:
                return lock

    def check_address(self) -> None:
        try:
            open_listener(settings.HOST, settings.PORT).close()
        except ListenError as error:
            raise CommandError(str(error)) from error

    def check_tools(self) -> None:
        problem = find_runner("local").check()
        if problem is not None:
            # Written for pages, where backticks set off what to type.
            self.warn(f"No job can run on this machine. {problem.replace('`', '')}")
        if not (settings.BASE_DIR / "node_modules" / "tus-js-client").is_dir():
            self.warn("The browser libraries are missing, so the upload page can't work. Use `make run`, or `npm ci`.")

    def warn(self, message: str) -> None:
        self.stderr.write(self.style.WARNING(message))

    def prepare(self) -> None:
        try:
            # Most starts find nothing to do, and looking so costs a third of what `migrate` takes to find that out.
            executor = MigrationExecutor(connection)
            executor.loader.check_consistent_history(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                call_command("migrate", interactive=False, verbosity=0)
        except (DatabaseError, ImproperlyConfigured) as error:
            message = f"The database of DATABASE_URL can't be used: {str(error).strip().splitlines()[0]}"
            raise CommandError(message) from error
        try:
            collect_static_files()
        except OSError as error:
            message = (
                f"Static files can't be collected into STATIC_ROOT {str(settings.STATIC_ROOT)!r}: {error.strerror}."
            )
            raise CommandError(message) from error

    def announce(self) -> None:
        host = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::"} else settings.HOST  # noqa: S104
        address = f"[{host}]" if ":" in host else host
        local = f"http://{address}:{settings.PORT}{settings.URL_PREFIX}"
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{local}/healthz", timeout=2):  # noqa: S310 (our own address)
                    break
            except OSError:
                time.sleep(0.1)
        else:
            return
        self.stdout.write(
            self.style.SUCCESS(f"FlexAI Dataset Manager runs on {settings.PUBLIC_URL or local}/  (Ctrl-C stops it)")
        )
        self.stdout.flush()
