"""What pages and the API tell of integrity: the last verification, its button, and what is damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from datasets_app.models import Dataset, Role, Team, User, Verification
from datasets_app.services.integrity import run_verification, view_integrity
from datasets_app.services.trash import delete_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    page_client,
)
from tests.integrity.conftest import flip

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
URL = "/teams/vision/datasets/images/"
API = "/api/v1/teams/vision/datasets/images"
ONE = b"1" * 1000
HTMX = {"HX-Request": "true"}


@pytest.fixture
def team() -> Team:
    return make_team("vision")


@pytest.fixture
def writer(team: Team) -> User:
    return make_member(team, Role.WRITER, "wren")


@pytest.fixture
def dataset(team: Team, store: Path) -> Dataset:
    """Make two versions, one of which holds a file of 1,000 bytes, in a folder."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"data/deep/one": ONE, "data/two": b"2", "fine/three": b"3"})
    make_available_version(dataset, {"four": b"4"})
    return dataset


def finish(run: Verification) -> None:
    while run.is_active:
        run_verification(run.pk, rate=0)
        run.refresh_from_db()


def verify(writer: User) -> None:
    answer = api_client(writer).post(f"{API}/verify")
    assert answer.status_code == 202, answer.content
    finish(Verification.objects.get(pk=answer.json()["id"]))


def test_it_works(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    page = client.get(URL).content.decode()
    assert "Not read again since it was sealed" in page
    assert client.post(f"{URL}verify/").status_code == 302
    page = client.get(URL).content.decode()
    assert "waits for a worker" in page
    assert "Verify now" not in page
    assert f'hx-get="{URL}integrity/"' in page
    again = client.post(f"{URL}verify/", follow=True).content.decode()
    assert "under way already" in again
    part = client.get(f"{URL}versions/2/integrity/", headers=HTMX).content.decode()
    assert "<html" not in part
    assert f'hx-get="{URL}versions/2/integrity/"' in part
    finish(Verification.objects.get())
    assert client.get(f"{URL}integrity/", headers=HTMX).headers["HX-Refresh"] == "true"
    for address in (URL, f"{URL}versions/1/"):
        page = client.get(address).content.decode()
        assert "every stored byte was what its digest says" in page
        assert "Verify now" in page
    assert client.post(f"{URL}verify/", {"version": "1"}).headers["Location"] == f"{URL}versions/1/"
    assert client.get(f"{URL}versions/1/integrity/").headers["Location"] == f"{URL}versions/1/"


def test_what_is_sealed_later_was_not_verified(dataset: Dataset, writer: User) -> None:
    verify(writer)
    later = make_available_version(dataset, {"five": b"5"})
    assert view_integrity(writer, dataset=dataset).verified_at is None
    assert view_integrity(writer, dataset=dataset, version=later).verified_at is None
    first = dataset.versions.get(number=1)
    assert view_integrity(writer, dataset=dataset, version=first).verified_at
    assert "before the newest version was sealed" in page_client(writer).get(URL).content.decode()


def test_damage_is_shown_wherever_it_matters(dataset: Dataset, writer: User, store: Path) -> None:
    api, client = api_client(writer), page_client(writer)
    answer = api.get(f"{API}/integrity").json()
    assert (answer["damaged"], answer["verified_at"], answer["paths"]) == (False, None, [])
    flip(store, hashlib.sha256(ONE).digest())
    verify(writer)
    answer = api.get(f"{API}/integrity").json()
    assert (answer["damaged"], answer["damaged_count"], answer["last"]["status"]) == (True, 1, "finished")
    assert [(row["version"], row["path"], row["cause"]) for row in answer["paths"]] == [(1, "data/deep/one", "changed")]
    assert api.get(f"{API}/versions/1/integrity").json()["damaged"]
    assert not api.get(f"{API}/versions/2/integrity").json()["damaged"]
    assert api.get(API).json()["damaged"]
    assert [row["damaged"] for row in api.get(f"{API}/versions").json()["items"]] == [False, True]
    assert api.get(f"{API}/versions/1").json()["damaged"]

    def marked(folder: str) -> dict[str, bool]:
        items = api.get(f"{API}/versions/1/tree{folder}").json()["items"]
        return {row["name"]: row["damaged"] for row in items}

    assert marked("") == {"data": True, "fine": False}
    assert marked("/data") == {"deep": True, "two": False}
    assert marked("/data/deep") == {"one": True}
    badge = '<span class="badge is-bad">damaged</span>'
    assert badge in client.get("/teams/vision/datasets/").content.decode()
    for address in (URL, f"{URL}versions/1/", f"{URL}versions/1/tree/data"):
        assert badge in client.get(address).content.decode(), address
    assert "data/deep/one" in client.get(f"{URL}versions/1/").content.decode()
    assert "are damaged" in client.get(f"{URL}versions/1/files/data/deep/one").content.decode()
    for address in (f"{URL}versions/2/", f"{URL}versions/1/tree/fine", f"{URL}versions/1/files/fine/three"):
        assert "damaged" not in client.get(address).content.decode(), address
    version = dataset.versions.select_related("dataset", "root").get(number=1)
    delete_version(writer, version=version)
    assert not api.get(API).json()["damaged"]
    assert not api.get(f"{API}/integrity").json()["damaged"]


def test_readers_and_strangers(dataset: Dataset, team: Team) -> None:
    reader, stranger = make_member(team, Role.READER), make_user()
    assert "Verify now" not in page_client(reader).get(URL).content.decode()
    assert page_client(reader).post(f"{URL}verify/").status_code == 403
    assert api_client(reader).post(f"{API}/verify").status_code == 403
    assert api_client(reader).get(f"{API}/integrity").status_code == 200
    for path in ("integrity", "versions/1/integrity"):
        assert api_client(stranger).get(f"{API}/{path}").status_code == 404
    assert api_client(stranger).post(f"{API}/verify").status_code == 404
    assert page_client(stranger).post(f"{URL}verify/").status_code == 404
    assert page_client(stranger).get(f"{URL}integrity/", headers=HTMX).status_code == 404


def test_the_verifier_can_be_had(dataset: Dataset, writer: User) -> None:
    page = page_client(writer).get(f"{URL}versions/1/").content.decode()
    assert "flexai_verify.py" in page
    assert f"FOLDER {dataset.versions.select_related('root').get(number=1).digest}" in page
