"""Which release this is; the same number stands in pyproject.toml."""

from typing import Final

VERSION: Final = "0.1.0"
USER_AGENT: Final = f"flexai/{VERSION}"
