"""The page and the API on which files of an open version are changed, and what says that nothing was."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from django.test import Client

from datasets_app.models import Dataset, Role, User, Version
from datasets_app.services.versions import create_version, run_seal, seal_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    page_client,
    stage_files,
)

pytestmark = [pytest.mark.django_db(transaction=True)]
BASE = {"readme": b"1", "train/cat/1": b"22", "train/dog/1": b"333"}


@pytest.fixture
def writer() -> User:
    return make_member(make_team(), Role.WRITER)


@pytest.fixture
def version(writer: User) -> Version:
    dataset = make_dataset(writer.memberships.get().team, "images")
    make_available_version(dataset, BASE)
    return create_version(writer, dataset=dataset, base=1)


def seal(writer: User, version: Version) -> Version:
    seal_version(writer, version=version)
    run_seal(version.pk)
    return Version.objects.select_related("dataset__team", "root").get(pk=version.pk)


def page(version: Version, rest: str = "") -> str:
    return f"/teams/{version.dataset.team.name}/datasets/{version.dataset.name}/versions/{version.number}/{rest}"


def post(client: Client, version: Version, what: str, payload: object) -> tuple[int, dict[str, object]]:
    answer = client.post(f"/api/v1{page(version, what)}", json.dumps(payload), content_type="application/json")
    return answer.status_code, answer.json()


def test_the_api_moves_lists_and_undoes(writer: User, version: Version) -> None:
    client = api_client(writer)
    moves = {"moves": [{"from": "train/cat", "to": "cats"}, {"from": "readme", "to": "README"}]}
    assert post(client, version, "move", moves) == (200, {"moved": 2})
    assert post(client, version, "move", moves) == (200, {"moved": 0})
    answer = client.get(f"/api/v1{page(version, 'changes')}").json()
    assert [(item["change"], item["path"], item["old_path"]) for item in answer["items"]] == [
        ("renamed", "README", "readme"),
        ("moved", "cats", "train/cat"),
    ]
    assert answer["counts"]["moved"] == {"files": 1, "size": 2}
    assert (answer["file_count"], answer["size"], answer["next_cursor"]) == (3, 6, None)
    assert post(client, version, "undo", {"paths": ["cats/", "README"]}) == (200, {"undone": 2})
    assert client.get(f"/api/v1{page(version, 'changes')}").json()["items"] == []


def test_the_api_says_what_is_wrong(writer: User, version: Version) -> None:
    client = api_client(writer)
    status, problem = post(client, version, "move", {"moves": [{"from": "train", "to": "train/cat/x"}]})
    assert (status, problem["errors"]) == (
        409,
        [{"path": "train/cat/x", "detail": "The folder train can't be moved into itself."}],
    )
    assert post(client, version, "move", {"moves": []})[0] == 422
    assert post(client, version, "move", {"moves": [{"from": "no", "to": "x"}]})[0] == 404
    reader = api_client(make_member(version.dataset.team, Role.READER))
    assert post(reader, version, "move", {"moves": [{"from": "readme", "to": "x"}]})[0] == 403
    stranger = api_client(make_member(make_team()))
    assert post(stranger, version, "undo", {"paths": ["x"]})[0] == 404
    assert client.get(f"/api/v1{page(version, 'changes')}?kind=odd").status_code == 422
    done = seal(writer, version)
    assert client.get(f"/api/v1{page(done, 'changes')}").status_code == 409


def test_the_page_changes_files_without_scripts(writer: User, version: Version) -> None:
    client = page_client(writer)
    assert "Nothing is changed yet" in client.get(page(version, "changes/")).content.decode()
    form = client.get(page(version, "changes/?path=train&move=train/cat/")).content.decode()
    assert 'value="train/cat"' in form
    moved = client.post(
        page(version, "changes/move/"), {"source": "train/cat/", "target": "/pets/cats/", "path": "train"}
    )
    assert moved.headers["Location"].endswith("changes/?path=train")
    client.post(page(version, "changes/remove/"), {"target": "readme", "path": ""})
    shown = client.get(page(version, "changes/")).content.decode()
    assert "<b>2 files, " in shown
    assert "pets/cats/" in shown
    assert "train/cat" in shown
    client.post(page(version, "changes/undo/"), {"target": "readme", "path": ""})
    assert "<b>3 files, " in client.get(page(version, "changes/")).content.decode()
    assert client.get(page(version, "changes/?path=pets/cats")).status_code == 200
    done = seal(writer, version)
    assert done.file_count == 3
    assert client.get(page(done, "changes/")).headers["Location"].endswith(page(done))


def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(writer: User, version: Version) -> None:
    client = page_client(writer)
    refused = client.post(page(version, "changes/move/"), {"source": "train", "target": "readme", "path": ""})
    assert refused.status_code == 409
    assert "There is a file of this name" in refused.content.decode()
    assert 'value="readme"' in refused.content.decode()
    assert client.get(page(version, "changes/?path=nowhere")).status_code == 302
    reader = page_client(make_member(version.dataset.team, Role.READER))
    shown = reader.get(page(version, "changes/"))
    assert shown.status_code == 200
    assert "Move or rename" not in shown.content.decode()
    assert reader.post(page(version, "changes/remove/"), {"target": "readme"}).status_code == 403
    assert page_client(make_member(make_team())).get(page(version, "changes/")).status_code == 404


def test_the_last_file_of_a_folder_leads_to_the_one_above(writer: User, version: Version) -> None:
    client = page_client(writer)
    stage_files(version, {"new/deep/x": b"1"})
    gone = client.post(page(version, "changes/undo/"), {"target": "new/deep/x", "path": "new/deep"}, follow=True)
    assert gone.status_code == 200
    assert gone.request["QUERY_STRING"] == ""


def test_files_are_uploaded_and_imported_into_a_folder_of_it(writer: User, version: Version) -> None:
    client = page_client(writer)
    shown = client.get(page(version, "changes/?path=train/cat")).content.decode()
    assert f"{page(version, 'upload/')}?prefix=train/cat" in shown
    assert f"into={version.number}&amp;prefix=train/cat" in shown
    upload = client.get(page(version, f"upload/?prefix={quote('train/cat')}")).content.decode()
    assert 'data-prefix="train/cat"' in upload
    assert 'data-el="autoSeal" checked' not in upload
    assert 'data-el="autoSeal" checked' in client.get(page(version, "upload/")).content.decode()


def test_a_seal_that_changes_nothing_says_so(writer: User, version: Version) -> None:
    done = seal(writer, version)
    assert done.digest == Version.objects.get(dataset=done.dataset_id, number=1).digest
    client = api_client(writer)
    assert client.get(f"/api/v1{page(done)[:-1]}").json()["same_as"] == 1
    listed = client.get(f"/api/v1{page(done).rpartition('versions/')[0]}versions").json()["items"]
    assert [item["same_as"] for item in listed] == [1, None]
    pages = page_client(writer)
    assert "Unchanged." in pages.get(page(done)).content.decode()
    history = pages.get(page(done).rpartition("versions/")[0] + "history/").content.decode()
    assert "same as @1" in history


def based_on_one(writer: User, dataset: Dataset, files: dict[str, bytes]) -> Version:
    version = create_version(writer, dataset=dataset, base=1)
    stage_files(version, files)
    return version


def test_two_from_one_base_both_seal_and_each_says_what_it_is_based_on(writer: User, version: Version) -> None:
    other = make_member(version.dataset.team, Role.WRITER, "otto")
    stage_files(version, {"mine": b"m"})
    theirs = based_on_one(other, version.dataset, {"theirs": b"t"})
    first = seal(other, theirs)
    pages = page_client(writer)
    waiting = pages.get(page(version, "changes/")).content.decode()
    assert f"{first.label}</a>, based on @1, by otto" in waiting
    second = seal(writer, version)
    shown = pages.get(page(second)).content.decode()
    assert f"{second.label} is based on @1." in shown
    assert page(first, f"diff/{second.number}/") in shown
    assert "is based on" not in pages.get(page(first)).content.decode()
    assert {first.file_count, second.file_count} == {4}
