"""What the web server does before it forks its processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = (
    "from flexai_site.web import prepare_application; prepare_application(); "
    "from django.db import connection; assert connection.connection is None"
)


@pytest.mark.parametrize("database", ["", "postgresql://nobody@127.0.0.1:1/none"])
def test_no_connection_is_open_when_the_processes_are_forked(database: str, tmp_path: Path) -> None:
    # They would share it, and mix up their answers.
    environment = os.environ | {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "flexai_site.settings"}
    environment.pop("DATABASE_URL", None)
    if database:
        environment["DATABASE_URL"] = database

    subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, check=True)
