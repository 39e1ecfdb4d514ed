"""Routes about the caller: who it is, and its API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.http import HttpResponse
from ninja import Path, Router, Status
from pydantic import Field

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body
from datasets_app.models import ApiToken
from datasets_app.services.tokens import create_token, list_tokens, revoke_token

router = Router()


class NewToken(Body):
    """A token to make. `scope` is the most that it may do: reader, writer or admin; with `team`, in that team alone."""

    name: str = Field(examples=["training cluster"])
    scope: str = Field("reader", examples=["reader"])
    team: str = Field("", examples=["vision"])
    expires_in_days: int | None = Field(None, examples=[90])


class TokenAnswer(Answer):
    """A token, without its text. `last_used_at` is right to the minute."""

    id: int
    name: str
    prefix: str
    scope: str
    team: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, row: ApiToken, **more: Any) -> Self:
        """Render a token."""
        return cls(
            id=row.pk,
            name=row.name,
            prefix=row.prefix,
            scope=row.scope,
            team=row.team.name if row.team is not None else None,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            **more,
        )


class FreshTokenAnswer(TokenAnswer):
    """A new token. `token` is its text, which is told this once."""

    token: str


class TokensAnswer(Answer):
    """All tokens of the caller; never more than one page."""

    items: list[TokenAnswer]
    next_cursor: None = None


class MeAnswer(Answer):
    """Who is calling; `token` is the one in use, null for a session."""

    username: str
    token: TokenAnswer | None


@router.get("/me", response=MeAnswer, operation_id="get_me", summary="Show who I am")
def me(request: ApiRequest) -> MeAnswer:
    """Return the caller's account and the token in use."""
    row = request.auth.access_token
    return MeAnswer(username=request.auth.get_username(), token=TokenAnswer.of(row) if row is not None else None)


@router.get("/tokens", response=TokensAnswer, operation_id="list_tokens", summary="List my tokens")
def list_all(request: ApiRequest) -> TokensAnswer:
    """Return the caller's tokens that are not revoked, the newest first. A narrower token sees itself alone."""
    return TokensAnswer(items=[TokenAnswer.of(row) for row in list_tokens(request.auth)])


@router.post("/tokens", response={201: FreshTokenAnswer}, operation_id="create_token", summary="Make a token")
def create(request: ApiRequest, payload: NewToken, response: HttpResponse) -> Any:  # noqa: ANN401
    """Make a token; its text is in this answer only. A token can make no wider or longer one, and takes it along."""
    row, text = create_token(request.auth, **payload.model_dump())
    response.headers["Cache-Control"] = "no-store"
    return Status(201, FreshTokenAnswer.of(row, token=text))


@router.delete("/tokens/{token_id}", response={204: None}, operation_id="revoke_token", summary="Revoke a token")
def revoke(request: ApiRequest, token_id: Path[int]) -> Any:  # noqa: ANN401
    """End a token at once, and all that it made. Twice is the same as once."""
    revoke_token(request.auth, token_id=token_id)
    return Status(204, None)
