"""What those who run the installation see of storage and do about it, and that nobody else does."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from datasets_app.models import CollectionRun, Dataset, RemovedObject, Role, Team, User, Verification, Version
from datasets_app.services.accounts import create_user
from datasets_app.services.garbage import purge_version, run_collection
from datasets_app.services.garbage.explaining import Explanation, explain_blob
from datasets_app.services.integrity import run_verification
from datasets_app.services.trash import delete_version
from tests.factories import (
    PASSWORD,
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_version,
    page_client,
    stage_files,
)
from tests.garbage.conftest import collect
from tests.integrity.conftest import flip

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
ONE, TWO = b"1" * 1000, b"2" * 200
URL, API = "/storage/", "/api/v1/storage"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator(db: None) -> User:
    return create_user(username="olga", password=PASSWORD, administrator=True)


@pytest.fixture
def team() -> Team:
    return make_team("vision")


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return make_dataset(team, "images")


@pytest.fixture
def version(dataset: Dataset) -> Version:
    return make_available_version(dataset, {"a/one": ONE, "a/two": TWO})


def why(data: bytes) -> Explanation:
    return explain_blob(hashlib.sha256(data).digest())


def purge(version: Version) -> None:
    admin = make_member(version.dataset.team, Role.ADMIN)
    delete_version(admin, version=version)
    purge_version(admin, version=version)


def test_it_works(operator: User, version: Version) -> None:
    client = page_client(operator)
    empty = client.get(URL).content.decode()
    assert "Nothing was collected yet" in empty
    assert "Nothing was read again yet" in empty
    assert client.post(f"{URL}collect/", {"dry_run": "1"}).status_code == 302
    page = client.get(URL).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert "waiting" in page
    assert "waiting or running already" in client.post(f"{URL}collect/", {"dry_run": "1"}, follow=True).content.decode()
    part = client.get(URL, headers=HTMX).content.decode()
    assert "<html" not in part
    run = CollectionRun.objects.get()
    assert (run.is_dry_run, run.created_by) == (True, operator)
    run_collection(run.pk)
    assert client.get(URL, headers=HTMX).headers["HX-Refresh"] == "true"
    assert "By the last dry run" not in client.get("/account/").content.decode()
    purge(version)
    client.post(f"{URL}collect/")
    run_collection(CollectionRun.objects.get(is_dry_run=False).pk, now=timezone.now() + timedelta(hours=30))
    page = client.get(URL).content.decode()
    assert "2 blobs, 1.20 kB" in page
    assert "Reclaimable" in page
    assert '<polygon class="is-live"' in page
    journal = client.get(f"{URL}journal/", {"kind": "blob"}).content.decode()
    assert journal.count('<span class="tag">blob</span>') == 2
    assert "no version holds it" in client.get(f"{URL}journal/").content.decode()
    number = CollectionRun.objects.get(is_dry_run=False).pk
    assert f"What collection {number} removed" in client.get(f"{URL}journal/?run={number}").content.decode()
    assert client.get(f"{URL}journal/", {"kind": "x"}).status_code == 422


def test_a_dry_run_tells_what_would_go(operator: User, version: Version) -> None:
    purge(version)
    collect()
    client = page_client(operator)
    client.post(f"{URL}collect/", {"dry_run": "1"})
    run_collection(CollectionRun.objects.get(is_dry_run=True).pk, now=timezone.now() + timedelta(hours=30))
    page = client.get(URL).content.decode()
    assert "By the last dry run" in page
    assert "2 blobs, 1.20 kB" in page
    assert not RemovedObject.objects.filter(kind="blob").exists()


def test_verifications_and_damage(operator: User, version: Version, store: Path) -> None:
    client = page_client(operator)
    flip(store, hashlib.sha256(ONE).digest())
    assert client.post(f"{URL}verify/").status_code == 302
    assert "under way already" in client.post(f"{URL}verify/", follow=True).content.decode()
    run = Verification.objects.get()
    while run.is_active:
        run_verification(run.pk, rate=0)
        run.refresh_from_db()
    page = client.get(URL).content.decode()
    assert "Stored data is" in client.get("/account/").content.decode(), "administrators are alerted on every page"
    member = page_client(make_member(version.dataset.team))
    assert "Stored data is" not in member.get("/account/").content.decode()
    assert "vision/images@1: <code>a/one</code>" in page
    assert "1 blob or folder" in page
    api = api_client(operator)
    found = api.get(f"{API}/damages").json()["items"]
    assert [(row["cause"], row["places"]) for row in found] == [
        ("changed", [{"team": "vision", "version": "images@1", "path": "a/one"}])
    ]
    assert api.get(API).json()["damage_count"] == 1
    assert api.get(f"{API}/verifications").json()["items"][0]["damaged_count"] == 1


def test_why_a_blob_is_stored(dataset: Dataset, version: Version) -> None:
    other = make_available_version(make_dataset(make_team("other"), "copies"), {"deep/er/copy": ONE})
    found = why(ONE)
    assert [row.pk for row in found.versions] == [other.pk, version.pk]
    assert (found.is_held, found.version_count, found.goes_at) == (True, 2, None)
    stage_files(make_version(dataset), {"again": TWO})
    assert [row.path for row in why(TWO).staged] == ["again"]
    assert why(b"never seen").blob is None


def test_when_a_blob_goes(version: Version) -> None:
    purge(version)
    found = why(ONE)
    assert (found.is_held, found.loose_count) == (False, 1)
    assert found.unused_since
    assert found.goes_at == found.unused_since + timedelta(hours=24)
    collect(hours=30)
    found = why(ONE)
    assert found.blob is None
    assert [row.size for row in found.removals] == [1000]


def test_the_page_that_explains(operator: User, version: Version) -> None:
    client = page_client(operator)
    digest = hashlib.sha256(ONE).hexdigest()

    def ask(text: str) -> str:
        return client.get(f"{URL}blob/", {"digest": text}).content.decode()

    assert "1 sealed version holds it" in ask(f" sha256:{digest} ")
    assert "vision/images@1" in ask(digest)
    admin = make_member(version.dataset.team, Role.ADMIN)
    delete_version(admin, version=version)
    assert "in the trash" in ask(digest)
    purge_version(admin, version=version)
    assert "removes it" in ask(digest)
    collect(hours=30)
    assert "they were removed" in ask(digest)
    wrong = client.get(f"{URL}blob/", {"digest": "xyz"})
    assert wrong.status_code == 422
    assert "not a SHA-256 digest" in wrong.content.decode()
    assert "SHA-256 of the file" in client.get(f"{URL}blob/").content.decode()


def test_the_api(operator: User, version: Version) -> None:
    client = api_client(operator)
    assert client.get(API).json() == {"now": None, "history": [], "damage_count": 0}
    answer = client.post(f"{API}/collections", {"dry_run": True}, content_type="application/json")
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    again = client.post(f"{API}/collections", {"dry_run": True}, content_type="application/json")
    assert again.status_code == 409
    purge(version)
    collect(hours=30)
    assert client.get(API).json()["now"]["blob_count"] == 0
    newest = client.get(f"{API}/collections").json()["items"][0]
    assert {"kind": "blob", "count": 2, "size": 1200, "words": "blobs"} in newest["report"]
    kinds = {row["kind"] for row in client.get(f"{API}/removals?run={newest['id']}").json()["items"]}
    assert {"blob", "pack"} <= kinds
    page = client.get(f"{API}/removals?kind=blob&limit=1").json()
    assert (len(page["items"]), bool(page["next_cursor"])) == (1, True)
    assert client.post(f"{API}/verifications").status_code == 202
    found = client.get(f"{API}/blobs/{hashlib.sha256(ONE).hexdigest()}").json()
    assert (found["stored"], found["size"], len(found["removals"])) == (False, None, 1)
    kept = make_available_version(version.dataset, {"a": ONE})
    found = client.get(f"{API}/blobs/sha256:{hashlib.sha256(ONE).hexdigest()}").json()
    assert (found["stored"], found["versions"]) == (True, [f"vision/{kept.label}"])
    assert client.get(f"{API}/blobs/xyz").status_code == 422


def _pages(client: Client) -> set[int]:
    answers = [client.get(f"{URL}{path}") for path in ("", "blob/", "journal/")]
    answers += [client.post(f"{URL}{path}") for path in ("collect/", "verify/")]
    return {answer.status_code for answer in answers}


def _routes(client: Client) -> set[int]:
    paths = ("", "/collections", "/verifications", "/damages", "/removals", f"/blobs/{'0' * 64}")
    answers = [client.get(f"{API}{path}") for path in paths]
    answers.append(client.post(f"{API}/verifications"))
    answers.append(client.post(f"{API}/collections", {}, content_type="application/json"))
    return {answer.status_code for answer in answers}


def test_nobody_else(operator: User, team: Team) -> None:
    admin = make_member(team, Role.ADMIN)
    make_team("other", admin=operator)
    assert _pages(page_client(admin)) == {403}
    assert _routes(api_client(admin)) == {403}
    assert _routes(api_client(operator, scope=Role.WRITER)) == {403}
    assert _routes(api_client(operator, team=Team.objects.get(name="other"))) == {403}
    assert not CollectionRun.objects.exists()
    assert not Verification.objects.exists()
    assert URL not in page_client(admin).get("/account/").content.decode()
    assert URL in page_client(operator).get("/account/").content.decode()
