"""The pack store's contract, on a folder, on a real S3 server and on a server of Google Cloud Storage."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_django
from botocore.config import Config
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from storages.backends.gcloud import GoogleCloudStorage
from storages.backends.s3 import S3Storage

from datasets_app.errors import Unavailable
from datasets_app.store import ranges
from datasets_app.store.packs import MissingPack, PackStore
from tests.servers import S3Server, free_port
from tests.sources.doubles import gcs_backend
from tests.sources.gcs_proxy import GcsServer

__all__ = ["gcs_backend"]

MIB = 2**20
CONTENT = bytes(range(256)) * 16 * 1024  # 4 MiB
BUCKET = "packs"


class ClientLeftError(Exception):
    """The source of the bytes broke off."""


def s3_storage(endpoint: str, key: str, secret: str) -> S3Storage:
    return S3Storage(
        bucket_name=BUCKET,
        location="some/prefix",
        endpoint_url=endpoint,
        access_key=key,
        secret_key=secret,
        region_name="us-east-1",
        client_config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            # Servers that are not Amazon's often don't know the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 1},
        ),
    )


def gcs_storage(endpoint: str) -> GoogleCloudStorage:
    storage = GoogleCloudStorage(bucket_name=BUCKET, location="some/prefix", file_overwrite=False)
    options = {"api_endpoint": endpoint}
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    storage._client = Client("flexai-test", credentials=anonymous, client_options=options)  # noqa: SLF001
    return storage


@pytest.fixture(scope="session")
def gcs_endpoint(gcs_backend: GcsServer) -> str:
    """Say where the server is, without the proxy that asks for tokens."""
    gcs_backend.make_bucket(BUCKET)
    return f"http://127.0.0.1:{gcs_backend.backend}"


@pytest.fixture(scope="session")
def bucket(s3_server: S3Server) -> S3Server:
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        region_name=s3_server.region,
    )
    client.create_bucket(Bucket=BUCKET)
    return s3_server


REMOTE = [pytest.param(name, marks=pytest.mark.server) for name in ("s3", "gcs")]


@pytest.fixture(params=["filesystem", *REMOTE, "any other"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "filesystem":
        return FileSystemStorage(location=tmp_path / "packs")
    if request.param == "any other":
        return InMemoryStorage()
    if request.param == "gcs":
        gcs: Storage = gcs_storage(request.getfixturevalue("gcs_endpoint"))
        return gcs
    server: S3Server = request.getfixturevalue("bucket")
    s3: Storage = s3_storage(server.endpoint, server.access_key, server.secret_key)
    return s3


@pytest.fixture
def store(storage: Storage, tmp_path: Path) -> PackStore:
    return PackStore(storage, scratch=tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(content)
        return path

    return make


def test_it_works(store: PackStore, stage: Callable[[bytes], Path]) -> None:
    key, source = store.key_of(uuid.uuid4()), stage(CONTENT)
    assert not store.exists(key)
    store.put(source, key)
    assert not source.exists()
    assert store.exists(key)
    assert store.size(key) == len(CONTENT)
    assert b"".join(store.read(key)) == CONTENT
    store.remove(key)
    store.remove(key)
    assert not store.exists(key)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, None), (1, None), (1000, 0), (0, MIB), (MIB - 1, 2), (12345, 2 * MIB + 1), (len(CONTENT) - 1, 1)],
)
def test_reads_ranges_in_small_blocks(
    store: PackStore, stage: Callable[[bytes], Path], offset: int, length: int | None
) -> None:
    key = store.key_of(uuid.uuid4())
    store.put(stage(CONTENT), key)
    blocks = list(store.read(key, offset, length))
    assert b"".join(blocks) == CONTENT[offset : None if length is None else offset + length]
    assert all(0 < len(block) <= MIB for block in blocks)


def test_an_empty_object(store: PackStore, stage: Callable[[bytes], Path]) -> None:
    key = store.key_of(uuid.uuid4())
    store.put(stage(b""), key)
    assert (store.exists(key), store.size(key)) == (True, 0)
    assert list(store.read(key)) == list(store.read(key, 0, 0)) == []


def test_what_is_missing_has_a_name(store: PackStore, stage: Callable[[bytes], Path]) -> None:
    key = store.key_of(uuid.uuid4())
    with pytest.raises(MissingPack, match=key):
        list(store.read(key, 5, 10))
    with pytest.raises(MissingPack, match=key):
        store.size(key)
    with pytest.raises(FileNotFoundError):
        store.put(Path("nowhere"), key)


@pytest.mark.parametrize("offset", [0, 2, 3, 100])
def test_an_object_that_ends_too_early_is_told(store: PackStore, stage: Callable[[bytes], Path], offset: int) -> None:
    key = store.key_of(uuid.uuid4())
    store.put(stage(b"abc"), key)
    with pytest.raises(MissingPack, match="missing or damaged"):
        list(store.read(key, offset, 10))


def test_a_key_is_never_used_again(store: PackStore, stage: Callable[[bytes], Path]) -> None:
    key, other = store.key_of(uuid.uuid4()), stage(b"others")
    store.put(stage(b"first!"), key)
    with pytest.raises(FileExistsError):
        store.put(other, key)
    with pytest.raises(FileExistsError):
        store.put_bytes(key, [b"others"])
    assert b"".join(store.read(key)) == b"first!"
    assert other.exists(), "what was not stored is not lost"


def test_a_put_that_died_is_finished_by_the_next(store: PackStore, stage: Callable[[bytes], Path]) -> None:
    key, source = store.key_of(uuid.uuid4()), stage(b"bytes")
    store.put(source, key)
    store.put(source, key)
    # Died after storing, before removing the source.
    source.write_bytes(b"bytes")
    store.put(source, key)
    assert not source.exists()
    assert b"".join(store.read(key)) == b"bytes"


def test_put_bytes_stores_all_or_nothing(store: PackStore, tmp_path: Path) -> None:
    key, broken = store.key_of(uuid.uuid4()), store.key_of(uuid.uuid4())
    store.put_bytes(key, (b"line\n" for _ in range(1000)))
    assert b"".join(store.read(key)) == b"line\n" * 1000

    def break_off() -> Iterator[bytes]:
        yield b"line\n"
        raise ClientLeftError

    with pytest.raises(ClientLeftError):
        store.put_bytes(broken, break_off())
    assert not store.exists(broken)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path != store.open_local(key)]
    assert not left


def test_a_folder_is_moved_into_not_copied(tmp_path: Path, stage: Callable[[bytes], Path]) -> None:
    store = PackStore(FileSystemStorage(location=tmp_path / "packs"))
    key, source = store.key_of(uuid.uuid4()), stage(CONTENT)
    inode = source.stat().st_ino
    store.put(source, key)
    path = store.open_local(key)
    assert path == tmp_path / "packs" / key
    assert path.stat().st_ino == inode
    assert path.stat().st_mode & 0o777 == 0o444


def test_across_disks_it_is_copied_whole(stage: Callable[[bytes], Path]) -> None:
    shared_memory = Path("/dev/shm")  # noqa: S108 - another file system than the temporary folder's, if it is there
    source = stage(CONTENT)
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == source.stat().st_dev:
        pytest.skip("there is no second file system")
    folder = shared_memory / uuid.uuid4().hex
    store = PackStore(FileSystemStorage(location=folder))
    key = store.key_of(uuid.uuid4())
    try:
        store.put(source, key)
        assert not source.exists()
        assert b"".join(store.read(key)) == CONTENT
        assert [path.name for path in folder.rglob("*") if path.is_file()] == [Path(key).name]
    finally:
        store.remove(key)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir()
        folder.rmdir()


@pytest.mark.server
def test_s3_sends_the_range_only(bucket: S3Server, stage: Callable[[bytes], Path]) -> None:
    storage = s3_storage(bucket.endpoint, bucket.access_key, bucket.secret_key)
    store = PackStore(storage)
    key = store.key_of(uuid.uuid4())
    store.put(stage(CONTENT), key)
    answers: list[tuple[int, int]] = []

    def note(http_response: Any, **_rest: object) -> None:  # noqa: ANN401 - botocore's AWSResponse
        answers.append((http_response.status_code, int(http_response.headers.get("Content-Length", 0))))

    client = storage.connection.meta.client
    client.meta.events.register("needs-retry.s3.*", lambda response, **_: note(response[0]) if response else None)
    assert b"".join(store.read(key, 1000, 500)) == CONTENT[1000:1500]
    assert answers == [(206, 500)]


@pytest.mark.server
def test_google_sends_the_range_only(gcs_endpoint: str, stage: Callable[[bytes], Path]) -> None:
    storage = gcs_storage(gcs_endpoint)
    store = PackStore(storage)
    key = store.key_of(uuid.uuid4())
    content = CONTENT * 3
    store.put(stage(content), key)
    answers: list[tuple[int, int]] = []

    def note(response: Any, **_rest: object) -> None:  # noqa: ANN401 - of requests
        answers.append((response.status_code, int(response.headers["Content-Length"])))

    session = storage.client._http  # noqa: SLF001
    session.hooks["response"].append(note)
    assert b"".join(store.read(key, 1000, 500)) == content[1000:1500]
    assert answers == [(206, 500)]
    answers.clear()
    assert b"".join(store.read(key, MIB, 9 * MIB)) == content[MIB : 10 * MIB]
    assert answers == [(206, 4 * MIB), (206, 4 * MIB), (206, MIB)]


@pytest.mark.server
def test_google_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "GOOGLE_SECONDS", 1)
    with pytest.raises(Unavailable) as caught:
        list(PackStore(gcs_storage(f"http://127.0.0.1:{free_port()}")).read(PackStore.key_of(uuid.uuid4()), 0, 10))
    assert not isinstance(caught.value, MissingPack)


@pytest.mark.server
def test_s3_gives_urls_that_work(bucket: S3Server, stage: Callable[[bytes], Path]) -> None:
    from urllib.request import urlopen

    store = PackStore(s3_storage(bucket.endpoint, bucket.access_key, bucket.secret_key))
    key = store.key_of(uuid.uuid4())
    store.put(stage(b"over http"), key)
    assert store.open_local(key) is None
    url = store.url(key)
    assert url is not None
    with urlopen(url, timeout=10) as response:
        assert response.read() == b"over http"


@pytest.mark.server
def test_s3_that_does_not_answer_or_let_in(bucket: S3Server) -> None:
    for storage in (
        s3_storage(f"http://127.0.0.1:{free_port()}", "a", "b"),
        s3_storage(bucket.endpoint, bucket.access_key, "wrong"),
    ):
        with pytest.raises(Unavailable) as caught:
            list(PackStore(storage).read(PackStore.key_of(uuid.uuid4()), 0, 10))
        assert not isinstance(caught.value, MissingPack), "bytes that can't be asked for are not lost"


def test_a_folder_offers_no_url(tmp_path: Path) -> None:
    assert PackStore(FileSystemStorage(location=tmp_path)).url("ab/cd/ef") is None


def test_the_configured_store_is_the_default(settings: pytest_django.Settings, tmp_path: Path) -> None:
    packs = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path / "here")}}
    settings.STORAGES = {**settings.STORAGES, "packs": packs}
    store = PackStore()
    key = store.key_of(uuid.uuid4())
    store.put_bytes(key, [b"x"])
    assert (tmp_path / "here" / key).read_bytes() == b"x"
