"""The servers that tests start."""

import os

import boto3
import pytest
from django.db import connection

from tests.servers import S3Server


@pytest.mark.server
def test_s3_keeps_an_object(s3_server: S3Server) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        region_name=s3_server.region,
    )
    client.create_bucket(Bucket="one")
    client.put_object(Bucket="one", Key="a", Body=b"0123456789")
    assert client.get_object(Bucket="one", Key="a", Range="bytes=2-4")["Body"].read() == b"234"
    client.close()


@pytest.mark.data_layer
@pytest.mark.django_db
def test_the_database_is_the_one_asked_for() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    wanted = "postgresql" if os.environ.get("TEST_DATABASE") == "postgresql" else "sqlite"
    assert connection.vendor == wanted
