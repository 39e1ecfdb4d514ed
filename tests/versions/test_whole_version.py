"""A whole version: manifest, tar, and the manifest kept beside the packs."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import orjson
import pytest
import zstandard
from django.db import transaction
from django.http import StreamingHttpResponse
from django.test import Client

from datasets_app.errors import Unavailable
from datasets_app.models import Damage, Door, File, Pack, Role, Version
from datasets_app.services import content, downloads, walking
from datasets_app.services.walking import walk_files
from datasets_app.store.packs import MissingPack
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team
from tests.store.naive import digest_of

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db]
FILES = {
    "a/b/c": b"1",
    "a/b.txt": b"22",
    "a-b": b"333",
    "grüße/😀.bin": random.Random(1).randbytes(1_300_000),
    "grüße/é": b"x" * 512,
    f"long/{'n' * 200}/{'m' * 250}.txt": b"long",
    "zz/" + "/".join("d" * 40): b"deep",
}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team(), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return api_client(make_member(version.dataset.team, Role.READER))


def fetch(client: Client, version: Version, what: str) -> tuple[Answer, bytes]:
    team = version.dataset.team.name
    answer = client.get(f"/api/v1/teams/{team}/datasets/images/versions/{version.number}/{what}")
    assert answer.status_code == 200
    return answer, b"".join(cast("StreamingHttpResponse", answer))


def tree_order(files: dict[str, bytes]) -> list[str]:
    return sorted(files, key=lambda path: path.encode().split(b"/"))


def test_it_works(version: Version, client: Client) -> None:
    answer, text = fetch(client, version, "manifest")
    assert answer["Content-Type"] == "application/x-ndjson"
    assert answer["Content-Disposition"] == 'attachment; filename="images-1.ndjson"'
    lines = [orjson.loads(line) for line in text.splitlines()]
    wanted = [
        {"path": path, "size": len(FILES[path]), "sha256": hashlib.sha256(FILES[path]).hexdigest()}
        for path in tree_order(FILES)
    ]
    assert lines == wanted


def test_the_stored_manifest_finds_every_byte(version: Version) -> None:
    """From it and the packs alone, a dataset can be rebuilt."""
    packed = b"".join(content.read_manifest(version.manifest_key))
    header, *lines = map(orjson.loads, zstandard.ZstdDecompressor().decompressobj().decompress(packed).splitlines())
    assert header["format"] == "flexai-manifest-1"
    assert header["digest"] == version.digest == digest_of(FILES)
    assert (header["dataset"], header["version"], header["file_count"]) == ("images", 1, len(FILES))
    rebuilt = {
        line["path"]: b"".join(content.read_pack(key=line["pack"], offset=line["offset"], length=line["size"]))
        for line in lines
    }
    assert rebuilt == FILES


def test_tar(version: Version, client: Client) -> None:
    answer, data = fetch(client, version, "archive.tar")
    assert answer["Content-Type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == tree_order(FILES)
        assert {(member.mode, member.uid, member.mtime) for member in members} == {(0o444, 0, 0)}
        for member in members:
            file = archive.extractfile(member)
            assert file is not None
            assert file.read() == FILES[member.name]
    assert len(data) % tarfile.RECORDSIZE == 0


def test_the_system_tar_reads_it(version: Version, client: Client, tmp_path: Path) -> None:
    _, data = fetch(client, version, "archive.tar")
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=data, check=True)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == FILES


def test_equal_versions_give_equal_tars(version: Version, client: Client) -> None:
    second = make_available_version(version.dataset, dict(reversed(FILES.items())))
    assert fetch(client, version, "archive.tar")[1] == fetch(client, second, "archive.tar")[1]


@pytest.mark.parametrize("run_files", [1, 2, 3, 1000])
def test_walking_in_runs_of_any_size(version: Version, monkeypatch: pytest.MonkeyPatch, run_files: int) -> None:
    monkeypatch.setattr(walking, "RUN_FILES", run_files)
    assert version.root is not None
    assert [file.path for file in walk_files(version.root)] == tree_order(FILES)
    prefixed = [file.path for file in walk_files(version.root, prefix="x/y/")]
    assert prefixed == [f"x/y/{path}" for path in tree_order(FILES)]


def test_deeper_than_the_call_stack() -> None:
    path = "/".join("d" * 1200)
    dataset = make_dataset(make_team(), "deep")
    first = make_available_version(dataset, {f"{path}/x": b"x", "top": b"top"})
    second = make_available_version(dataset, {f"{path}/y": b"y"}, base=1)
    assert second.root is not None
    assert [file.path for file in walk_files(second.root)] == [f"{path}/x", f"{path}/y", "top"]
    assert first.file_count == 2


@pytest.mark.parametrize("what", ["archive.tar", "archive.zip"])
def test_missing_bytes_break_the_stream_off_and_do_not_pass_for_a_whole(
    version: Version, client: Client, what: str
) -> None:
    content.pack_store().remove(Pack.objects.get().key)
    with pytest.raises(MissingPack):
        fetch(client, version, what)
    assert Damage.objects.get().cause == Damage.Cause.MISSING


@pytest.mark.parametrize("what", ["archive.tar", "archive.zip"])
def test_a_version_that_is_purged_meanwhile_breaks_off(version: Version, client: Client, what: str) -> None:
    team = version.dataset.team.name
    answer = client.get(f"/api/v1/teams/{team}/datasets/images/versions/{version.number}/{what}")
    with transaction.atomic():
        Door.objects.create(name="purge")
        File.objects.filter(name="a-b").delete()
        Door.objects.all().delete()
    with pytest.raises(Unavailable):
        b"".join(cast("StreamingHttpResponse", answer))


@pytest.mark.parametrize("what", ["archive.tar", "archive.zip"])
def test_an_archive_tells_its_length_before_it_is_sent(client: Client, version: Version, what: str) -> None:
    for query in ("", "?path=gr%C3%BC%C3%9Fe", "?path=long", "?path=zz"):
        answer, data = fetch(client, version, what + query)
        assert answer.headers["Content-Length"] == str(len(data))


@pytest.mark.parametrize("what", ["archive.tar", "archive.zip"])
def test_of_very_many_files_the_length_is_not_awaited(
    client: Client, version: Version, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(downloads, "SIZED_FILES", 3)
    answer, data = fetch(client, version, what)
    assert "Content-Length" not in answer.headers
    assert data


def test_a_folder_alone(client: Client, version: Version) -> None:
    answer, data = fetch(client, version, "archive.tar?path=gr%C3%BC%C3%9Fe")
    assert answer.headers["Content-Length"] == str(len(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == sorted(["😀.bin", "é"])
    url = f"/api/v1/teams/{version.dataset.team.name}/datasets/images/versions/1/"
    assert client.get(f"{url}archive.zip?path=nothing").status_code == 404
    assert client.get(f"{url}archive.tar?path=a-b").status_code == 404


def test_the_zip_unpacks_to_the_same_files(client: Client, version: Version, tmp_path: Path) -> None:
    answer, data = fetch(client, version, "archive.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    assert fetch(client, version, "archive.zip")[1] == data


def test_the_list_of_files(client: Client, version: Version) -> None:
    answer, data = fetch(client, version, "files.csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert {row["path"]: (int(row["size"]), row["sha256"]) for row in rows} == {
        path: (len(body), hashlib.sha256(body).hexdigest()) for path, body in FILES.items()
    }
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
