"""The `flexai` command and the Python client: they talk to the HTTP API only, and import nothing of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flexai_cli.version import VERSION as __version__  # noqa: N811 - Python's name for it

if TYPE_CHECKING:
    from flexai_cli.client import Client
    from flexai_cli.errors import FlexaiError

__all__ = ["Client", "FlexaiError", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what Python asks for
    """Load the client when it is asked for, so that the command starts fast."""
    if name == "Client":
        from flexai_cli.client import Client

        return Client
    if name == "FlexaiError":
        from flexai_cli.errors import FlexaiError

        return FlexaiError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
