"""Rows for tests, made through the services where a service makes them. Every name is given or numbered."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterable, Mapping

from django.db import transaction
from django.test import Client

from datasets_app.models import Dataset, Membership, Role, StagedFile, Team, User, Version
from datasets_app.services import content
from datasets_app.services.datasets import create_dataset
from datasets_app.services.tokens import create_token
from datasets_app.services.versions import create_version, run_seal, seal_version

PASSWORD = "correct horse battery"

_numbers = itertools.count(1)


def make_user(username: str = "", *, password: str = PASSWORD) -> User:
    """Make an account in no team."""
    return User.objects.create_user(username or f"user{next(_numbers)}", password=password)


def make_member(team: Team, role: str = Role.WRITER, username: str = "") -> User:
    """Make an account with this role in the team."""
    user = make_user(username)
    Membership.objects.create(team=team, user=user, role=role)
    return user


def make_team(name: str = "", *, admin: User | None = None) -> Team:
    """Make a team, with an admin if one is given."""
    team = Team.objects.create(name=name or f"team{next(_numbers)}")
    if admin is not None:
        Membership.objects.create(team=team, user=admin, role=Role.ADMIN)
    return team


def make_dataset(team: Team, name: str = "", *, description: str = "", tags: Iterable[str] = ()) -> Dataset:
    """Make an empty dataset, by an account of its own."""
    maker = make_member(team)
    name = name or f"dataset{next(_numbers)}"
    return create_dataset(maker, team=team.name, name=name, description=description, tags=tags)


def make_version(dataset: Dataset, *, base: int | None = None) -> Version:
    """Start an open version with no files staged, by an account of its own."""
    return create_version(make_member(dataset.team), dataset=dataset, base=base)


def stage_files(version: Version, files: Mapping[str, bytes]) -> None:
    """Put the files' bytes into the store as one pack, and stage them for the open version."""
    upload_id = uuid.uuid4()
    content.staging().create(upload_id)
    content.staging().path(upload_id).write_bytes(b"".join(files.values()))
    slices = []
    offset = 0
    for data in files.values():
        slices.append(content.Slice(hashlib.sha256(data).digest(), len(data), offset))
        offset += len(data)
    stored = content.store_upload(upload_id=upload_id, slices=slices)
    with transaction.atomic():
        blobs = content.register_upload(
            upload_id=upload_id, size=offset, slices=slices, stored=stored, team=version.dataset.team
        )
        StagedFile.objects.bulk_create(
            StagedFile(version=version, path=path, size=piece.size, sha256=piece.sha256, blob_id=blobs[piece.sha256])
            for path, piece in zip(files, slices, strict=True)
        )


def make_available_version(
    dataset: Dataset, files: Mapping[str, bytes] | None = None, *, base: int | None = None
) -> Version:
    """Make a sealed version that holds `files` (a path to its bytes), read from the real store."""
    maker = make_member(dataset.team)
    version = create_version(maker, dataset=dataset, base=base)
    stage_files(version, {"readme.txt": b"hello\n"} if files is None else files)
    seal_version(maker, version=version)
    run_seal(version.pk)
    return Version.objects.select_related("root", "dataset__team").get(pk=version.pk)


def make_token(user: User, *, scope: str = Role.ADMIN, team: Team | None = None) -> str:
    """Make an API token for the user, and return its text."""
    _, text = create_token(user, name="test", scope=scope, team=team.name if team is not None else "")
    return text


def api_client(user: User, *, scope: str = Role.ADMIN, team: Team | None = None) -> Client:
    """Make a client that sends a token of the user with every request."""
    return Client(headers={"Authorization": f"Bearer {make_token(user, scope=scope, team=team)}"})


def page_client(user: User) -> Client:
    """Make a client in which the user is signed in."""
    client = Client()
    client.force_login(user)
    return client
