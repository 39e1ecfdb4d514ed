"""Part of a stored object as a stream, without fetching the rest: what Django's storage interface has no word for."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, cast

from django.core.files.storage import FileSystemStorage, Storage

from datasets_app.errors import Unavailable
from datasets_app.store.digest import Readable

if TYPE_CHECKING:
    from storages.backends.s3 import S3Storage


@contextmanager
def open_range(storage: Storage, key: str, offset: int, length: int | None) -> Iterator[Readable]:
    """Open `length` bytes of an object from `offset`, or all from there on; raises `FileNotFoundError`.

    The stream may go on after `length`: the caller counts. `Unavailable` says that the store failed, then or later.
    """
    if isinstance(storage, FileSystemStorage):
        with io.FileIO(storage.path(key)) as file:
            file.seek(offset)
            yield cast("Readable", file)
        return
    # boto3 takes long to import, and most installations never need it.
    from storages.backends.s3 import S3Storage

    if isinstance(storage, S3Storage):
        with _open_s3(storage, key, offset, length) as body:
            yield body
        return
    with storage.open(key, "rb") as opened:
        opened.seek(offset)
        yield cast("IO[bytes]", opened)


@contextmanager
def _open_s3(storage: "S3Storage", key: str, offset: int, length: int | None) -> Iterator[Readable]:
    from botocore.exceptions import BotoCoreError, ClientError
    from storages.utils import safe_join

    wanted = f"bytes={offset}-" + ("" if length is None else str(offset + length - 1))
    stored = storage.bucket.Object(safe_join(storage.location, key))
    try:
        # A range of an empty object is an error; all of it is not.
        answer = stored.get(Range=wanted) if offset or length is not None else stored.get()
        body = answer["Body"]
        try:
            if offset and not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
                raise Unavailable("The object store ignores ranges; another S3 server is needed.")
            yield cast("Readable", body)
        finally:
            body.close()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(key) from None
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            yield io.BytesIO()
            return
        raise Unavailable("The object store refused to read stored bytes.") from error
    except BotoCoreError as error:
        raise Unavailable("The object store did not answer, or broke off.") from error
