"""The page that publishes the digest format: its table and its program agree with the vectors."""

import textwrap
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.store.vectors import VERSIONS

PAGE = (Path(__file__).parents[2] / "docs" / "decisions" / "0002-digest-format.md").read_text("utf-8")


def test_every_vector_is_in_the_table() -> None:
    for name, _, digest in VERSIONS:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        assert row.endswith(f"| `{digest.removeprefix('sha256:')}` |")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("name", "files", "digest"), VERSIONS)
def test_the_program_computes_it(name: str, files: dict[str, bytes], digest: str, tmp_path: Path) -> None:
    start = PAGE.index("    import hashlib, os")
    program: dict[str, Any] = {}
    exec(textwrap.dedent(PAGE[start : PAGE.index("\n(", start)]), program)  # noqa: S102 - our own page
    (tmp_path / "no files" / "count").mkdir(parents=True)
    for path, content in files.items():
        target = tmp_path / unicodedata.normalize("NFC", path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    assert f"sha256:{program['digest'](tmp_path)[0]}" == digest, name
