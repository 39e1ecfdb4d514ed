"""A bucket on the tests' S3 server, and what a test does with an import from it."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import obstore
from botocore.config import Config
from obstore.store import S3Store

from datasets_app.models import Connection, Import, Role, Team, User, Version
from datasets_app.services import content, importing
from datasets_app.services.connections import create_connection
from datasets_app.services.imports import import_dataset
from datasets_app.services.versions import run_seal
from datasets_app.services.walking import walk_files
from tests.factories import make_member, make_team
from tests.servers import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Empty parts, dots, control characters.
ODD = re.compile(r"(^|/)\.{0,2}(/|$)|[\x00-\x1f]")
SHARED = "imports"
_numbers = itertools.count(1)


def s3_client(server: S3Server) -> S3Client:
    """Make a client that writes what imports read."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


def settings_of(server: S3Server) -> dict[str, str]:
    """Return what a connection to the server is made of."""
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    return {"endpoint": server.endpoint, "access": "keys", **keys}


@dataclass
class Bucket:
    """A folder of its own in a bucket that all tests share: SeaweedFS sets space aside for every bucket.

    `name` is the source path of the folder.
    """

    server: S3Server
    name: str = field(init=False)
    client: S3Client = field(init=False)

    def __post_init__(self) -> None:
        """Make the bucket, unless it is there."""
        self.folder = f"test-{next(_numbers)}"
        self.name = f"{SHARED}/{self.folder}"
        self.client = s3_client(self.server)
        with suppress(self.client.exceptions.BucketAlreadyExists, self.client.exceptions.BucketAlreadyOwnedByYou):
            self.client.create_bucket(Bucket=SHARED)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects, many at a time; odd keys, which obstore would mend, by boto3."""
        odd = {key for key in objects if ODD.search(key)}
        for key in odd:
            self.put_object(key, objects[key])
        server = self.server
        store = S3Store(
            SHARED,
            endpoint=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            region=server.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: obstore.put(store, f"{self.folder}/{key}", objects[key]), objects.keys() - odd))

    def put_object(self, key: str, data: bytes, **more: Any) -> None:
        """Write one object, with boto3's parameters."""
        self.client.put_object(Bucket=SHARED, Key=f"{self.folder}/{key}", Body=data, **more)

    def delete(self, key: str) -> None:
        """Remove one object."""
        self.client.delete_object(Bucket=SHARED, Key=f"{self.folder}/{key}")


@dataclass
class Importer:
    """A team with a connection, whose imports are worked at by this process."""

    team: Team
    writer: User
    connection: Connection

    @classmethod
    def create(cls, server: S3Server, *, endpoint: str = "", **values: str) -> Importer:
        """Make a team that reaches the server, at its own address or another one."""
        team = make_team()
        given = settings_of(server) | ({"endpoint": endpoint} if endpoint else {}) | values
        admin = make_member(team, Role.ADMIN)
        connection = create_connection(admin, team=team.name, name="store", provider="minio", values=given)
        return cls(team, make_member(team), connection)

    def start(self, source_path: str, *, name: str = "images", **options: Any) -> Import:
        """Start an import into a new version."""
        return import_dataset(
            self.writer, team=self.team.name, name=name, connection=self.connection, source_path=source_path, **options
        )

    def bring(self, source_path: str, *, name: str = "images", **options: Any) -> Import:
        """Start an import and work at it until it has ended and its version is sealed."""
        return self.work(self.start(source_path, name=name, **options))

    def work(self, run: Import) -> Import:
        """Do what workers do until the import has ended."""
        return work(run)


def work(run: Import, *, seconds: float = 60.0) -> Import:
    """Take turns until the import has ended, then seal its version."""
    end = time.monotonic() + seconds
    while run.is_active:
        assert time.monotonic() < end, f"not done within {seconds} s: {run.status} {run.error}"
        if not importing.run_imports():
            importing.reap_imports()
            time.sleep(0.05)
        run.refresh_from_db()
    run_seal(run.version_id)
    run.version.refresh_from_db()
    return run


def work_until(run: Import, condition: Callable[[Import], bool], *, seconds: float = 60.0) -> None:
    """Take turns until the condition holds for the reloaded import, which must not end before that."""
    end = time.monotonic() + seconds
    while not condition(run):
        assert run.is_active, f"{run.status}: {run.error}"
        assert time.monotonic() < end, f"not within {seconds} s: {run.status} {run.error}"
        if not importing.run_imports():
            time.sleep(0.02)
        run.refresh_from_db()


def files_of(version: Version) -> dict[str, bytes]:
    """Read a sealed version whole."""
    assert version.root is not None, f"{version.status}: {version.error}"
    return {
        file.path: b"".join(content.read_pack(key=file.pack_key, offset=file.offset, length=file.size))
        for file in walk_files(version.root)
    }
