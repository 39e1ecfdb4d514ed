"""A column type for paths, whose order in the database is the order of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from datasets_app.store.paths import from_key, to_key

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Expression


def below(folder: str) -> Q:
    """Select what lies below `folder`: one range of the index; `startswith` doesn't ask the field how to store."""
    return Q(path__gt=f"{folder}/", path__lt=f"{folder}\x02")


class TreePathField(models.CharField[str, str]):
    r"""A normalised path. Stored with \x01 for each "/", so that plain byte order visits a tree depth first.

    "a", "a/b", "a-b" is tree order, but not the byte order of the paths themselves.
    """

    def get_prep_value(self, value: Any) -> Any:  # noqa: ANN401 - Django's signature
        """Turn a path into its stored form."""
        prepared = super().get_prep_value(value)
        return to_key(prepared) if isinstance(prepared, str) else prepared

    def from_db_value(self, value: str | None, _expression: Expression, _connection: BaseDatabaseWrapper) -> str | None:
        """Turn the stored form into a path."""
        return None if value is None else from_key(value)
