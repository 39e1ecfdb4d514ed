"""Half-empty packs are rewritten: space comes back, and whoever is reading reads on."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from datasets_app.models import Blob, CollectionRun, Damage, Directory, Pack, RetiredPack, Version
from datasets_app.services import content
from datasets_app.services.downloads import tar_stream, zip_stream
from datasets_app.services.garbage import compaction
from datasets_app.services.garbage.blobs import collect_blobs
from datasets_app.services.garbage.sweep import Sweep
from datasets_app.services.garbage.trees import collect_trees
from datasets_app.services.mounts import materialise
from datasets_app.services.slice_lists import read_slices
from datasets_app.services.walking import WalkedFile, walk_files
from tests.factories import make_available_version, make_dataset, make_member, make_team
from tests.garbage.conftest import collect, later, objects, pack_objects, read_back
from tests.garbage.test_collect import purge

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

KEPT = {"a": b"A" * 100, "d/b": b"B" * 150}
GONE = {"x": b"X" * 1000, "y": b"Y" * 700}


@pytest.fixture
def version() -> Version:
    """Give a version whose two files lie in a pack with bytes that nothing needs any more."""
    dataset = make_dataset(make_team())
    both = make_available_version(dataset, {**GONE, **KEPT})
    kept = make_available_version(dataset, KEPT)
    purge(both)
    collect()
    return kept


def test_it_works(version: Version, store: Path) -> None:
    assert list(pack_objects(store).values()) == [1950]
    run = collect(hours=25)
    assert run.report["compacted"] == {"count": 1, "size": 250}
    assert sorted(pack_objects(store).values()) == [250, 1950], "somebody may still be reading the old one"
    assert read_back(version) == KEPT
    collect(hours=48)
    assert len(pack_objects(store)) == 2
    collect(hours=51)
    assert list(pack_objects(store).values()) == [250]
    assert read_back(version) == KEPT
    assert not RetiredPack.objects.exists()
    assert "compacted" not in collect(hours=100).report


def test_a_pack_that_was_retired_before_has_its_grace_period_again(version: Version, store: Path) -> None:
    """Something had stayed in it then, and has been read from it until now."""
    RetiredPack.objects.create(pack=Pack.objects.get(), since=later(days=-10))
    collect(hours=25)
    assert sorted(pack_objects(store).values()) == [250, 1950]
    collect(hours=48)
    assert len(pack_objects(store)) == 2
    collect(hours=51)
    assert list(pack_objects(store).values()) == [250]


def test_a_list_of_slices_rests_beside_it_and_goes_with_it(version: Version, store: Path) -> None:
    collect(hours=25)
    (key,) = [key for key in objects(store) if key.startswith("slices/")]
    places = {piece.sha256: (piece.size, piece.pack, piece.offset) for piece in read_slices(key)}
    assert places == {bytes(b.sha256): (b.size, b.pack.key, b.offset) for b in Blob.objects.select_related("pack")}
    purge(version)
    collect(hours=25)
    collect(hours=60)
    assert objects(store) == {}


def test_packs_that_are_needed_enough_stay(version: Version, store: Path, settings: LazySettings) -> None:
    settings.COMPACT_BELOW_PERCENT = 12
    collect(hours=25)
    assert list(pack_objects(store).values()) == [1950]
    settings.COMPACT_BELOW_PERCENT = 0
    collect(hours=25)
    assert list(pack_objects(store).values()) == [1950]
    settings.COMPACT_BELOW_PERCENT = 13
    collect(hours=25)
    assert sorted(pack_objects(store).values()) == [250, 1950]


def test_many_half_empty_packs_become_one(store: Path, settings: LazySettings) -> None:
    dataset = make_dataset(make_team())
    kept = {}
    doomed = []
    for number in range(6):
        files = {f"keep{number}": bytes([number]) * 100, f"go{number}": bytes([number]) * 900}
        doomed.append(make_available_version(dataset, files))
        kept[f"keep{number}"] = files[f"keep{number}"]
    version = make_available_version(dataset, kept)
    for old in doomed:
        purge(old)
    collect()
    settings.COMPACT_BYTES = 0
    assert "COMPACT_BYTES" in collect(hours=25).notes[0]
    settings.COMPACT_BYTES = 10_000
    collect(hours=25)
    collect(hours=51)
    assert list(pack_objects(store).values()) == [600]
    assert read_back(version) == kept


def test_who_is_reading_reads_on(version: Version, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows were read long ago; the pack that they name is gone."""
    blob = Blob.objects.select_related("pack").get(size=150)
    begun = content.read_blob(blob, offset=10)
    collect(hours=25)
    collect(hours=51)
    assert len(pack_objects(store)) == 1
    assert b"".join(begun) == b"B" * 140
    assert b"".join(content.read_blob(blob, offset=20, length=30)) == b"B" * 30
    assert not Damage.objects.exists()


def test_who_is_reading_block_by_block_reads_on(version: Version, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store breaks off in the midst of a file."""
    blob = Blob.objects.select_related("pack").get(size=150)
    read = content.pack_store().read
    monkeypatch.setattr(content.pack_store(), "read", lambda *where, **named: read(*where, block=40, **named))
    begun = content.read_blob(blob)
    first = next(begun)
    collect(hours=25)
    collect(hours=51)
    old = store / blob.pack.key
    assert not old.exists()
    assert first + b"".join(begun) == b"B" * 150


def test_a_tar_is_whole(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.root is not None
    walked = list(walk_files(version.root))
    collect(hours=25)
    collect(hours=51)
    monkeypatch.setattr("datasets_app.services.downloads.walk_files", lambda _root: iter(walked))
    stream = tar_stream(make_member(version.dataset.team), version=version)
    with tarfile.open(fileobj=BytesIO(b"".join(stream.parts))) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        assert {name: file and file.read() for name, file in found.items()} == KEPT


def test_a_zip_is_whole(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.root is not None
    walked = list(walk_files(version.root))
    collect(hours=25)
    collect(hours=51)
    monkeypatch.setattr("datasets_app.services.downloads.walk_files", lambda _root: iter(walked))
    stream = zip_stream(make_member(version.dataset.team), version=version)
    with zipfile.ZipFile(BytesIO(b"".join(stream.parts))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == KEPT
    assert not Damage.objects.exists()


def test_a_folder_for_a_job_is_laid_out_again(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []

    def walk_and_compact(root: Directory) -> Iterator[WalkedFile]:
        files = list(walk_files(root))
        walks.append(files)
        if len(walks) == 1:
            collect(hours=25)
            collect(hours=51)
        return iter(files)

    monkeypatch.setattr("datasets_app.services.mounts.walk_files", walk_and_compact)
    folder = materialise(version)
    assert {path: (folder / path).read_bytes() for path in KEPT} == KEPT
    assert len(walks) == 2


def test_a_damaged_slice_stays_where_it_is(version: Version, store: Path) -> None:
    ((key, _),) = pack_objects(store).items()
    pack = store / key
    pack.chmod(0o644)
    blob = Blob.objects.get(size=100)
    data = bytearray(pack.read_bytes())
    data[blob.offset] ^= 1
    pack.write_bytes(data)
    collect(hours=25)
    collect(hours=51)
    damage = Damage.objects.get()
    assert (damage.blob, damage.cause) == (blob, "changed")
    assert sorted(pack_objects(store).values()) == [150, 1950]
    blob.refresh_from_db()
    assert blob.pack.key == key
    assert b"".join(content.read_blob(Blob.objects.get(size=150))) == b"B" * 150
    assert "compacted" not in collect(hours=80).report


@pytest.mark.parametrize("at", ["put_slices", "put", "_move"])
def test_a_worker_that_dies_leaves_garbage_only(
    version: Version, store: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_arguments: object, **_named: object) -> None:
        raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(content.pack_store() if at == "put" else compaction, at, die)
        dying.setattr(content.staging(), "remove", lambda _upload: None)
        with pytest.raises(KilledError):
            collect(hours=25)
    assert read_back(version) == KEPT
    CollectionRun.objects.update(status="failed")
    collect(hours=26)
    collect(hours=52)
    collect(hours=53)
    assert list(pack_objects(store).values()) == [250]
    assert Pack.objects.count() == 1
    assert sum(key.startswith("slices/") for key in objects(store)) == 1
    assert list((store.parent / "staging").iterdir()) == []
    assert read_back(version) == KEPT


def test_a_blob_that_goes_while_it_is_copied(version: Version, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last version that held it is purged, and collected, between the copy and the switch."""
    move: Callable[..., None] = compaction._move  # noqa: SLF001

    def purge_and_move(*arguments: Any) -> None:
        purge(version)
        sweep = Sweep(now=arguments[0].now.replace(year=2100))
        collect_trees(sweep)
        collect_blobs(sweep)
        assert not Blob.objects.exists()
        move(*arguments)

    monkeypatch.setattr(compaction, "_move", purge_and_move)
    collect(hours=25)
    monkeypatch.setattr(compaction, "_move", move)
    collect(hours=51)
    collect(hours=77)
    assert objects(store) == {}


def test_the_digest_of_a_blob_never_changes(version: Version) -> None:
    before = {bytes(blob.sha256) for blob in Blob.objects.all()}
    collect(hours=25)
    kept = {hashlib.sha256(data).digest() for data in KEPT.values()}
    assert {bytes(blob.sha256) for blob in Blob.objects.all()} == kept <= before
