"""What schemas of the API have in common, and the shapes that several routes use."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Body(BaseModel):
    """A request's JSON. Unknown fields are refused, so that no typing error passes for a default; nothing is cast."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PathList(Body):
    """At most 1000 paths."""

    paths: list[str]


class Answer(BaseModel):
    """A response's JSON, built by the route: return an instance, and it is not validated again."""


class Page(Answer, Generic[T]):
    """One page of a list. `next_cursor` fetches the next; null at the end."""

    items: list[T]
    next_cursor: str | None
