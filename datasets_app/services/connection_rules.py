"""What a connection may say: its values, judged field by field and then by the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets_app.errors import Invalid
from datasets_app.services.validation import check_text, invalid_field
from datasets_app.sources.base import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets_app.errors import ErrorItem
    from datasets_app.sources.base import Field, Provider

SECRET = "secret"  # noqa: S105 - the kind of a field
SWITCH = "switch"
LONG = "long"
ON = "on"
TEXT_LENGTH = 2_000
# Certificates, and keys of service accounts.
LONG_LENGTH = 100_000


def in_words(field: Field, values: Mapping[str, str]) -> str:
    """Write a setting as the form would; nothing where it is not set."""
    value = values.get(field.name, "")
    if field.kind == SWITCH and value:
        return "yes"
    return dict(field.choices).get(value, value)


def is_asked(field: Field, values: Mapping[str, str]) -> bool:
    """Whether the other values make a question of this one."""
    other, _, value = field.when.partition("=")
    return not other or values.get(other, "") == value


def clean_values(provider: Provider, values: Mapping[str, str]) -> Settings:
    """Judge each field by its kind, then let the provider judge them together."""
    fields = {field.name: field for field in provider.fields}
    errors: list[ErrorItem] = [
        {"field": name, "detail": f"{provider.label} has no field {name}."} for name in values if name not in fields
    ]
    found: dict[str, str] = {}
    given = {field.name: _spell(field, values.get(field.name, field.default)) for field in fields.values()}
    for field in fields.values():
        try:
            found[field.name] = _clean_value(field, given[field.name]) if is_asked(field, given) else ""
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid(" ".join(item["detail"] for item in errors), errors=errors)
    return provider.clean(
        Settings(
            values={name: value for name, value in found.items() if fields[name].kind != SECRET},
            secrets={name: value for name, value in found.items() if fields[name].kind == SECRET and value},
        )
    )


def _spell(field: Field, value: str) -> str:
    """Write a switch in the one way that is kept."""
    if field.kind != SWITCH:
        return value
    return ON if value in {ON, "true", "True", "1"} else ""


def _clean_value(field: Field, value: str) -> str:
    most = LONG_LENGTH if field.kind in {LONG, SECRET} else TEXT_LENGTH
    value = check_text(value, field=field.name, most=most, required=field.required)
    if value and field.choices and value not in dict(field.choices):
        raise invalid_field(field.name, f"{field.label} is one of {', '.join(name for name, _ in field.choices)}.")
    return value


def refuse_kept_secrets(
    provider: Provider, *, was: Mapping[str, str], cleaned: Settings, kept: Mapping[str, str]
) -> None:
    """Raise Invalid when secrets that were entered for one server (`was`) would be sent to another."""
    place = [field for field in provider.fields if field.is_place]
    if all(was.get(field.name, "") == cleaned.values.get(field.name, "") for field in place):
        return
    stale = [field for field in provider.fields if kept.get(field.name) and field.name in cleaned.secrets]
    same = [field for field in stale if cleaned.secrets[field.name] == kept[field.name]]
    if same:
        detail = "Enter this again: it belongs to the store that was named before."
        raise Invalid(
            "The store is another one now, so its credentials have to be entered again.",
            errors=[{"field": field.name, "detail": detail} for field in same],
        )
