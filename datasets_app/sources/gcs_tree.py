"""A folder of a bucket of Google Cloud Storage: listed page by page, read at the generations that were listed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from datasets_app.sources.base import PAGE_FILES, Cause, Page, SourceError, SourceFile
from datasets_app.sources.checksums import verify_checksum

if TYPE_CHECKING:
    from google.cloud.storage import Blob

    from datasets_app.sources.gcs_client import GcsClient
    from datasets_app.sources.places import Place

# What is asked for of each object. Composed objects have no MD5, but all have a CRC32C.
FIELDS: Final = "items(name,size,generation,crc32c),nextPageToken"


class GcsTree:
    """All objects below a folder, or `only` one."""

    revision = ""

    def __init__(self, client: GcsClient, place: Place, *, only: SourceFile | None = None) -> None:
        self._client = client
        self._place = place
        self._only = only

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """List in pages, in the order of the keys; a cursor is the last key."""
        if self._only is not None:
            if after < self._only.key:
                yield Page([self._only], self._only.key)
            return
        last = after
        found = self._client.library.list_blobs(
            self._client.bucket(self._place.bucket),
            prefix=self._place.folder or None,
            start_offset=after or None,
            fields=FIELDS,
            page_size=PAGE_FILES,
            retry=None,
        )
        for page in found.pages:
            # The first of a listing that goes on is the last that was listed before.
            blobs = [blob for blob in page if blob.name != after]
            # Pages that hold nothing are given too, so that whoever reads can stop where they don't end.
            last = str(blobs[-1].name) if blobs else last
            if blobs or found.next_page_token:
                yield Page([to_file(blob, self._place.folder) for blob in blobs if not is_marker(blob)], last)

    def fetch(self, file: SourceFile) -> bytes:
        """Read a whole object and compare its checksum."""
        data = self._client.read(self._place.bucket, file).data
        if len(data) != file.size:
            raise SourceError(Cause.DAMAGED, f"{file.key} was listed with {file.size} bytes, but {len(data)} came.")
        verify_checksum(file, data)
        return data

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> bytes:
        """Read a range."""
        if not length:
            return b""
        reply = self._client.read(self._place.bucket, file, (offset, offset + length))
        wanted = f"bytes {offset}-{offset + length - 1}/{file.size}"
        if reply.headers.get("Content-Range") != wanted and length != file.size:
            raise SourceError(Cause.INVALID, "The store does not give parts of objects, which large files need.")
        if len(reply.data) != length:
            detail = f"Of {length} bytes of {file.key} that were asked for, {len(reply.data)} came."
            raise SourceError(Cause.DAMAGED, detail)
        return reply.data

    def look_up(self, file: SourceFile) -> SourceFile:
        """Return it as it is: the listing tells all there is."""
        return file


def is_marker(blob: Blob) -> bool:
    """Whether it only makes an empty folder visible."""
    return not blob.size and str(blob.name).endswith("/")


def to_file(blob: Blob, folder: str) -> SourceFile:
    """Return the object as the importer sees it: `folder` is the part of the key before its path."""
    try:
        checksum = f"crc32c:{base64.b64decode(blob.crc32c or '', validate=True).hex()}" if blob.crc32c else ""
        key, size, tag = str(blob.name), int(blob.size or 0), str(int(blob.generation))
    except (TypeError, ValueError, binascii.Error) as error:
        raise SourceError(Cause.INVALID, "What came as a listing is not one of Google Cloud Storage.") from error
    return SourceFile(key, key.removeprefix(folder), size, tag, checksum=checksum)
