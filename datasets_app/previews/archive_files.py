"""Archives as what they hold: the files of a ZIP or a TAR, packed or not, and the bytes of one of them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, ForwardReader, PreviewError, SliceReader, as_file, bytes_text, shown
from datasets_app.previews.packing import GZIP, ZSTD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Reader

MOST_UNPACKED: Final = 8 * 1024 * MIB
# A member that unpacks to so many times its packed size is a bomb.
MOST_RATIO: Final = 1000
ENCRYPTED_FLAG: Final = 1
# Formats with a ZIP inside that people don't think of as archives are shown as such all the same.
PACKED_MAGIC: Final = (GZIP, ZSTD, b"BZh", b"\xfd7z")
# Signature and facts, the lengths of name and extra data.
LOCAL_HEADER: Final = struct.Struct("<26sHH")
ZIP_MAGIC: Final = (b"PK\3\4", b"PK\5\6")

Entry = tuple[str, int, bool]


class NoMemberError(PreviewError):
    """An archive doesn't have what was asked for."""


def list_entries(reader: Reader, name: str) -> Iterator[Entry]:
    """Name every file with its size, and whether it is encrypted."""
    if reader.read(0, 4).startswith(ZIP_MAGIC):
        with _zip(reader) as archive:
            for one in archive.infolist():
                if not one.is_dir():
                    yield one.filename, one.file_size, bool(one.flag_bits & ENCRYPTED_FLAG)
        return
    with _tar(reader, name) as archive:
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix("./"), member.size, False


def _zip(reader: Reader) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(as_file(reader, buffer=64 * 1024))
    except zipfile.BadZipFile as error:
        raise PreviewError(f"This ZIP is damaged or not whole: {error}.") from None


def _tar(reader: Reader, name: str) -> tarfile.TarFile:
    head = reader.read(0, 8)
    file = as_file(reader, buffer=MIB)
    stream: Any
    if head.startswith(ZSTD):
        import zstandard

        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    elif head.startswith(GZIP):
        stream = gzip.GzipFile(fileobj=file)
    elif head.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif head.startswith(b"\xfd7zXZ"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115 - the caller closes it
    else:
        # Not packed: from header to header, past the contents.
        return tarfile.open(name=name, fileobj=as_file(reader, buffer=4096), mode="r:")
    bounded: Any = _Bounded(stream)
    return tarfile.open(fileobj=bounded, mode="r|")


class _Bounded:
    """A stream that ends with an error after as many bytes as may be unpacked."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - anything with a read
        self._stream = stream
        self._left = MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise PreviewError(f"The archive unpacks to more than {bytes_text(MOST_UNPACKED)}.")
        return data


def open_member(reader: Reader, name: str, wanted: str) -> Reader:
    """Open a member: what lies there unpacked is a range of the archive, the rest is unpacked as it is read."""
    missing = NoMemberError(f"There is no {shown(wanted, 100)} in this archive.")
    if reader.read(0, 4).startswith(ZIP_MAGIC):
        archive = _zip(reader)
        found = next((one for one in archive.infolist() if one.filename == wanted), None)
        if found is None:
            raise missing
        return _zip_member(reader, archive, found)
    archive_or_stream = _tar(reader, name)
    for member in archive_or_stream:
        if member.isfile() and member.name.removeprefix("./") == wanted:
            if reader.read(0, 4).startswith(PACKED_MAGIC) or member.issparse():
                return ForwardReader(lambda: _tar_member(reader, name, wanted), member.size)
            return SliceReader(reader, member.offset_data, member.size)
    raise missing


def _zip_member(reader: Reader, archive: zipfile.ZipFile, found: zipfile.ZipInfo) -> Reader:
    if found.flag_bits & ENCRYPTED_FLAG:
        raise PreviewError("This file is encrypted.")
    if found.compress_type == zipfile.ZIP_STORED:
        # The lengths of name and extra data in the header before the bytes may differ from those in the directory.
        header = reader.read(found.header_offset, LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise PreviewError("This ZIP is damaged: the file is not where its directory says.")
        _, name_length, extra_length = LOCAL_HEADER.unpack(header)
        start = found.header_offset + LOCAL_HEADER.size + name_length + extra_length
        return SliceReader(reader, start, found.file_size)
    if found.file_size > MOST_RATIO * max(found.compress_size, 1024):
        raise PreviewError("This file unpacks to more than a thousand times its size: it is not opened.")
    if found.file_size > MOST_UNPACKED:
        raise PreviewError(f"This file unpacks to more than {bytes_text(MOST_UNPACKED)}.")
    return ForwardReader(lambda: archive.open(found), found.file_size)


def _tar_member(reader: Reader, name: str, wanted: str) -> IO[bytes]:
    archive = _tar(reader, name)
    for member in archive:
        if member.isfile() and member.name.removeprefix("./") == wanted:
            stream = archive.extractfile(member)
            if stream is not None:
                return stream
    raise PreviewError(f"There is no {shown(wanted, 100)} in this archive.")
