"""Every object of a storage with size and time, streamed: what Django's storage interface has no word for."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.files.storage import FileSystemStorage, Storage

from datasets_app.errors import Unavailable

if TYPE_CHECKING:
    from storages.backends.s3 import S3Storage


class StoredObject(NamedTuple):
    """An object as the store lists it: `size` in bytes, `modified` in seconds since the epoch."""

    key: str
    size: int
    modified: float


def list_objects(storage: Storage, prefix: str = "") -> Iterator[StoredObject]:
    """Every object below the folder `prefix` ("manifests", or "" for all), in no order; memory stays bounded.

    Objects that come or go meanwhile may be listed or not. `Unavailable` says that the store failed.
    """
    if isinstance(storage, FileSystemStorage):
        yield from _list_files(Path(storage.path(prefix or ".")), prefix)
        return
    from storages.backends.s3 import S3Storage

    if isinstance(storage, S3Storage):
        yield from _list_s3(storage, prefix)
    elif type(storage).__name__ == "GoogleCloudStorage":
        yield from _list_gcs(storage, prefix)
    else:
        yield from _list_any(storage, prefix)


def _list_files(folder: Path, prefix: str) -> Iterator[StoredObject]:
    waiting = [(folder, prefix)]
    while waiting:
        here, above = waiting.pop()
        with suppress(FileNotFoundError), os.scandir(here) as entries:
            for entry in entries:
                key = f"{above}/{entry.name}" if above else entry.name
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), key))
                    else:
                        about = entry.stat(follow_symlinks=False)
                        yield StoredObject(key, about.st_size, about.st_mtime)


def _list_s3(storage: "S3Storage", prefix: str) -> Iterator[StoredObject]:
    from botocore.exceptions import BotoCoreError, ClientError

    root = f"{storage.location.strip('/')}/".lstrip("/")
    try:
        for found in storage.bucket.objects.filter(Prefix=f"{root}{prefix}/" if prefix else root):
            yield StoredObject(found.key.removeprefix(root), found.size, found.last_modified.timestamp())
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The object store did not list what it holds.") from error


def _list_gcs(storage: Any, prefix: str) -> Iterator[StoredObject]:  # noqa: ANN401 - an optional package
    from google.api_core.exceptions import GoogleAPIError

    root = f"{storage.location.strip('/')}/".lstrip("/")
    try:
        for found in storage.bucket.list_blobs(prefix=f"{root}{prefix}/" if prefix else root or None):
            yield StoredObject(found.name.removeprefix(root), found.size, found.updated.timestamp())
    except GoogleAPIError as error:
        raise Unavailable("The object store did not list what it holds.") from error


def _list_any(storage: Storage, prefix: str) -> Iterator[StoredObject]:
    waiting = [prefix]
    while waiting:
        here = waiting.pop()
        with suppress(FileNotFoundError):
            folders, files = storage.listdir(here)
            waiting += [f"{here}/{name}" if here else name for name in folders]
            for name in files:
                key = f"{here}/{name}" if here else name
                with suppress(FileNotFoundError):
                    yield StoredObject(key, storage.size(key), storage.get_modified_time(key).timestamp())
