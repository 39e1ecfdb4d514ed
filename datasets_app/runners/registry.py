"""The runners there are. A new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import Final

from datasets_app.runners.base import Runner
from datasets_app.runners.local import LocalRunner

RUNNERS: Final[dict[str, type[Runner]]] = {"local": LocalRunner}
