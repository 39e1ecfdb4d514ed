"""Datasets from the Hugging Face Hub and from Google Cloud Storage, through the whole import."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping

import pytest

from datasets_app.models import Connection, Import, Role, User
from datasets_app.services.connections import create_connection
from datasets_app.services.imports import import_dataset, retry_import
from datasets_app.sources import registry
from datasets_app.sources.gcs import GoogleCloudStorage
from tests.factories import make_member, make_team
from tests.imports.bucket import files_of, work
from tests.sources.doubles import gcs_backend, gcs_server, hub
from tests.sources.gcs_proxy import GcsServer
from tests.sources.hub_double import Hub
from tests.store.naive import digest_of

__all__ = ["gcs_backend", "gcs_server", "hub"]

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

TOKEN = "hf_test"
FILES = {
    "README.md": b"# Cats\n",
    "data/train.parquet": random.Random(2).randbytes(9 * 2**20 + 5),
    "data/été 文.txt": b"unicode",
    "small.bin": b"in LFS",
    "same.bin": b"in LFS",
    "empty": b"",
}


def connect(provider: str, values: Mapping[str, str]) -> tuple[User, Connection]:
    """Make a team with a connection, as a form would."""
    team = make_team()
    admin = make_member(team, Role.ADMIN)
    return admin, create_connection(admin, team=team.name, name="store", provider=provider, values=values)


def bring(actor: User, connection: Connection, path: str, revision: str = "") -> Import:
    """Import and wait for the end."""
    run = import_dataset(
        actor, team=connection.team.name, name="cats", connection=connection, source_path=path, revision=revision
    )
    return work(run)


def test_from_the_hub(hub: Hub) -> None:
    hub.add_token(TOKEN)
    repository = hub.add_repository("ada/cats", FILES, private=True)
    actor, connection = connect("huggingface", {"endpoint": hub.url, "token": TOKEN})

    run = bring(actor, connection, "ada/cats")

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert run.pinned == repository.branches["main"]
    assert files_of(run.version) == FILES
    assert run.version.digest == digest_of(FILES)
    assert not any(request.authorization for request in hub.cdn.requests)
    hub.forget()
    hub.cdn.forget()
    again = bring(actor, connection, "ada/cats")
    assert again.version.digest == run.version.digest
    assert (hub.lines("/resolve/"), hub.cdn.requests) == ([], [])


def test_one_file_of_the_hub(hub: Hub) -> None:
    hub.add_repository("ada/cats", FILES)
    actor, connection = connect("huggingface", {"endpoint": hub.url})

    run = bring(actor, connection, "ada/cats/data/train.parquet")

    assert run.version.digest == digest_of({"train.parquet": FILES["data/train.parquet"]})


def test_from_the_hub_when_it_is_busy(hub: Hub) -> None:
    files = {f"{number:02d}.txt": f"{number}".encode() for number in range(30)}
    hub.add_repository("ada/cats", files, gated="auto").requests["ada"] = "accepted"
    hub.add_token(TOKEN)
    actor, connection = connect("huggingface", {"endpoint": hub.url, "token": TOKEN})
    hub.limit("resolvers", quota=12, seconds=1)
    hub.fail("/resolve/", times=3, cut=0)
    hub.fail("/tree/", status=503)

    run = bring(actor, connection, "ada/cats")

    assert (run.status, run.error, run.failed_files) == (Import.Status.FINISHED, "", 0)
    assert run.version.digest == digest_of(files)


def test_a_gate_that_closes_ends_the_import_in_words_until_it_opens(hub: Hub) -> None:
    repository = hub.add_repository("eve/cats", FILES, gated="manual")
    repository.requests["ada"] = "accepted"
    hub.add_token(TOKEN)
    actor, connection = connect("huggingface", {"endpoint": hub.url, "token": TOKEN})
    hub.fail("/resolve/", status=404, then=lambda: repository.requests.update(ada="rejected"))

    run = bring(actor, connection, "eve/cats")

    assert run.status == Import.Status.FAILED
    assert "rejected the request for access" in run.error
    repository.requests["ada"] = "accepted"
    run = work(retry_import(actor, run=run))
    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert run.version.digest == digest_of(FILES)


def test_from_google_cloud_storage(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = GoogleCloudStorage(endpoint=gcs_server.url, token_uri=gcs_server.token_uri)
    monkeypatch.setitem(registry.PROVIDERS, "gcs", provider)
    bucket = uuid.uuid4().hex
    gcs_server.make_bucket(bucket, {f"cats/{path}": data for path, data in FILES.items()} | {"cats/data/": b""})
    actor, connection = connect("gcs", {"access": "account", "service_account": gcs_server.service_account})
    gcs_server.fail("/download/", times=2, status=429, headers={"Retry-After": "1"})

    run = bring(actor, connection, f"{bucket}/cats")

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert files_of(run.version) == FILES
    gcs_server.forget()
    again = bring(actor, connection, f"{bucket}/cats")
    assert again.version.digest == run.version.digest == digest_of(FILES)
    assert gcs_server.lines("/download/") == []
    one = bring(actor, connection, f"{bucket}/cats/data/train.parquet")
    assert one.version.digest == digest_of({"train.parquet": FILES["data/train.parquet"]})
    # It is known from the whole folder.
    assert gcs_server.lines("/download/") == []
