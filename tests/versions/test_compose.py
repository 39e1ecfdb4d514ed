"""Versions composed from others: by reference, as a dict says, with a lineage that outlives its sources."""

from __future__ import annotations

import json

import pytest

from datasets_app.errors import Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import Blob, Dataset, Directory, Role, Team, User, Version
from datasets_app.services import garbage
from datasets_app.services.composing import compose_version, preview_composition
from datasets_app.services.moving import Move, move_paths
from datasets_app.services.origins import made_from, used_in
from datasets_app.services.recipes import Part, Split
from datasets_app.services.removal import version_obstacles
from datasets_app.services.trash import delete_version
from datasets_app.services.versions import abandon_version, run_seal, seal_version
from datasets_app.services.walking import walk_files
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
BIRDS = {
    f"{split}/{kind}/{number}.jpg": f"{split}{kind}{number}".encode()
    for split in ("train", "val")
    for kind in ("owl", "wren")
    for number in range(5)
}
NOTES = {"README.md": b"notes", "train/owl/0.txt": b"an owl", "license": b"cc0"}


@pytest.fixture
def team() -> Team:
    team = make_team()
    make_available_version(make_dataset(team, "birds"), BIRDS)
    make_available_version(make_dataset(team, "notes"), NOTES)
    return team


@pytest.fixture
def writer(team: Team) -> User:
    return make_member(team, Role.WRITER)


def composed(writer: User, team: Team, *parts: Part, name: str = "made", on_clash: str = "refuse") -> dict[str, int]:
    version = compose_version(writer, team=team.name, name=name, parts=parts, on_clash=on_clash)  # type: ignore[arg-type]
    run_seal(version.pk)
    done = Version.objects.select_related("root").get(pk=version.pk)
    assert done.status == "available", done.error
    assert done.root is not None
    return {file.path: file.size for file in walk_files(done.root)}


def sizes(files: dict[str, bytes]) -> dict[str, int]:
    return {path: len(data) for path, data in files.items()}


def test_it_works(team: Team, writer: User) -> None:
    blobs = Blob.objects.count()
    found = composed(writer, team, Part("birds"), Part("notes", 1))
    assert found == sizes(BIRDS | NOTES)
    assert Blob.objects.count() == blobs, "no bytes moved"
    version = Version.objects.get(dataset__name="made")
    direct = make_available_version(make_dataset(team), BIRDS | NOTES)
    assert version.digest == direct.digest
    assert version.source["parts"][0] | {"digest": ""} == {
        "dataset": "birds",
        "version": 1,
        "digest": "",
        "folder": "",
        "include": [],
        "exclude": [],
        "prefix": "",
        "split": None,
    }
    assert [str(row) for row in made_from(writer, version=version)] == ["birds@1", "notes@1"]
    birds = Version.objects.select_related("dataset__team").get(dataset__name="birds")
    assert used_in(writer, version=birds) == [version]


def test_folders_prefixes_and_globs(team: Team, writer: User) -> None:
    found = composed(
        writer,
        team,
        Part("birds", folder="train", include=("owl/*",), exclude=("3.jpg",), prefix="a/b"),
        Part("birds", folder="val/wren", prefix="a"),
        Part("notes", include=("*.md",)),
    )
    owls = {f"a/b/owl/{number}.jpg": len("trainowl0") for number in (0, 1, 2, 4)}
    wrens = {f"a/{number}.jpg": len("valwren0") for number in range(5)}
    assert found == owls | wrens | {"README.md": 5}


def test_a_whole_folder_is_one_shared_row(team: Team, writer: User) -> None:
    composed(writer, team, Part("birds", prefix="x/birds"), Part("notes", prefix="x/notes"))
    root = Version.objects.get(dataset__name="made").root
    birds = Version.objects.get(dataset__name="birds").root
    assert root is not None
    below = Directory.objects.get(pk=root.subdirectories.get(name="x").child_id)
    assert below.subdirectories.get(name="birds").child == birds


@pytest.mark.parametrize("by", ["path", "content"])
def test_splits_are_disjoint_complete_and_always_the_same(team: Team, writer: User, by: str) -> None:
    def share(start: float, end: float, name: str) -> dict[str, int]:
        split = Split("seed 7", start, end, by)  # type: ignore[arg-type]
        return composed(writer, team, Part("birds", split=split), name=name)

    train, test = share(0, 70, "one"), share(70, 100, "two")
    assert not train.keys() & test.keys()
    assert train | test == sizes(BIRDS)
    assert share(0, 70, "three") == train
    assert 8 <= len(train) <= 19


def test_equal_files_are_split_together(team: Team, writer: User) -> None:
    make_available_version(make_dataset(team, "twins"), {f"{n}/{k}": str(n).encode() for n in range(20) for k in "ab"})
    half = composed(writer, team, Part("twins", split=Split("s", 0, 50, "content")))
    assert half
    for path in half:
        assert path[:-1] + ("b" if path.endswith("a") else "a") in half


def test_parts_that_disagree_are_refused_or_one_wins(team: Team, writer: User) -> None:
    make_available_version(make_dataset(team, "other"), {"README.md": b"other readme", "license": b"cc0"})
    parts = (Part("notes"), Part("other"))
    with pytest.raises(Conflict, match=r"README\.md") as raised:
        composed(writer, team, *parts)
    assert [item["path"] for item in raised.value.errors] == ["README.md"]
    assert not Dataset.objects.filter(name="made").exists()
    assert composed(writer, team, *parts, on_clash="first")["README.md"] == 5
    assert composed(writer, team, *parts, on_clash="last")["README.md"] == 12
    with pytest.raises(Conflict, match=r"both a file and"):
        composed(writer, team, Part("notes"), Part("birds", prefix="license"))


def test_what_a_worker_finds_ends_as_an_error(team: Team, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.services.composing.CHECKED", 0)
    monkeypatch.setattr("datasets_app.services.composing.refuse_clashes", lambda *_: None)
    make_available_version(make_dataset(team, "other"), {"README.md": b"other readme"})
    version = compose_version(writer, team=team.name, name="made", parts=[Part("notes"), Part("other")])
    run_seal(version.pk)
    version = Version.objects.select_related("dataset__team").get(pk=version.pk)
    assert (version.status, "README.md" in version.error) == ("error", True)
    with pytest.raises(Conflict, match="takes no files"):
        move_paths(writer, version=version, moves=[Move("a", "b")])
    seal_version(writer, version=version)
    run_seal(version.pk)
    version.refresh_from_db()
    assert version.status == "error"
    abandon_version(writer, version=version)


def test_a_preview_counts_and_tells_problems(team: Team, writer: User) -> None:
    preview = preview_composition(writer, team=team.name, parts=[Part("birds", include=("train",)), Part("notes")])
    assert [(one.label, one.files) for one in preview.parts] == [("birds@1", 10), ("notes@1", 3)]
    assert (preview.files, preview.is_whole, preview.clash_count) == (13, True, 0)
    wrong = preview_composition(writer, team=team.name, parts=[Part("nothing"), Part("notes")])
    assert "no dataset nothing" in wrong.parts[0].problem
    missing = preview_composition(writer, team=team.name, parts=[Part("notes", folder="nowhere")])
    assert "no folder nowhere" in missing.problem
    assert not Dataset.objects.filter(name="made").exists()


def test_what_cannot_be_composed(team: Team, writer: User) -> None:
    with pytest.raises(Invalid, match="1 to 20 parts"):
        composed(writer, team)
    with pytest.raises(Invalid, match="percentage") as raised:
        composed(writer, team, Part("birds"), Part("birds", split=Split("s", 50, 50)))
    assert raised.value.errors[0]["field"] == "parts.1.split"
    with pytest.raises(Conflict, match="Nothing is left"):
        composed(writer, team, Part("birds", include=("*.png",)))
    with pytest.raises(NotFound):
        composed(writer, team, Part("elsewhere"))
    with pytest.raises(Forbidden):
        composed(make_member(team, Role.READER), team, Part("birds"))
    other = make_team()
    make_available_version(make_dataset(other, "theirs"), {"a": b"secret"})
    with pytest.raises(NotFound):
        composed(writer, team, Part("theirs"))


def test_the_recipe_outlives_its_sources(team: Team, writer: User) -> None:
    admin = make_member(team, Role.ADMIN)
    source = Version.objects.select_related("dataset__team").get(dataset__name="notes")
    version = compose_version(writer, team=team.name, name="made", parts=[Part("notes", prefix="n")])
    assert "made@1 is being made from notes@1" in version_obstacles(source)[0]
    run_seal(version.pk)
    digest = source.digest
    delete_version(writer, version=source)
    source.refresh_from_db()
    garbage.purge_version(admin, version=source)
    version = Version.objects.select_related("dataset__team", "root").get(pk=version.pk)
    (row,) = made_from(writer, version=version)
    assert (str(row), row.digest, row.source) == ("notes@1", digest, None)
    assert version.root is not None
    assert {file.path for file in walk_files(version.root)} == {f"n/{path}" for path in NOTES}


def test_the_api(team: Team, writer: User) -> None:
    client = api_client(writer)

    def post(path: str, payload: object) -> tuple[int, dict[str, object]]:
        answer = client.post(f"/api/v1/teams/{team.name}/{path}", json.dumps(payload), content_type="application/json")
        return answer.status_code, answer.json()

    split = {"seed": "1", "start": 0, "end": 50}
    recipe = {"parts": [{"dataset": "birds", "version": "latest", "prefix": "b"}, {"dataset": "notes", "split": split}]}
    status, preview = post("compose/preview", recipe)
    assert (status, preview["is_whole"], len(preview["parts"])) == (200, True, 2)  # type: ignore[arg-type]
    status, version = post("compose", recipe | {"name": "made", "message": "both"})
    assert (status, version["status"], version["message"]) == (202, "pending", "both")
    run_seal(Version.objects.get(dataset__name="made").pk)
    at = f"/api/v1/teams/{team.name}/datasets"
    assert client.get(f"{at}/made/versions/1").json()["file_count"] == preview["files"]
    lineage = client.get(f"{at}/made/versions/1/lineage").json()
    assert [(one["dataset"], one["version"], one["exists"]) for one in lineage["made_from"]] == [
        ("birds", 1, True),
        ("notes", 1, True),
    ]
    assert client.get(f"{at}/birds/versions/1/lineage").json()["used_in"][0]["dataset"] == "made"
    assert post("compose", {"name": "made", "parts": []})[0] == 422
    assert post("compose", {"name": "made", "parts": [{"dataset": "birds", "odd": 1}]})[0] == 422
