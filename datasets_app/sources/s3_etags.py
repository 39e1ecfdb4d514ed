"""ETags of S3 that are MD5 sums of the bytes, as most are, and how to tell them from those that only look like one."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from datasets_app.sources.base import Cause, Data, SourceError, SourceFile
from datasets_app.sources.checksums import verify_checksum
from datasets_app.sources.s3_listing import etag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datasets_app.sources.s3_reader import S3Reader

# Of an object that came in parts it ends with their number.
_MD5: Final = re.compile(r'"([0-9a-f]{32})"')
# Checksums of whole objects that S3 keeps and that are quick to compute here.
CHECKSUMS: Final = (
    ("ChecksumCRC64NVME", "crc64nvme"),
    ("ChecksumCRC32C", "crc32c"),
    ("ChecksumCRC32", "crc32"),
    ("ChecksumSHA1", "sha1"),
)
# Where none of so many ETags was an MD5, the others are not either.
MOST_OTHERS: Final = 8
# To learn what ETags are here, so many objects of at most this size are read.
SAMPLES: Final = 3
SAMPLE_BYTES: Final = 2**20


class Etags:
    """What is known about the ETags below one source path. Safe to use from several threads."""

    def __init__(self, reader: S3Reader, list_first: Callable[[], Iterable[SourceFile]], *, are_md5: bool) -> None:
        """`are_md5`: the store documents that they are, where nothing is encrypted by keys of the user's."""
        self._reader = reader
        self._list_first = list_first
        self._are_md5: bool | None = True if are_md5 else None
        self._others = 0
        self._lock = threading.Lock()

    def verify(self, file: SourceFile, data: Data) -> None:
        """Compare a whole object with what the store keeps of it. Raises SourceError: DAMAGED where they differ."""
        told = _MD5.fullmatch(etag_of(file))
        if told is None or self._others >= MOST_OTHERS:
            return
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == told[1]:
            self._are_md5 = True
            self._others = 0
            return
        answer = self._reader.head(file)
        checked = with_checksum(file, answer)
        if checked.sha256 is not None or checked.checksum:
            _verify_kept(checked, data)
        elif not _is_encrypted(answer) and (self._learn(file) or self._is_otherwise(file, data)):
            raise SourceError(
                Cause.DAMAGED, f"{file.key}: the bytes that came don't have the MD5 that the store tells as their ETag."
            )
        # They are what the store has: this ETag is something else.
        self._others += 1

    def find_checksum(self, file: SourceFile) -> SourceFile:
        """Ask for the checksum that the store keeps of a large object."""
        answer = self._reader.head(file)
        checked = with_checksum(file, answer)
        told = _MD5.fullmatch(etag_of(file))
        if checked != file or told is None or _is_encrypted(answer) or not self._learn(file):
            return checked
        return file._replace(checksum=f"md5:{told[1]}")

    def _learn(self, file: SourceFile) -> bool:
        """Tell whether ETags are MD5 sums here, by those of other objects if need be."""
        with self._lock:
            if self._are_md5 is None:
                self._are_md5 = any(self._is_md5(sample) for sample in self._samples(file))
            return self._are_md5

    def _samples(self, file: SourceFile) -> list[SourceFile]:
        fit = [
            other
            for other in self._list_first()
            if other.key != file.key and 0 < other.size <= SAMPLE_BYTES and not other.problem
        ]
        return [other for other in fit if _MD5.fullmatch(etag_of(other))][:SAMPLES]

    def _is_md5(self, sample: SourceFile) -> bool:
        data = self._reader.read(sample, {})
        return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"' == etag_of(sample)

    def _is_otherwise(self, file: SourceFile, data: Data) -> bool:
        """Tell whether other bytes come at a second reading: then the first were damaged on their way."""
        return bytes(self._reader.read(file, {})) != bytes(data)


def with_checksum(file: SourceFile, answer: dict[str, Any]) -> SourceFile:
    """Add the checksum of the whole object that a HEAD request told, if there is one that is of use."""
    # Of an object that came in parts, it may be a checksum of checksums: then it ends with their number.
    whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    sha256 = answer.get("ChecksumSHA256", "")
    if whole and sha256 and "-" not in sha256:
        return file._replace(sha256=base64.b64decode(sha256))
    for field, name in CHECKSUMS:
        value = answer.get(field, "")
        if whole and value and "-" not in value:
            return file._replace(checksum=f"{name}:{base64.b64decode(value).hex()}")
    return file


def _verify_kept(file: SourceFile, data: Data) -> None:
    if file.sha256 is not None:
        file = file._replace(checksum=f"sha256:{file.sha256.hex()}")
    verify_checksum(file, data)


def _is_encrypted(answer: dict[str, Any]) -> bool:
    """Whether its ETag is none of the plain bytes: by a key of KMS, or of the customer's own."""
    return bool(answer.get("SSECustomerAlgorithm")) or str(answer.get("ServerSideEncryption", "")).startswith("aws:")
