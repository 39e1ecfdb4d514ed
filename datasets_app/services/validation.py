"""Rules for what people type, as `Invalid` errors that name the field."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from datasets_app.errors import ErrorItem, Invalid
from datasets_app.models import NAME_PATTERN, NAME_RULE, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.core.exceptions import ValidationError

# Words that stand in a URL where a name could stand: /teams/new/, /teams/x/datasets/new/.
RESERVED_NAMES = {"new"}
TAG_LIMIT = 20
TAG_LENGTH = 50


def invalid_field(field: str, detail: str) -> Invalid:
    """Make the error for one wrong field."""
    return Invalid(detail, errors=[{"field": field, "detail": detail}])


def invalid_from(error: ValidationError, *, field: str = "") -> Invalid:
    """Make one error of what Django's validators found; `field` names the field where they looked at a lone value."""
    found = error.message_dict if hasattr(error, "error_dict") else {field: error.messages}
    items: list[ErrorItem] = [{"field": name, "detail": text} for name, texts in found.items() for text in texts]
    return Invalid(" ".join(item["detail"] for item in items), errors=items)


def check_name(name: str, *, field: str = "name") -> str:
    """Return `name` if teams, datasets and jobs may be called so."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise invalid_field(field, f"A name has {NAME_RULE}.")
    if name.lower() in RESERVED_NAMES:
        raise invalid_field(field, f"The name {name} is used by the application itself.")
    return name


def check_text(text: str, *, field: str, most: int, required: bool = False) -> str:
    """Return `text` without the space around it, if it has at most `most` characters and none that can't be shown."""
    text = text.strip()
    if required and not text:
        raise invalid_field(field, "This is needed.")
    if len(text) > most:
        raise invalid_field(field, f"This has {len(text):,} characters; at most {most:,} fit.")
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\r\t" for char in text):
        raise invalid_field(field, "This holds a control character.")
    return text


def check_role(role: str, *, field: str = "role") -> Role:
    """Return the role called `role`."""
    if role not in Role.values:
        raise invalid_field(field, f"A role is one of {', '.join(Role.values)}.")
    return Role(role)


def check_days(days: int, *, most: int, field: str = "expires_in_days") -> int:
    """Return `days` if it is a lifetime from 1 to `most` days."""
    if not 1 <= days <= most:
        raise invalid_field(field, f"It can last from 1 to {most} days.")
    return days


def check_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags in lower case, each once, sorted."""
    cleaned = sorted({unicodedata.normalize("NFC", tag).strip().lower() for tag in tags} - {""})
    if len(cleaned) > TAG_LIMIT:
        raise invalid_field("tags", f"A dataset has at most {TAG_LIMIT} tags.")
    for tag in cleaned:
        if len(tag) > TAG_LENGTH or "," in tag or not tag.isprintable():
            raise invalid_field("tags", f"A tag has at most {TAG_LENGTH} characters and no comma: {tag[:60]!r}.")
    return cleaned
