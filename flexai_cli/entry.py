"""Where the `flexai` program starts."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; say what to install where its packages are missing."""
    try:
        import httpx  # noqa: F401
        import rich  # noqa: F401
        import typer  # noqa: F401

        from flexai_cli.app import run
    except ModuleNotFoundError as error:
        sys.exit(f"flexai needs the package {error.name}. Install it with: pip install 'flexai-dataset-manager[cli]'")
    except KeyboardInterrupt:
        # So early that nothing was begun.
        sys.exit(INTERRUPTED)
    sys.exit(run())
