"""Files and folders of the base are moved, renamed and removed in an open version; a dict says what must come of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import pytest

from datasets_app.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import Role, StagedFile, StagedMove, StagedRemoval, Version
from datasets_app.services import trees
from datasets_app.services.moving import Move, move_paths, undo_all, undo_changes
from datasets_app.services.pending_changes import list_changes, list_pending_folder
from datasets_app.services.plans import remove_paths
from datasets_app.services.staged import most_path_bytes
from datasets_app.services.versions import run_seal, seal_version
from datasets_app.services.walking import walk_files
from datasets_app.store.overlay import Child
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
BASE = {
    "readme": b"1",
    "train/cat/1": b"11",
    "train/cat/2": b"222",
    "train/dog/1": b"3333",
    "val/cat/1": b"44444",
    "deep/a/b/c/d": b"555555",
}
NAMES = ["a", "b", "train", "cat", "1"]


def open_version(files: dict[str, bytes] | None = None) -> Version:
    dataset = make_dataset(make_team())
    make_available_version(dataset, BASE if files is None else files)
    return Version.objects.select_related("dataset__team", "base__root").get(pk=make_version(dataset, base=1).pk)


def move(version: Version, *pairs: tuple[str, str]) -> int:
    return move_paths(make_member(version.dataset.team), version=version, moves=[Move(*pair) for pair in pairs])


def undo(version: Version, *paths: str) -> int:
    return undo_changes(make_member(version.dataset.team), version=version, paths=paths)


def remove(version: Version, *paths: str) -> int:
    return remove_paths(make_member(version.dataset.team), version=version, paths=paths)


def changes(version: Version) -> list[tuple[str, str, str | None, int]]:
    found = list_changes(make_member(version.dataset.team), version=version)
    return [(one.kind, one.undo_path, one.old_path, one.file_count) for one in found.changes]


def sealed(version: Version) -> dict[str, int]:
    seal_version(make_member(version.dataset.team), version=version)
    run_seal(version.pk)
    done = Version.objects.select_related("root").get(pk=version.pk)
    assert done.status == "available", done.error
    assert done.root is not None
    return {file.path: file.size for file in walk_files(done.root)}


def sizes(files: dict[str, bytes]) -> dict[str, int]:
    return {path: len(data) for path, data in files.items()}


def test_it_works() -> None:
    version = open_version()
    assert move(version, ("train/cat", "train/cats"), ("val/cat/1", "test/one"), ("readme", "README.md")) == 3
    stage_files(version, {"train/dog/1": b"new", "more/x": b"x"})
    remove(version, "deep/")
    assert changes(version) == [
        ("renamed", "README.md", "readme", 1),
        ("removed", "deep/", None, 1),
        ("added", "more/x", None, 1),
        ("moved", "test/one", "val/cat/1", 1),
        ("renamed", "train/cats/", "train/cat", 2),
        ("replaced", "train/dog/1", None, 1),
    ]
    found = list_changes(make_member(version.dataset.team), version=version)
    assert (found.file_count, found.size) == (6, 1 + 2 + 3 + 3 + 5 + 1)
    wanted = {"README.md": 1, "train/cats/1": 2, "train/cats/2": 3, "train/dog/1": 3, "test/one": 5, "more/x": 1}
    assert sealed(version) == wanted
    assert not StagedMove.objects.exists()
    assert not StagedRemoval.objects.exists()


def test_a_moved_folder_shares_its_rows_and_no_row_is_staged_for_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    version = open_version()
    read: list[int] = []
    original = trees.read_children

    def reading(ref: int) -> Iterator[Child]:
        read.append(ref)
        return original(ref)

    monkeypatch.setattr(trees, "read_children", reading)
    move(version, ("train", "old/train"))
    assert not StagedFile.objects.exists()
    base = version.base
    assert base is not None
    train = base.root.subdirectories.get(name="train").child_id  # type: ignore[union-attr]
    assert sealed(version)["old/train/cat/2"] == 3
    assert train not in read
    root = Version.objects.get(pk=version.pk).root
    assert root is not None
    assert root.subdirectories.get(name="old").child.subdirectories.get(name="train").child_id == train


@pytest.mark.parametrize(
    ("source", "target", "error", "words"),
    [
        ("train", "val", Conflict, "There is a folder of this name"),
        ("train", "readme", Conflict, "There is a file of this name"),
        ("readme", "train/cat/1", Conflict, "There is a file of this name"),
        ("train", "train/cat/inside", Conflict, "into itself"),
        ("train", "readme/inside", Conflict, "readme is a file"),
        ("nothing", "x", NotFound, "no such file or folder"),
        ("readme/", "x", NotFound, "no such folder"),
        ("train/", "train", Invalid, "has this name already"),
        ("readme", "a//b", Invalid, "empty part"),
        ("deep", "LONG", Invalid, "longer than"),
    ],
    ids=["folder", "file", "file-on-file", "itself", "below-file", "missing", "not-a-folder", "same", "bad", "long"],
)
def test_what_cannot_be_moved_is_named(source: str, target: str, error: type[AppError], words: str) -> None:
    version = open_version()
    if target == "LONG":
        # Legal by itself, but not with what lies in the folder.
        parts = ["x" * 99] * (most_path_bytes() // 100)
        target = "/".join(parts)
    with pytest.raises(error, match=words) as raised:
        move(version, ("train/dog/1", "moved"), (source, target))
    assert raised.value.errors[0]["path"]
    assert changes(version) == [], "all of a request is undone"


def test_readers_may_look_and_strangers_not() -> None:
    version = open_version()
    reader = make_member(version.dataset.team, Role.READER)
    with pytest.raises(Forbidden):
        move_paths(reader, version=version, moves=[Move("readme", "x")])
    with pytest.raises(Forbidden):
        undo_changes(reader, version=version, paths=["readme"])
    assert list_changes(reader, version=version).is_empty
    stranger = make_member(make_team())
    with pytest.raises(NotFound):
        list_changes(stranger, version=version)
    with pytest.raises(NotFound):
        move_paths(stranger, version=version, moves=[Move("readme", "x")])


def test_the_same_may_be_asked_twice() -> None:
    version = open_version()
    assert move(version, ("train", "t"), ("readme", "r")) == 2
    assert move(version, ("train", "t"), ("readme", "r")) == 0
    assert undo(version, "t", "r") == 2
    assert undo(version, "t", "r") == 0
    assert changes(version) == []


def test_a_file_whose_bytes_have_not_come_stays_where_it_is() -> None:
    version = open_version()
    StagedFile.objects.create(version=version, path="new/x", size=5)
    for source in ("new", "new/x"):
        with pytest.raises(Conflict, match="not arrived"):
            move(version, (source, "other"))


def test_what_replaces_a_moved_file_is_new_and_the_old_one_is_gone() -> None:
    version = open_version()
    move(version, ("readme", "train/readme"))
    StagedFile.objects.filter(path="train/readme").delete()
    stage_files(version, {"train/readme": b"other bytes"})
    assert changes(version) == [("removed", "readme", None, 1), ("added", "train/readme", None, 1)]


def test_undo_tells_what_stands_in_the_way() -> None:
    version = open_version()
    move(version, ("train/cat", "cats"), ("readme", "old"))
    stage_files(version, {"readme": b"new one"})
    remove(version, "train/")
    with pytest.raises(Conflict, match="train, which was removed"):
        undo(version, "cats/")
    with pytest.raises(Conflict, match="something else is there"):
        undo(version, "old")
    undo(version, "train/")
    assert ("moved", "cats/", "train/cat", 2) in changes(version), "it is not there twice"
    undo(version, "cats/", "readme", "old")
    assert changes(version) == []


def test_a_folder_of_new_files_is_dropped_at_once() -> None:
    version = open_version()
    stage_files(version, {"new/1": b"1", "new/2": b"2", "other": b"3"})
    move(version, ("readme", "new/readme"))
    assert undo(version, "new/") == 1
    assert changes(version) == [("moved", "new/readme", "readme", 1), ("added", "other", None, 1)]


def test_folders_as_they_will_be() -> None:
    version = open_version()
    actor = make_member(version.dataset.team)
    move(version, ("train/cat", "train/sub/cats"), ("val", "validation"))
    remove(version, "train/dog/1", "readme")
    stage_files(version, {"train/new": b"n", "val/again": b"v"})

    def lines(path: str) -> list[tuple[str, str, str]]:
        page = list_pending_folder(actor, version=version, path=path)
        return [(entry.name, entry.mark, entry.moved_to or entry.old_path) for entry in page.entries]

    assert lines("") == [
        ("deep", "", ""),
        ("train", "changed", ""),
        ("val", "changed", ""),
        ("validation", "renamed", "val"),
        ("readme", "removed", ""),
    ]
    assert lines("train") == [
        ("cat", "", "train/sub/cats"),
        ("dog", "changed", ""),
        ("sub", "added", ""),
        ("new", "added", ""),
    ]
    assert lines("train/sub/cats") == [("1", "", ""), ("2", "", "")]
    with pytest.raises(NotFound):
        list_pending_folder(actor, version=version, path="nowhere")


def test_folders_and_changes_come_in_pages() -> None:
    version = open_version(
        {f"{kind}{number}/x": b"1" for kind in "ab" for number in range(5)} | {"f1": b"1", "f2": b""}
    )
    actor = make_member(version.dataset.team)
    stage_files(version, {f"c{number}/y": b"2" for number in range(3)} | {"f0": b"0", "f3": b"3"})
    remove(version, "a1/", "b3/")
    whole = list_pending_folder(actor, version=version).entries
    assert len(whole) == 13 + 4
    for limit in (1, 4, 13):
        found, cursor = [], None
        while True:
            page = list_pending_folder(actor, version=version, cursor=cursor, limit=limit)
            found += page.entries
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == whole
    every = list_changes(actor, version=version)
    first = list_changes(actor, version=version, limit=3)
    rest = list_changes(actor, version=version, cursor=first.next_cursor)
    assert first.changes + rest.changes == every.changes
    assert [one.kind for one in list_changes(actor, version=version, kind="removed").changes] == ["removed"] * 2


class Model:
    """The same with a dict: what each path will hold."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)

    def is_folder(self, path: str) -> bool:
        return any(one.startswith(f"{path}/") for one in self.files)

    def move(self, source: str, target: str) -> bool:
        taken = target in self.files or self.is_folder(target)
        blocked = any(target.startswith(f"{one}/") for one in self.files)
        inside = target == source or (self.is_folder(source) and target.startswith(f"{source}/"))
        if inside or taken or blocked or not (source in self.files or self.is_folder(source)):
            return False
        for path in list(self.files):
            if path == source or path.startswith(f"{source}/"):
                self.files[target + path[len(source) :]] = self.files.pop(path)
        return True

    def remove(self, path: str) -> None:
        for one in list(self.files):
            if one == path or (path.endswith("/") and one.startswith(path)):
                del self.files[one]

    def may_stage(self, path: str) -> bool:
        return not self.is_folder(path) and not any(path.startswith(f"{one}/") for one in self.files)


def random_path(draw: random.Random) -> str:
    return "/".join(draw.choice(NAMES) for _ in range(draw.randint(1, 3)))


def play(draw: random.Random, version: Version, model: Model, steps: int) -> None:
    """Do the same to both, and compare."""
    for _ in range(steps):
        known = sorted(model.files) or ["a"]
        some = draw.choice(known)
        source = draw.choice([some, some.rpartition("/")[0] or some, random_path(draw)])
        act = draw.choice(["move", "move", "move", "remove", "stage"])
        if act == "move":
            target = random_path(draw)
            try:
                moved = bool(move(version, (source, target)))
            except AppError:
                moved = False
            else:
                assert moved, (source, target)
            assert model.move(source, target) == moved, (source, target)
        elif act == "remove":
            path = source if source in model.files else f"{source}/"
            remove(version, path)
            model.remove(path)
        else:
            path = random_path(draw)
            if model.may_stage(path) and path not in set(version.staged.values_list("path", flat=True)):
                data = f"{path} {draw.random()}".encode()
                stage_files(version, {path: data})
                model.files[path] = data


@pytest.mark.parametrize("seed", range(12))
def test_random_changes_are_what_a_dict_says(seed: int) -> None:
    draw = random.Random(seed)
    files: dict[str, bytes] = {}
    model = Model({})
    for number in range(8):
        path = random_path(draw)
        if model.may_stage(path):
            model.files[path] = files[path] = bytes([65 + number]) * (number + 1)
    version = open_version(files)
    play(draw, version, model, 14)
    found = list_changes(make_member(version.dataset.team), version=version)
    assert (found.file_count, found.size) == (len(model.files), sum(map(len, model.files.values())))
    assert everything_listed(version) == sizes(model.files)
    if seed % 2 and model.files:
        assert sealed(version) == sizes(model.files)
        return
    undo_everything(draw, version)
    if {"moved", "renamed"} & {kind for kind, *_ in changes(version)}:
        # Two that stand in each other's way.
        undo_all(make_member(version.dataset.team), version=version)
    assert changes(version) == []
    assert sealed(version) == sizes(files)


def everything_listed(version: Version) -> dict[str, int]:
    """Open every folder of the page."""
    actor = make_member(version.dataset.team)
    listed = {}
    waiting = [""]
    while waiting:
        for entry in list_pending_folder(actor, version=version, path=waiting.pop()).entries:
            if entry.is_directory and not entry.is_gone:
                waiting.append(entry.path)
            elif not entry.is_gone:
                listed[entry.path] = entry.size
    return listed


def undo_everything(draw: random.Random, version: Version) -> None:
    """Take changes back in any order, again and again, since some stand in the way of others."""
    for _ in range(40):
        pending = list_changes(make_member(version.dataset.team), version=version).changes
        draw.shuffle(pending)
        for change in pending:
            with suppress(Conflict):
                undo(version, change.undo_path)
        if not pending:
            return
