"""How many requests one token may make."""

from __future__ import annotations

import pytest
from django.test import override_settings

from datasets_app.api.limits import Limiter
from tests.factories import api_client, make_member, make_team


@pytest.mark.django_db
@override_settings(API_REQUESTS_PER_MINUTE=3)
def test_it_works() -> None:
    user = make_member(make_team())
    client, other = api_client(user), api_client(user)
    answers = [client.get("/api/v1/teams") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 21
    # Another token has a count of its own, and so has no caller at all.
    assert other.get("/api/v1/teams").status_code == 200


@pytest.mark.django_db
@override_settings(API_REQUESTS_PER_MINUTE=0)
def test_no_limit() -> None:
    client = api_client(make_member(make_team()))
    assert {client.get("/api/v1/me").status_code for _ in range(20)} == {200}


def test_the_bucket_fills_again() -> None:
    limiter = Limiter()
    assert [limiter.take("a", 6000) > 0 for _ in range(6001)].count(True) <= 1
    wait = limiter.take("a", 6000)
    assert 0 <= wait <= 0.02
