"""The S3 family, against SeaweedFS (as MinIO) and ministack (as Amazon)."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from datasets_app.sources.base import Route
from tests.servers import S3Server
from tests.sources.contract import Remote, SourceContract
from tests.sources.ministack import Ministack
from tests.sources.s3_remote import S3Remote, connect_amazon, connect_minio

pytestmark = pytest.mark.server

BUCKET = "contract"


class TestMinIO(SourceContract):
    """SeaweedFS, a production server."""

    @pytest.fixture
    def remote(self, s3_server: S3Server, guarded_route: Route) -> Iterator[Remote]:
        """A folder in a bucket that all share: SeaweedFS takes long to make one."""
        client = boto3.client(
            "s3",
            endpoint_url=s3_server.endpoint,
            aws_access_key_id=s3_server.access_key,
            aws_secret_access_key=s3_server.secret_key,
            region_name=s3_server.region,
            config=Config(max_pool_connections=16),
        )
        if BUCKET not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
        source = connect_minio(s3_server.endpoint, s3_server.access_key, guarded_route, secret_key=s3_server.secret_key)
        yield S3Remote(client, source, bucket=BUCKET)
        client.close()


class TestAmazonS3(SourceContract):
    """ministack, which keeps every key as it is."""

    @pytest.fixture
    def remote(self, ministack: Ministack, guarded_route: Route) -> Iterator[Remote]:
        """A folder in a bucket."""
        client = ministack.client("s3")
        if BUCKET not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
        odd = ("a//b", "/abs", "../x", "./y", "up/../down", "ctl\x01x", "tail/ ", "dir/x/")
        yield S3Remote(client, connect_amazon(ministack, guarded_route), bucket=BUCKET, odd_keys=odd)
        client.close()
