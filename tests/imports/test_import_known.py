"""Bytes that the team has are linked and not fetched, where the store tells their SHA-256; what was pinned is read."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from datasets_app.models import Blob, Connection, Import, Role, User
from datasets_app.services import importing
from datasets_app.services.connections import create_connection
from datasets_app.services.imports import import_dataset, preview_import
from tests.factories import make_available_version, make_dataset, make_member, make_team
from tests.imports.bucket import Bucket, Importer, files_of, s3_client, work
from tests.imports.front import S3Front, serve_front
from tests.servers import S3Server
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub
from tests.store.naive import digest_of

__all__ = ["hub"]

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20
LARGE = random.Random(3).randbytes(9 * MIB + 3)
FILES = {"README.md": b"# Cats\n", "train.parquet": LARGE, "small.bin": b"in LFS"}


@pytest.fixture
def exact_front(exact_server: S3Server) -> Iterator[S3Front]:
    """What lies before the server that keeps checksums and versions."""
    with serve_front(exact_server) as front:
        yield front


@pytest.fixture
def exact(transactional_db: None, exact_server: S3Server, exact_front: S3Front) -> Importer:
    """A team that is connected to it."""
    return Importer.create(exact_server, endpoint=exact_front.url)


def join_hub(hub: Hub) -> tuple[User, Connection]:
    """Make a team with a connection to the Hub."""
    team = make_team()
    admin = make_member(team, Role.ADMIN)
    values = {"endpoint": hub.url}
    return admin, create_connection(admin, team=team.name, name="hub", provider="huggingface", values=values)


def start(actor: User, connection: Connection, path: str = "ada/cats") -> Import:
    """Start an import."""
    return import_dataset(actor, team=connection.team.name, name="cats", connection=connection, source_path=path)


def test_what_lies_in_lfs_and_is_here_is_not_fetched(hub: Hub) -> None:
    hub.add_repository("ada/cats", FILES)
    actor, connection = join_hub(hub)
    # It came another way, by an upload for instance.
    make_available_version(make_dataset(connection.team), {"other-name": LARGE, "x": b"in LFS"})

    found = preview_import(actor, connection=connection, source_path="ada/cats")
    assert (found.files, found.stored_files, found.stored_size) == (3, 2, len(LARGE) + 6)
    run = work(start(actor, connection))

    assert (run.linked_files, run.linked_size, run.copied_files) == (2, len(LARGE) + 6, 1)
    assert [line.rpartition("/")[2] for line in hub.lines("/resolve/")] == ["README.md"]
    assert hub.cdn.requests == []
    assert run.version.digest == digest_of(FILES)


def test_what_another_team_has_is_fetched(hub: Hub) -> None:
    hub.add_repository("ada/cats", FILES)
    make_available_version(make_dataset(make_team()), {"other-name": LARGE})
    actor, connection = join_hub(hub)

    found = preview_import(actor, connection=connection, source_path="ada/cats")
    assert found.stored_files == 0
    run = work(start(actor, connection))

    assert run.linked_files == 0
    assert sum(len(LARGE) == blob.size for blob in Blob.objects.all()) == 1
    assert hub.cdn.lines()
    assert run.version.digest == digest_of(FILES)


def test_a_large_file_that_has_come_since_it_was_listed_is_not_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were listed before either was here; the second has its turn after the first."""
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)
    files = {"a.bin": LARGE, "b.bin": LARGE}
    hub.add_repository("ada/cats", files)
    actor, connection = join_hub(hub)

    run = work(start(actor, connection))

    assert (run.copied_files, run.linked_files, run.linked_size) == (1, 1, len(LARGE))
    assert len({request.path for request in hub.cdn.requests}) == 1
    assert run.version.digest == digest_of(files)


def test_a_large_object_of_s3_whose_sha256_is_kept_is_not_fetched(
    exact: Importer, exact_front: S3Front, exact_server: S3Server
) -> None:
    bucket = Bucket(exact_server)
    bucket.put_object("large", LARGE, ChecksumAlgorithm="SHA256")
    make_available_version(make_dataset(exact.team), {"other-name": LARGE})

    run = exact.bring(bucket.name)

    assert (run.linked_files, run.copied_files) == (1, 0)
    assert exact_front.reads() == []
    assert files_of(run.version) == {"large": LARGE}


def test_the_commit_that_was_pinned_is_read_while_main_moves(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)
    hub.page_files = 2
    before = {f"{number}.txt": b"before %d" % number for number in range(6)} | {"large.bin": LARGE}
    repository = hub.add_repository("ada/cats", before)
    pinned = repository.branches["main"]
    actor, connection = join_hub(hub)
    run = start(actor, connection)
    importing.run_imports()
    run.refresh_from_db()
    assert (run.listed_files, run.is_listed, run.pinned) == (2, False, pinned)

    after = {"0.txt": b"after", "9.txt": b"new", "large.bin": b"small now"}
    repository.commit(after)
    run = work(run)

    assert (run.status, run.error, run.failed_files) == (Import.Status.FINISHED, "", 0)
    assert files_of(run.version) == before
    assert (run.pinned, run.version.source["pinned"]) == (pinned, pinned)
    assert work(start(actor, connection)).version.digest == digest_of(before | after)


def test_an_object_of_a_versioned_bucket_that_is_overwritten_is_read_as_it_is_then(
    exact: Importer, exact_front: S3Front, exact_server: S3Server
) -> None:
    client = s3_client(exact_server)
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    put = client.put_object
    for key, data in (("kept", b"kept"), ("small", b"before"), ("large", LARGE), ("gone", b"gone")):
        put(Bucket="versioned", Key=key, Body=data)
    run = exact.start("versioned")
    importing.run_imports()
    run.refresh_from_db()
    assert (run.is_listed, run.copied_files) == (True, 0)

    put(Bucket="versioned", Key="small", Body=b"AFTER!")
    put(Bucket="versioned", Key="large", Body=LARGE[::-1])
    client.delete_object(Bucket="versioned", Key="gone")
    run = exact.work(run)

    # The old versions are still in the bucket, but it's the present ones that an import is of.
    assert dict(run.problems.values_list("path", "cause")) == {"gone": "missing"}
    assert run.copied_files == 3
    staged = dict(run.version.staged.filter(blob__isnull=False).values_list("path", "blob__size"))
    assert staged == {"kept": 4, "small": 6, "large": len(LARGE)}
    client.put_object(Bucket="versioned", Key="gone", Body=b"again")
    exact_front.forget()
    again = exact.bring("versioned")
    assert files_of(again.version) == {"kept": b"kept", "small": b"AFTER!", "large": LARGE[::-1], "gone": b"again"}
    assert [line.partition("?")[0] for line in exact_front.reads()] == ["GET /versioned/gone"]
