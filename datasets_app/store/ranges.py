"""Part of a stored object as a stream, without fetching the rest: what Django's storage interface has no word for."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.files.storage import FileSystemStorage, Storage

from datasets_app.errors import Unavailable
from datasets_app.store.digest import Readable
from datasets_app.store.drop_behind import ReadBehind

if TYPE_CHECKING:
    from storages.backends.s3 import S3Storage

# Shorter reads are of files that were sent together with many others; they stay in memory.
LARGE_BYTES = 32 * 2**20
# Google's library has no stream to read from: it fetches ranges, each by a request.
GOOGLE_BYTES = 4 * 2**20
# How long it tries again before a reader is told.
GOOGLE_SECONDS = 30


@contextmanager
def open_range(storage: Storage, key: str, offset: int, length: int | None) -> Iterator[Readable]:
    """Open `length` bytes of an object from `offset`, or all from there on; raises `FileNotFoundError`.

    The stream may go on after `length`: the caller counts. `Unavailable` says that the store failed, then or later.
    """
    if isinstance(storage, FileSystemStorage):
        with io.FileIO(storage.path(key)) as file:
            file.seek(offset)
            is_large = length is None or length >= LARGE_BYTES
            yield ReadBehind(file, key, offset) if is_large else cast("Readable", file)
        return
    # boto3 takes long to import, and most installations never need it.
    from storages.backends.s3 import S3Storage

    if isinstance(storage, S3Storage):
        with _open_s3(storage, key, offset, length) as body:
            yield body
        return
    if type(storage).__name__ == "GoogleCloudStorage":
        yield _GoogleRange(storage, key, offset, length)
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


class _GoogleRange:
    """Reads an object in Google Cloud Storage from `offset` on, in requests for some MiB, never beyond `length`."""

    def __init__(self, storage: Any, key: str, offset: int, length: int | None) -> None:  # noqa: ANN401 - an optional package
        from storages.utils import safe_join

        self._key = key
        self._blob = storage.bucket.blob(safe_join(storage.location, key))
        self._next = offset
        self._end = None if length is None else offset + length
        self._waiting = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        data = self._waiting.read(size)
        if data or self._next == self._end:
            return data
        fetched = self._fetch()
        self._next += len(fetched)
        self._waiting = io.BytesIO(fetched)
        return self._waiting.read(size)

    def _fetch(self) -> bytes:
        from google.api_core.exceptions import GoogleAPIError, NotFound, RequestRangeNotSatisfiable
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.retry import DEFAULT_RETRY
        from requests import RequestException

        end = self._next + GOOGLE_BYTES
        last = (end if self._end is None else min(end, self._end)) - 1
        try:
            # The server knows a checksum of the whole object only. Raw: what was stored, whatever its headers say.
            found = self._blob.download_as_bytes(
                start=self._next,
                end=last,
                raw_download=True,
                checksum=None,
                retry=DEFAULT_RETRY.with_timeout(GOOGLE_SECONDS),
            )
        except NotFound:
            raise FileNotFoundError(self._key) from None
        except RequestRangeNotSatisfiable:
            return b""
        except (GoogleAPIError, GoogleAuthError, RequestException) as error:
            raise Unavailable("The object store did not answer, or refused to read stored bytes.") from error
        return bytes(found)
