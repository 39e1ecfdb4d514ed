"""A plan says what a version will hold, and learns which bytes are needed."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from django.conf import LazySettings
from django.db import connection

from datasets_app.models import Blob, Pack, Role, StagedFile, StagedRemoval, Upload, Version
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team
from tests.uploads.sender import Sender

pytestmark = pytest.mark.data_layer


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def one(sender: Sender, path: str, size: int = 1, sha256: str | None = None) -> dict[str, object]:
    answer = sender.post("plan", {"files": [{"path": path, "size": size, "sha256": sha256}]})
    assert answer.status_code == 200, answer.content
    (item,) = answer.json()["files"]
    return dict(item)


def test_it_works(sender: Sender) -> None:
    sender.send({"old": b"old"})
    upload = sender.create_upload(length=4, path="half")["Location"]
    sender.patch(upload, 0, b"ab")
    answer = sender.post(
        "plan",
        {
            "files": [
                {"path": "new", "size": 3, "sha256": digest(b"new")},
                {"path": "copy of old", "size": 3, "sha256": f"sha256:{digest(b'old')}"},
                {"path": "half", "size": 4},
            ]
        },
    )
    assert answer.json()["files"] == [
        {"path": "new", "state": "needed", "upload": None, "offset": None},
        {"path": "copy of old", "state": "stored", "upload": None, "offset": None},
        {"path": "half", "state": "partial", "upload": upload, "offset": 2},
    ]


def test_asking_again_changes_nothing(sender: Sender) -> None:
    for _ in range(2):
        assert one(sender, "a", 1, digest(b"a"))["state"] == "needed"
    assert StagedFile.objects.count() == 1


def test_paths_are_kept_in_nfc_and_found_in_nfd(sender: Sender) -> None:
    name = unicodedata.normalize("NFD", "grüße/é.txt")
    assert one(sender, name)["path"] == "grüße/é.txt"
    assert one(sender, "grüße/é.txt")["state"] == "needed"
    assert StagedFile.objects.get().path == "grüße/é.txt"
    created = sender.post("bundles", {"paths": [name]})
    assert created.status_code == 201
    assert sender.patch(created["Location"], 0, b"x").status_code == 204
    assert sender.post("remove", {"paths": [name]}).json() == {"removed": 1}


def test_illegal_paths_are_all_listed_with_reasons_and_nothing_is_declared(sender: Sender) -> None:
    bad = ["/a", "a/", "a//b", "./a", "a/../b", "a\\b", "tab\t", "", "x" * 256, "\x85", "d/" * 2100 + "x"]
    files = [{"path": path, "size": 1} for path in ["fine", *bad, "also fine"]]
    answer = sender.post("plan", {"files": files})
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert [item["path"] for item in errors] == bad
    assert all(item["detail"] for item in errors)
    assert not StagedFile.objects.exists()


def test_a_path_is_not_a_file_and_a_folder_whichever_comes_first(sender: Sender) -> None:
    one(sender, "é/a/b")
    one(sender, "é/a-b")
    one(sender, "file")
    answer = sender.post("plan", {"files": [{"path": path, "size": 1} for path in ("é/a", "é", "fine", "file/x")]})
    assert answer.status_code == 422
    assert [item["path"] for item in answer.json()["errors"]] == ["file", "é", "é/a"]
    assert sender.create_upload(length=1, path="é/a").status_code == 422
    # What another version has is no matter.
    sender.number = sender.client.post(sender.base, {}, content_type="application/json").json()["number"]
    assert one(sender, "é/a")["state"] == "needed"


def test_a_nul_is_in_no_request_at_all(sender: Sender) -> None:
    assert sender.post("plan", {"files": [{"path": "a\0", "size": 1}]}).status_code in {400, 422}
    assert sender.post("remove", {"paths": ["a\0/"]}).status_code in {400, 422}
    assert not StagedFile.objects.exists()


def test_a_lone_surrogate_is_no_text(sender: Sender) -> None:
    answer = sender.client.post(
        f"{sender.base}/1/plan", rb'{"files": [{"path": "a\ud800", "size": 1}]}', content_type="application/json"
    )
    assert answer.status_code in {400, 422}


def test_the_longest_path(sender: Sender) -> None:
    """PostgreSQL's index takes no longer ones; it says so instead of failing."""
    path = "/".join([digest(bytes([number])) for number in range(60)])
    answer = sender.post("plan", {"files": [{"path": path, "size": 0}]})
    removed = sender.post("remove", {"paths": [path]})
    if connection.vendor == "postgresql":
        assert (answer.status_code, removed.status_code) == (422, 422)
        assert "at most" in answer.json()["errors"][0]["detail"]
    else:
        assert (answer.status_code, removed.status_code) == (200, 200)


def test_the_same_path_twice_in_one_request(sender: Sender) -> None:
    answer = sender.post("plan", {"files": [{"path": p, "size": 1} for p in ("\u00e9", "e\u0301")]})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "\u00e9")


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("x/y/z", "x")])
def test_file_and_folder_in_one_request(sender: Sender, paths: tuple[str, str]) -> None:
    answer = sender.post("plan", {"files": [{"path": path, "size": 1} for path in paths]})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, min(paths, key=len))
    assert not StagedFile.objects.exists()


def test_file_and_folder_in_two_requests(sender: Sender) -> None:
    one(sender, "a")
    assert sender.post("plan", {"files": [{"path": "a/b", "size": 1}]}).status_code == 422


def test_at_most_a_thousand_files(sender: Sender) -> None:
    files = [{"path": f"f{number}", "size": 0} for number in range(1001)]
    assert sender.post("plan", {"files": files}).status_code == 422
    assert sender.post("plan", {"files": []}).status_code == 422
    assert sender.post("plan", {"files": files[:1000]}).status_code == 200
    assert sender.post("bundles", {"paths": [f"f{n}" for n in range(1001)]}).status_code == 422
    assert sender.post("bundles", {"paths": []}).status_code == 422
    assert sender.post("bundles", {"paths": ["f1", "f1"]}).status_code == 422
    assert sender.post("remove", {"paths": [f"f{n}" for n in range(1001)]}).status_code == 422
    assert sender.post("remove", {"paths": [f"f{n}" for n in range(1000)]}).json() == {"removed": 1000}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"files": [{"path": "a"}]},
        {"files": [{"path": "a", "size": "1"}]},
        {"files": [{"path": "a", "size": 1.5}]},
        {"files": [{"path": "a", "size": -1}]},
        {"files": [{"path": "a", "size": 2**63}]},
        {"files": [{"path": "a", "size": 2**200}]},
        {"files": [{"path": "a", "size": True}]},
        {"files": [{"path": 7, "size": 1}]},
        {"files": [{"path": "a", "size": 1, "sha256": "abc"}]},
        {"files": [{"path": "a", "size": 1, "sha1": "abc"}]},
        {"files": [{"path": "a", "size": 1}], "force": True},
        {"files": {"path": "a", "size": 1}},
    ],
)
def test_bodies_that_are_no_plan(sender: Sender, body: object) -> None:
    answer = sender.post("plan", body)
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"]
    assert not StagedFile.objects.exists()


def test_a_size_that_no_upload_may_have(sender: Sender, settings: LazySettings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = sender.post("plan", {"files": [{"path": "a", "size": 1001}]})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "a")


def test_another_file_at_the_same_path_replaces_the_first(sender: Sender) -> None:
    sender.send({"a": b"first"})
    assert sender.plan({"a": b"second"})["a"]["state"] == "needed"
    assert StagedFile.objects.get().size == 6
    assert sender.plan({"a": b"first"})["a"]["state"] == "stored"


def test_a_plan_without_a_digest_finds_what_was_sent_with_that_size(sender: Sender) -> None:
    sender.send({"a": b"first"})
    assert one(sender, "a", 5)["state"] == "stored"
    assert one(sender, "a", 4)["state"] == "needed"


def test_replacing_a_file_ends_its_upload(sender: Sender) -> None:
    url = sender.create_upload(length=5, path="a")["Location"]
    one(sender, "a", 6)
    assert sender.head(url).status_code == 410
    assert not Upload.objects.filter(status="receiving").exists()


def test_bytes_of_another_team_are_needed_then_stored_once(sender: Sender) -> None:
    """A digest alone opens nothing: who can't read the bytes has to send them."""
    secret = b"another team's secret"
    make_available_version(make_dataset(make_team()), {"secret": secret})
    assert sender.plan({"mine": secret})["mine"]["state"] == "needed"
    assert StagedFile.objects.get(version=sender.version).blob is None
    packs = Pack.objects.count()
    sender.send({"mine": secret})
    assert StagedFile.objects.get(version=sender.version).state == "stored"
    assert (Blob.objects.count(), Pack.objects.count()) == (1, packs)
    assert sender.plan({"again": secret})["again"]["state"] == "stored"


def test_bytes_that_a_fellow_of_the_team_sent_are_known(sender: Sender) -> None:
    make_available_version(make_dataset(sender.team), {"theirs": b"shared"})
    assert sender.plan({"mine": b"shared"})["mine"]["state"] == "stored"


def test_strangers_readers_and_nobody(sender: Sender) -> None:
    for client, status in [
        (api_client(make_member(make_team())), 404),
        (api_client(make_member(sender.team, Role.READER)), 403),
        (type(sender.client)(), 401),
    ]:
        for what, body in {
            "plan": {"files": [{"path": "a", "size": 1}]},
            "bundles": {"paths": ["a"]},
            "remove": {"paths": ["a"]},
            "seal": None,
            "abandon": None,
        }.items():
            answer = client.post(f"{sender.base}/1/{what}", body, content_type="application/json")
            assert answer.status_code == status, (what, answer.content)
    assert not StagedFile.objects.exists()
    assert Version.objects.get().status == "uploading"


def test_removing_what_was_staged(sender: Sender) -> None:
    sender.send({"a/1": b"1", "a/2": b"2", "a-b": b"3", "b": b"4"})
    url = sender.create_upload(length=5, path="a/half")["Location"]
    assert sender.post("remove", {"paths": ["a/", "b", "none", "none/"]}).json() == {"removed": 4}
    assert [file.path for file in StagedFile.objects.all()] == ["a-b"]
    assert sender.head(url).status_code == 410
    assert not StagedRemoval.objects.exists()
    assert sender.post("remove", {"paths": ["a/", "b"]}).json() == {"removed": 0}


@pytest.mark.parametrize("path", ["/", "//", "a//", "", "../", "a\t/"])
def test_removing_illegal_paths(sender: Sender, path: str) -> None:
    answer = sender.post("remove", {"paths": ["fine", path]})
    assert (answer.status_code, bool(answer.json()["errors"])) == (422, True)


def test_removing_a_thousand_folders(sender: Sender) -> None:
    sender.send({f"d{number:04}/file": b"" for number in range(1000)})
    assert sender.post("remove", {"paths": [f"d{n:04}/" for n in range(1000)]}).json() == {"removed": 1000}


def test_a_new_version_leaves_out_files_and_folders_of_its_base(sender: Sender) -> None:
    dataset = sender.version.dataset
    make_available_version(dataset, {"keep": b"k", "a/x": b"1", "a/b/y": b"2", "gone": b"3", "back": b"4"})
    sender.number = sender.post_new(base=2)
    assert sender.post("remove", {"paths": ["a/", "gone", "back", "never was"]}).json() == {"removed": 0}
    sender.send({"back": b"again", "a/new": b"5"})
    sender.seal()
    assert sender.paths() == {"keep": 1, "back": 5, "a/new": 1}


def test_a_base_alone_can_be_sealed_but_nothing_at_all_cannot(sender: Sender) -> None:
    make_available_version(sender.version.dataset, {"keep": b"k"})
    refused = sender.post("seal")
    assert (refused.status_code, "no files" in refused.json()["detail"]) == (409, True)
    sender.number = sender.post_new(base=2)
    sender.seal()
    assert sender.version.digest == Version.objects.get(number=2).digest
    sender.number = sender.post_new(base=2)
    sender.post("remove", {"paths": ["keep"]})
    assert sender.post("seal").status_code == 202
    sender.work()
    assert (sender.version.status, "at least one" in sender.version.error) == ("error", True)


@pytest.mark.parametrize("base", [1, 99, 2**40, -1])
def test_a_base_must_be_an_available_version(sender: Sender, base: int) -> None:
    answer = sender.client.post(sender.base, {"base": base}, content_type="application/json")
    assert answer.status_code == 404
