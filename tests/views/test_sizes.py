"""Sizes as people write them into fields."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from datasets_app.forms import SizeField


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("700", 700),
        ("700 B", 700),
        ("1.5 GiB", 3 * 2**29),
        ("512M", 2**29),
        ("64k", 2**16),
        # As pages write the sizes that one looks for.
        ("611 kB", 611_000),
        ("10 MB", 10_000_000),
        ("2 TB", 2 * 10**12),
    ],
)
def test_it_works(text: str, size: int | None) -> None:
    assert SizeField(required=False).clean(text) == size


@pytest.mark.parametrize("text", ["much", "-1", "1 XB", "1 M iB"])
def test_nonsense(text: str) -> None:
    with pytest.raises(ValidationError, match="Write a size such as"):
        SizeField(required=False).clean(text)
