"""Every byte of S3 is compared with what the store keeps: an ETag that is an MD5, or a checksum; and no other ETag."""

import base64
import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from datasets_app.sources.base import Cause, Route, Settings, SourceError, SourceFile, Tree
from datasets_app.sources.checksums import start_checksum
from datasets_app.sources.registry import PROVIDERS
from datasets_app.sources.s3 import S3Source, S3Tree
from datasets_app.sources.s3_etags import MOST_OTHERS, Etags
from tests.imports.bucket import s3_client
from tests.servers import S3Server
from tests.sources.contract import list_all
from tests.sources.http_double import Answer, HttpDouble, Request, take_range
from tests.sources.ministack import Ministack
from tests.sources.s3_remote import S3Remote, WireTap, connect_amazon, connect_minio

pytestmark = pytest.mark.server

BUCKET = "checksums"


@pytest.fixture
def remote(ministack: Ministack, tap: WireTap) -> Iterator[S3Remote]:
    """A folder of ministack behind the tap, spoken to as Amazon."""
    # One that sends no checksum unless it is told to.
    client = s3_client(S3Server(ministack.endpoint, ministack.keys.access_key, ministack.keys.secret_key))
    client.create_bucket(Bucket=BUCKET)
    yield S3Remote(client, connect_amazon(ministack, Route(proxy=tap.url)), bucket=BUCKET)
    client.close()


def as_minio(ministack: Ministack, tap: WireTap, path: str) -> S3Tree:
    """Open what lies there as at a store of which nothing is documented."""
    keys = ministack.keys
    source = connect_minio(ministack.endpoint, keys.access_key, Route(proxy=tap.url), secret_key=keys.secret_key)
    tree = source.open(path)
    assert isinstance(tree, S3Tree)
    return tree


def damage(tree: Tree, file: SourceFile) -> str:
    """Read what is damaged, and return what is said."""
    with pytest.raises(SourceError) as error:
        tree.fetch(file)
    assert error.value.cause == Cause.DAMAGED
    assert file.key in error.value.detail
    return error.value.detail


def test_spoiled_bytes_don_t_have_the_md5_that_the_store_tells(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"some bytes", "odd//y": b"more bytes"})
    tree = remote.open()
    found = list_all(tree)
    for name, file in found.items():
        tap.fail(f"GET .*{name}", times=1, spoil=True)
        assert "MD5" in damage(tree, file)
        tap.recover()
        assert bytes(tree.fetch(file)) in {b"some bytes", b"more bytes"}


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32", "SHA1"])
def test_where_the_store_keeps_a_checksum_that_one_is_told(remote: S3Remote, tap: WireTap, algorithm: str) -> None:
    remote.put_object("x", b"some bytes", ChecksumAlgorithm=algorithm)
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("GET .*/x", times=1, spoil=True)
    assert algorithm.lower() in damage(tree, file)
    assert tree.fetch(file) == b"some bytes"


def test_the_checksum_that_s3_adds_by_itself_is_compared(remote: S3Remote, tap: WireTap) -> None:
    # The check value of CRC-64/NVME in the catalogues.
    told = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    remote.put_object("x", b"123456789", ChecksumCRC64NVME=told)
    tree = remote.open()
    file = list_all(tree)["x"]
    assert tree.look_up(file).checksum == "crc64nvme:ae8b14860a799888"
    tap.fail("GET .*/x", times=1, spoil=True)
    assert "crc64nvme" in damage(tree, file)
    assert tree.fetch(file) == b"123456789"
    hasher = start_checksum("crc64nvme", 9)
    assert hasher is not None
    for part in (b"12", b"", memoryview(b"3456789")):
        hasher.update(part)
    assert hasher.hexdigest() == "ae8b14860a799888"


def test_where_nothing_is_documented_other_objects_tell_what_etags_are(
    ministack: Ministack, remote: S3Remote, tap: WireTap
) -> None:
    remote.put({"x": b"some bytes", "y": b"others", "z": b"and others"})
    tree = as_minio(ministack, tap, remote.path)
    tap.fail("GET .*/x", times=-1, spoil=True)
    assert "MD5" in damage(tree, list_all(tree)["x"])


def test_an_only_object_that_comes_differently_each_time_is_damaged(
    ministack: Ministack, remote: S3Remote, tap: WireTap
) -> None:
    remote.put({"x": b"some bytes"})
    tree = as_minio(ministack, tap, remote.path)
    tap.fail("GET .*/x", times=1, spoil=True)
    assert "MD5" in damage(tree, list_all(tree)["x"])


def test_large_objects_are_given_their_md5_to_compare(remote: S3Remote) -> None:
    data = random.Random(1).randbytes(9 * 2**20)
    remote.put({"large": data})
    key = f"{remote.folder}/parts"
    part = {"Bucket": BUCKET, "Key": key}
    part["UploadId"] = remote.client.create_multipart_upload(**part)["UploadId"]
    done = remote.client.upload_part(**part, PartNumber=1, Body=data)
    remote.client.complete_multipart_upload(
        **part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": done["ETag"]}]}
    )
    tree = remote.open()
    found = {name: tree.look_up(file) for name, file in list_all(tree).items()}
    assert found["large"].checksum == f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"
    # The ETag of what came in parts is an MD5 of MD5s.
    assert found["parts"].checksum in {"", f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"}


class OtherEtags(HttpDouble):
    """A store whose ETags look like MD5 sums and are none; `headers` say more of every object."""

    def __init__(self, count: int, **headers: str) -> None:
        super().__init__(self._serve)
        self.count = count
        self.grown = False
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def _serve(self, request: Request) -> Answer:
        if "list-type" in request.query:
            items = "".join(
                f"<Contents><Key>k{n}</Key><Size>{len(_body(f'k{n}'))}</Size><ETag>&quot;{_other(f'k{n}')}&quot;</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                for n in range(self.count)
            )
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()
            return Answer(200, {"Content-Type": "application/xml"}, body)
        name = unquote(request.path).rsplit("/", 1)[-1]
        body = _body(name) * 1000 if self.grown else _body(name)
        return take_range(request.headers, body, {"ETag": f'"{_other(name)}"', **self.headers})


def _body(name: str) -> bytes:
    return f"the bytes of {name}".encode()


def _other(name: str) -> str:
    return hashlib.md5(b"random" + name.encode(), usedforsecurity=False).hexdigest()


def open_other(store: HttpDouble, *, documented: bool) -> S3Tree:
    """Open the store as a public one."""
    source = PROVIDERS["minio"].connect(Settings({"endpoint": store.url, "access": "public"}, {}), Route())
    assert isinstance(source, S3Source)
    tree = S3Source(replace(source.profile, has_md5_etags=documented), Route()).open("bucket")
    assert isinstance(tree, S3Tree)
    return tree


@pytest.mark.parametrize(
    ("documented", "headers"),
    [
        (False, {}),
        (True, {"x_amz_server_side_encryption": "aws:kms"}),
        (True, {"x_amz_server_side_encryption_customer_algorithm": "AES256"}),
    ],
    ids=["a store with ETags of its own", "KMS", "a customer's key"],
)
def test_etags_that_are_no_md5_are_not_believed(*, documented: bool, headers: dict[str, str]) -> None:
    count = 3 * MOST_OTHERS
    store = OtherEtags(count, **headers).start()
    try:
        tree = open_other(store, documented=documented)
        files = list_all(tree)
        assert {name: bytes(tree.fetch(file)) for name, file in files.items()} == {n: _body(n) for n in files}
        assert tree.look_up(files["k1"]).checksum == ""
        # Soon it is known of all of them.
        assert len(store.lines("^HEAD")) <= MOST_OTHERS + 1
        store.forget()
        assert tree.fetch(files["k2"])
        assert len(store.requests) == 1
    finally:
        store.stop()


def test_an_object_that_has_grown_is_not_taken_into_memory() -> None:
    store = OtherEtags(1).start()
    try:
        tree = open_other(store, documented=False)
        file = list_all(tree)["k0"]
        store.grown = True
        with pytest.raises(SourceError) as caught:
            tree.fetch(file)
        assert caught.value.cause == Cause.CHANGED
        assert bytes(tree.fetch_range(file, 0, 5)) == _body("k0")[:5]
    finally:
        store.stop()


def test_a_store_that_keeps_none_is_only_read() -> None:
    file = SourceFile("k", "k", 3, "")
    reader = SimpleNamespace()
    Etags(reader, list, are_md5=True).verify(file, b"abc")  # type: ignore[arg-type]
    Etags(reader, list, are_md5=True).verify(file._replace(tag='"0123-7" today'), b"abc")  # type: ignore[arg-type]
