"""Settings of a test run: the real ones, read from an environment that points into a temporary folder.

Each process of a parallel run has a folder of its own. `TEST_DATABASE=postgresql` starts a PostgreSQL for the run.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folder = Path(tempfile.mkdtemp(prefix="flexai-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

# Nothing of the developer's own installation may reach a test.
for _name in [name for name in os.environ if name.startswith("FLEXAI_")]:
    del os.environ[_name]
for _name in ("PACKS_URL", "BROKER_URL", "PUBLIC_URL", "URL_PREFIX", "DEBUG"):
    os.environ.pop(_name, None)
os.environ["DATA_DIR"] = str(_folder)

if os.environ.get("TEST_DATABASE") == "postgresql":
    if "TEST_DATABASE_URL" not in os.environ:
        from tests.postgresql import start_postgresql

        # The processes of a parallel run inherit the URL, and so share the server.
        os.environ["TEST_DATABASE_URL"] = start_postgresql()
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
else:
    os.environ.pop("DATABASE_URL", None)

from flexai_site.settings import *  # noqa: E402, F403
from flexai_site.settings import STORAGES  # noqa: E402

# Tests sign in often, and guess no passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Pages are rendered without a `collectstatic` before.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_AUTOREFRESH = True
# Most tests play the worker themselves, and look at what it leaves when it dies.
SEALED_IN_REQUEST_FILES = 0
