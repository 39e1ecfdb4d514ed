"""Where the `flexai` program starts."""

import gc
import sys
from importlib.util import find_spec

INTERRUPTED = 130
# Objects more than before a search for garbage, of which the command makes hardly any.
OBJECTS = 50_000


def main() -> None:
    """Run the command line; say what to install where its packages are missing."""
    # A command line of httpx's own, which it would load with Click, Pygments and most of Rich wherever these are there.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    # What httpcore would load for asynchronous use.
    sys.modules["anyio"] = sys.modules["trio"] = None  # type: ignore[assignment]
    try:
        if find_spec("rich") is None:
            raise ModuleNotFoundError("No module named 'rich'", name="rich")  # noqa: TRY301

        from flexai_cli.app import run
    except ModuleNotFoundError as error:
        sys.exit(f"flexai needs the package {error.name}. Install it with: pip install 'flexai-dataset-manager[cli]'")
    except KeyboardInterrupt:
        # So early that nothing was begun.
        sys.exit(INTERRUPTED)
    # What was imported stays: no need to look through it again and again, nor after each 700 files.
    gc.freeze()
    gc.set_threshold(OBJECTS)
    sys.exit(run())
