"""What goes over the wire to S3 stores, and what never does."""

import base64
import hashlib
import json
import os
import re
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datasets_app.sources.base import PAGE_FILES, Cause, Route, Settings, SourceError, SourceFile
from datasets_app.sources.guard import Guard
from datasets_app.sources.places import Place
from datasets_app.sources.s3 import S3Source, S3Tree
from datasets_app.sources.s3_profiles import AmazonS3, CloudflareR2
from tests.servers import free_port
from tests.sources.contract import list_all
from tests.sources.http_double import Answer, HttpDouble
from tests.sources.ministack import Ministack
from tests.sources.s3_remote import S3Remote, WireTap, connect_amazon, connect_minio

pytestmark = pytest.mark.server

BUCKET = "wire"
ACCOUNT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def remote(ministack: Ministack, tap: WireTap) -> Iterator[S3Remote]:
    """A folder of ministack behind the tap, with an object that can only be read by botocore."""
    client = ministack.client("s3")
    client.create_bucket(Bucket=BUCKET)
    made = S3Remote(client, connect_amazon(ministack, Route(proxy=tap.url)), bucket=BUCKET)
    made.put({"x": b"1234", "odd//y": b"5678"})
    yield made
    client.close()


def use_everything(remote: S3Remote, source: object) -> None:
    """Make a request of every kind."""
    assert isinstance(source, S3Source)
    assert all(step.ok for step in source.check(remote.path))
    assert source.browse().entries
    assert source.browse(remote.path).entries
    tree = source.open(remote.path)
    for file in list_all(tree).values():
        assert len(tree.fetch(file)) == 4
        assert len(tree.fetch_range(file, 1, 2)) == 2
        tree.look_up(file)


def test_r2_is_spoken_to_as_it_wants(ministack: Ministack, tap: WireTap) -> None:
    provider = CloudflareR2(endpoint=ministack.endpoint)
    settings = Settings(
        {"account_id": ACCOUNT, "access_key": ministack.keys.access_key}, {"secret_key": ministack.keys.secret_key}
    )
    source = provider.connect(provider.clean(settings), Route(proxy=tap.url))
    # To ministack, the region "auto" is one like others.
    client = ministack.client("s3")
    client.create_bucket(Bucket="r2-like", CreateBucketConfiguration={"LocationConstraint": "auto"})
    remote = S3Remote(client, source, bucket="r2-like")
    remote.put({"x": b"1234", "odd//y": b"5678"})
    client.close()
    tap.forget()
    use_everything(remote, source)
    signed = [request for request in tap.requests if request.authorization]
    assert len(signed) > 8
    assert all("/auto/s3/aws4_request" in request.authorization for request in signed)
    names = {name for request in signed for name in request.headers}
    assert not {name for name in names if re.search("checksum|sdk-checksum|request-payer|trailer", name)} - {
        "x-amz-checksum-mode"
    }
    # Asked for where it is wanted, and nowhere else.
    assert {request.method for request in signed if "x-amz-checksum-mode" in request.headers} == {"HEAD"}


def test_the_requester_pays_for_every_request(ministack: Ministack, remote: S3Remote, tap: WireTap) -> None:
    tap.forget()
    use_everything(remote, connect_amazon(ministack, Route(proxy=tap.url), requester_pays="on"))
    about_objects = [request for request in tap.requests if f"/{BUCKET}" in request.path and request.method == "GET"]
    assert len(about_objects) > 5
    assert {request.headers.get("x-amz-request-payer") for request in about_objects} == {"requester"}


def test_public_buckets_are_read_without_a_signature(ministack: Ministack, remote: S3Remote, tap: WireTap) -> None:
    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    remote.client.delete_public_access_block(Bucket=BUCKET)
    remote.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    tap.forget()
    source = connect_amazon(ministack, Route(proxy=tap.url), access="public")
    try:
        tree = source.open(remote.path)
        list_all(tree)
    except SourceError:
        # Whether a stranger gets an answer is ministack's affair; that nothing is signed is ours.
        pass
    assert tap.requests
    assert not any(request.authorization or "x-amz-security-token" in request.headers for request in tap.requests)


def test_a_request_reads_and_asks_for_the_listed_bytes_only(remote: S3Remote, tap: WireTap) -> None:
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.forget()
    tree.fetch(file)
    tree.fetch_range(file, 1, 2)
    whole, part = tap.requests
    assert whole.headers["if-match"] == part.headers["if-match"] == file.tag.partition(" ")[0]
    assert part.headers["range"] == "bytes=1-2"
    assert {request.method for request in tap.requests} == {"GET"}


def test_bytes_of_an_address_that_the_operator_named_pass_the_guard_by(
    ministack: Ministack, remote: S3Remote, tap: WireTap
) -> None:
    guard = Guard(["127.0.0.1/32"])
    source = connect_amazon(ministack, Route(proxy=tap.url, needs_no_proxy=guard.allows))
    tree = source.open(remote.path)
    found = list_all(tree)
    tap.forget()
    assert tree.fetch(found["x"]) == b"1234"
    assert tree.fetch_range(found["x"], 1, 2) == b"23"
    assert tap.requests == []
    # Read by botocore, which knows no exceptions.
    assert tree.fetch(found["odd//y"]) == b"5678"
    assert len(tap.requests) == 1


def test_where_the_bytes_redirect_to_is_judged_all_the_same(tap: WireTap) -> None:
    guard = Guard(["127.0.0.1/32"])
    store = HttpDouble(lambda _: Answer(200, {"ETag": '"e"'}, b"1")).start()
    try:
        file = SourceFile("x", "x", 1, '"e" 2024')
        for elsewhere in ("127.0.0.2", "169.254.169.254", "localhost"):
            # Names, even of the same address, are not for the library to look up.
            proxy = tap.url if elsewhere == "localhost" else guard.url
            source = connect_minio(store.url, "key", Route(proxy=proxy, needs_no_proxy=guard.allows), secret_key="s")
            assert isinstance(source, S3Source)
            tree = S3Tree(source, Place("x", ""))
            assert tree.fetch(file) == b"1"
            store.fail("/x/x", status=307, headers={"Location": f"http://{elsewhere}:{store.port}/there"})
            if elsewhere == "localhost":
                tree.fetch(file)
                assert len(tap.lines("/there")) == 1
            else:
                with pytest.raises(SourceError) as error:
                    tree.fetch(file)
                assert error.value.cause == Cause.FORBIDDEN_NETWORK, elsewhere
                assert store.lines("/there") == []
    finally:
        store.stop()
        guard.close()


def test_a_page_of_a_listing_is_one_request(remote: S3Remote, tap: WireTap) -> None:
    remote.put({f"{number:05d}": b"" for number in range(PAGE_FILES + 10)})
    tree = remote.open()
    tap.forget()
    pages = tree.list_files()
    first = next(pages)
    assert len(tap.requests) == 1
    assert len(first.files) == PAGE_FILES
    next(pages)
    assert len(tap.requests) == 2


def test_folder_markers_are_left_out(remote: S3Remote) -> None:
    remote.put({"marker/": b"", "marker/in/": b"", "not-a-marker/": b"1", "empty": b""})
    found = list_all(remote.open())
    assert {"not-a-marker/", "empty"} <= found.keys()
    assert not {"marker/", "marker/in/"} & found.keys()
    # One that is alone still makes its folder one.
    assert list_all(remote.open("marker")) == {}


def test_checksums_of_whole_objects_are_told(remote: S3Remote) -> None:
    data = b"some bytes"
    remote.put_object("sha256", data, ChecksumAlgorithm="SHA256")
    remote.put_object("crc32", data, ChecksumAlgorithm="CRC32")
    remote.put_object("none", data)
    key = f"{remote.folder}/parts"
    upload = remote.client.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
    part = {"Bucket": BUCKET, "Key": key, "UploadId": upload}
    done = remote.client.upload_part(**part, PartNumber=1, Body=data, ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": 1, "ETag": done["ETag"], "ChecksumSHA256": done.get("ChecksumSHA256", "")}]
    remote.client.complete_multipart_upload(**part, MultipartUpload={"Parts": parts})
    tree = remote.open()
    found = {name: tree.look_up(file) for name, file in list_all(tree).items()}
    assert found["sha256"].sha256 == hashlib.sha256(data).digest()
    assert found["crc32"].checksum == f"crc32:{zlib.crc32(data):08x}"
    # A checksum of checksums says nothing about the bytes.
    assert found["parts"].sha256 in {None, hashlib.sha256(data).digest()}
    assert found["none"].sha256 is None


def test_looking_up_what_was_replaced_is_refused(remote: S3Remote) -> None:
    tree = remote.open()
    file = list_all(tree)["x"]
    remote.put({"x": b"9999"})
    with pytest.raises(SourceError) as error:
        tree.look_up(file)
    assert error.value.cause == Cause.CHANGED


def test_the_region_of_a_bucket_is_found_out(ministack: Ministack, tap: WireTap) -> None:
    client = ministack.client("s3")
    client.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    client.put_object(Bucket="far-away", Key="x", Body=b"1")
    client.close()
    tree = connect_amazon(ministack, Route(proxy=tap.url)).open("far-away")
    tap.forget()
    assert tree.fetch(list_all(tree)["x"]) == b"1"
    assert all("/eu-west-3/s3/" in request.authorization for request in tap.requests)


def test_the_operators_proxy_may_want_a_password(ministack: Ministack, remote: S3Remote, tap: WireTap) -> None:
    tap.forget()
    route = Route(proxy=f"http://us%40er:p%3Ass@127.0.0.1:{tap.port}")
    use_everything(remote, connect_amazon(ministack, route))
    told = base64.b64encode(b"us@er:p:ss").decode()
    assert {request.headers.get("proxy-authorization") for request in tap.requests} == {f"Basic {told}"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_password_of_a_proxy_is_told_to_nobody(scheme: str) -> None:
    route = Route(proxy=f"http://user:hush-hush@127.0.0.1:{free_port()}")
    source = connect_minio(f"{scheme}://s3.example.org", "key", route, secret_key="s")
    assert isinstance(source, S3Source)
    tree = S3Tree(source, Place("x", ""))
    reads: list[Callable[[], object]] = [source.browse, lambda: tree.fetch(SourceFile("x", "x", 1, ""))]
    for read in reads:
        with pytest.raises(SourceError) as error:
            read()
        assert error.value.cause == Cause.UNREACHABLE
        assert "hush" not in "".join(traceback.format_exception(error.value))
    assert "hush" not in str(list(source.check("x")))


class TestEnvironment:
    """What lies about on this machine is not used, and nothing gets past the proxy."""

    @pytest.fixture
    def metadata(self, ministack: Ministack) -> Iterator[HttpDouble]:
        """A metadata service that hands out temporary keys to everyone."""
        keys = ministack.temporary_keys()
        told = {
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "Token": keys.session_token,
            "Expiration": "2099-01-01T00:00:00Z",
        }
        double = HttpDouble(lambda _: Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode()))
        double.start()
        yield double
        double.stop()

    @pytest.fixture
    def hostile(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        metadata: HttpDouble,
        remote: S3Remote,  # noqa: ARG002 (made by boto3, which believes the environment)
    ) -> HttpDouble:
        """Set every variable that could lead somewhere else."""
        for name in list(os.environ):
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        nowhere = "http://127.0.0.1:9"
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "config").write_text(f"[default]\nregion = xx-1\nendpoint_url = {nowhere}\n")
        (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
        for name, value in {
            "HOME": str(tmp_path),
            "AWS_PROFILE": "none",
            "AWS_ACCESS_KEY_ID": "environment",
            "AWS_SECRET_ACCESS_KEY": "environment",
            "AWS_SESSION_TOKEN": "environment",
            "AWS_REGION": "xx-1",
            "AWS_DEFAULT_REGION": "xx-1",
            "AWS_ENDPOINT": nowhere,
            "AWS_ENDPOINT_URL": nowhere,
            "AWS_ENDPOINT_URL_S3": nowhere,
            "AWS_CA_BUNDLE": "/none",
            "AWS_PROXY_URL": nowhere,
            "AWS_PROXY_EXCLUDES": "127.0.0.1,*",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_S3_EXPRESS": "true",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
            "AWS_UNSIGNED_PAYLOAD": "true",
            "AWS_ALLOW_INVALID_CERTIFICATES": "true",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
            "AWS_METADATA_ENDPOINT": metadata.url,
            "HTTP_PROXY": nowhere,
            "http_proxy": nowhere,
            "HTTPS_PROXY": nowhere,
            "ALL_PROXY": nowhere,
            "NO_PROXY": "*",
            "no_proxy": "*",
        }.items():
            monkeypatch.setenv(name, value)
        return metadata

    @pytest.mark.parametrize("name", ["minio", "s3"])
    def test_nothing_of_it_is_used(
        self, hostile: HttpDouble, ministack: Ministack, remote: S3Remote, tap: WireTap, name: str
    ) -> None:
        route, secret = Route(proxy=tap.url), ministack.keys.secret_key
        if name == "s3":
            source = connect_amazon(ministack, route)
        else:
            source = connect_minio(ministack.endpoint, ministack.keys.access_key, route, secret_key=secret)
        tap.forget()
        use_everything(remote, source)
        signed = [request for request in tap.requests if request.authorization]
        # Two objects, each read whole and in part: past the proxy would be unseen.
        assert len([request for request in signed if "if-match" in request.headers]) >= 6
        assert all(f"Credential={ministack.keys.access_key}/" in request.authorization for request in signed)
        assert all("/us-east-1/s3/" in request.authorization for request in signed)
        assert not any("x-amz-security-token" in request.headers for request in tap.requests)
        assert hostile.requests == []

    def test_strangers_stay_strangers(self, hostile: HttpDouble, ministack: Ministack, tap: WireTap) -> None:
        tap.forget()
        source = connect_amazon(ministack, Route(proxy=tap.url), access="public")
        with pytest.raises(SourceError):
            source.open("another-bucket")
        assert not any(request.authorization for request in tap.requests)
        assert hostile.requests == []

    def test_the_machines_role_is_used_where_the_operator_allows_it(
        self,
        metadata: HttpDouble,
        monkeypatch: pytest.MonkeyPatch,
        ministack: Ministack,
        remote: S3Remote,
        tap: WireTap,
    ) -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/role")
        refused = AmazonS3(endpoint=ministack.endpoint)
        with pytest.raises(SourceError, match="ALLOW_MACHINE_ROLE") as error:
            refused.connect(refused.clean(Settings({"access": "role"})), Route(proxy=tap.url))
        assert error.value.cause == Cause.DENIED
        assert metadata.requests == []
        source = connect_amazon(ministack, Route(proxy=tap.url, allows_machine_role=True), access="role")
        tap.forget()
        use_everything(remote, source)
        assert metadata.requests
        signed = [request for request in tap.requests if request.authorization]
        assert all(request.headers.get("x-amz-security-token") for request in signed)
        assert all(ministack.keys.access_key not in request.authorization for request in signed)

    def test_a_machine_without_a_role_says_so(
        self, monkeypatch: pytest.MonkeyPatch, ministack: Ministack, tap: WireTap, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
        source = connect_amazon(ministack, Route(proxy=tap.url, allows_machine_role=True), access="role")
        with pytest.raises(SourceError, match="has no role") as error:
            source.browse()
        assert error.value.cause == Cause.CREDENTIALS
