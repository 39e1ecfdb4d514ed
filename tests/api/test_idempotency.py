"""The header Idempotency-Key: a request that is sent again makes nothing twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from datasets_app.api import api
from datasets_app.api.idempotency import PREFIX, REPEATABLE
from datasets_app.models import Dataset, IdempotencyKey, Role, Version
from tests.factories import api_client, make_dataset, make_member, make_team, make_token

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]


def test_it_works() -> None:
    dataset = make_dataset(make_team())
    client = api_client(make_member(dataset.team))
    url = f"/api/v1/teams/{dataset.team.name}/datasets/{dataset.name}/versions"
    headers = {"Idempotency-Key": "one"}
    first = client.post(url, {"message": "m"}, content_type="application/json", headers=headers)
    again = client.post(url, {"message": "m"}, content_type="application/json", headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.headers["Location"], again.headers["Location"]) == (f"{url}/1", f"{url}/1")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Version.objects.count() == 1

    other = client.post(url, {"message": "m"}, content_type="application/json", headers={"Idempotency-Key": "two"})
    assert other.json()["number"] == 2
    assert client.post(url, {}, content_type="application/json").json()["number"] == 3


def test_another_request_with_the_same_key_is_refused() -> None:
    dataset = make_dataset(make_team())
    client = api_client(make_member(dataset.team))
    url = f"/api/v1/teams/{dataset.team.name}/datasets/{dataset.name}/versions"
    headers = {"Idempotency-Key": "one"}
    client.post(url, {"message": "a"}, content_type="application/json", headers=headers)
    refused = client.post(url, {"message": "b"}, content_type="application/json", headers=headers)
    assert refused.status_code == 422
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_a_key_belongs_to_one_token() -> None:
    dataset = make_dataset(make_team())
    url = f"/api/v1/teams/{dataset.team.name}/datasets/{dataset.name}/versions"
    user = make_member(dataset.team)
    for _ in range(2):
        client = api_client(user)
        assert (
            client.post(url, {}, content_type="application/json", headers={"Idempotency-Key": "k"}).status_code == 201
        )
    assert Version.objects.count() == 2


def test_errors_are_not_kept() -> None:
    team = make_team()
    client = api_client(make_member(team))
    url = f"/api/v1/teams/{team.name}/datasets/later/versions"
    headers = {"Idempotency-Key": "one"}
    assert client.post(url, {}, content_type="application/json", headers=headers).status_code == 404
    assert not IdempotencyKey.objects.exists()
    make_dataset(team, "later")
    assert client.post(url, {}, content_type="application/json", headers=headers).status_code == 201


def test_an_old_key_may_be_used_anew_and_is_swept() -> None:
    team = make_team()
    client = api_client(make_member(team))
    url = f"/api/v1/teams/{team.name}/datasets"
    client.post(url, {"name": "aaa"}, content_type="application/json", headers={"Idempotency-Key": "old"})
    IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    client.post(url, {"name": "bbb"}, content_type="application/json", headers={"Idempotency-Key": "new"})
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["new"]


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_bad_keys(key: str) -> None:
    team = make_team()
    client = api_client(make_member(team))
    url = f"/api/v1/teams/{team.name}/datasets"
    answer = client.post(url, {"name": "aaa"}, content_type="application/json", headers={"Idempotency-Key": key})
    assert answer.status_code == 422


def test_a_reader_makes_nothing_and_a_token_is_kept_nowhere() -> None:
    team = make_team()
    url = f"/api/v1/teams/{team.name}/datasets"
    headers = {"Idempotency-Key": "one"}
    reader = api_client(make_member(team, Role.READER))
    assert reader.post(url, {"name": "aaa"}, content_type="application/json", headers=headers).status_code == 403
    admin = api_client(make_member(team, Role.ADMIN))
    for _ in range(2):
        assert admin.post("/api/v1/tokens", {"name": "t"}, content_type="application/json", headers=headers).json()[
            "token"
        ]
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_time_make_one() -> None:
    team = make_team()
    url = f"/api/v1/teams/{team.name}/datasets"
    text = make_token(make_member(team))

    def send(_number: int) -> int:
        try:
            client = Client(headers={"Authorization": f"Bearer {text}"})
            headers = {"Idempotency-Key": "same"}
            return client.post(url, {"name": "once"}, content_type="application/json", headers=headers).status_code
        finally:
            connections[connection.alias].close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(8))) == [201] * 8
    assert Dataset.objects.count() == 1


def test_what_is_repeatable_is_what_the_document_has() -> None:
    paths = api.get_openapi_schema(path_prefix=PREFIX)["paths"]
    documented = {
        name: path for path, verbs in paths.items() if (name := verbs.get("post", {}).get("operationId")) in REPEATABLE
    }

    assert documented == {name: PREFIX + path for name, path in REPEATABLE.items()}
