"""Archives opened in place: ZIP, TAR, packed TAR. Their index is made once; a member is shown as its own kind."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    Ask,
    ForwardReader,
    Kind,
    MemoryReader,
    Preview,
    PreviewError,
    Product,
    SliceReader,
    Stream,
    as_file,
    bytes_text,
    figure,
    has_suffix,
    shown,
)
from datasets_app.previews.packing import GZIP, ZSTD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Reader

MOST_INDEXED: Final = 50_000
# Smaller members are unpacked once, whole; of larger ones what is shown is read.
MOST_IN_MEMORY: Final = 32 * MIB
BLOCK: Final = 512 * 1024
MOST_UNPACKED: Final = 8 * 1024 * MIB
# A member that unpacks to so many times its packed size is a bomb.
MOST_RATIO: Final = 1000
PAGE: Final = 200
TAR_MAGIC_AT: Final = 257
PACKED_TARS: Final = (".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ENCRYPTED_FLAG: Final = 1
# Formats with a ZIP inside that people don't think of as archives are shown as such all the same.
PACKED_MAGIC: Final = (GZIP, ZSTD, b"BZh", b"\xfd7z")
# Signature and facts, the lengths of name and extra data.
LOCAL_HEADER: Final = struct.Struct("<26sHH")
ZIP_MAGIC: Final = (b"PK\3\4", b"PK\5\6")

Entry = tuple[str, int, bool]


class ArchiveKind(Kind):
    """What can be walked like a folder."""

    name: ClassVar[str] = "archive"
    label: ClassVar[str] = "Archive"
    parts: ClassVar[tuple[str, ...]] = ("picture", "thumbnail")
    streams: ClassVar[tuple[str, ...]] = ("member",)
    options: ClassVar[tuple[str, ...] | None] = ("member", "view", "frame", "at", "line", "go", "item", "sql")

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the magic; of packed files only the name tells that there is a TAR inside."""
        if head.startswith(ZIP_MAGIC) or head[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] == b"ustar":
            return True
        if has_suffix(name, ".tar") and _is_old_tar(head):
            return True
        packed = head.startswith((GZIP, ZSTD, b"BZh", b"\xfd7zXZ"))
        return packed and has_suffix(name, *PACKED_TARS)

    def show(self, reader: Reader, ask: Ask) -> Preview | Product | Stream:
        """Make the index; with the option `member`, show that member, or give its bytes."""
        wanted = ask.options.get("member", "")
        if wanted:
            return _show_member(reader, ask, wanted)
        if ask.part:
            raise PreviewError("Say of which member.")
        return _index(reader, ask.name)

    def arrange(self, page: Preview, ask: Ask) -> Preview:
        """Choose what lies directly in the folder `in`, a page of it."""
        if "entries" not in page.data:
            return page
        folder = ask.options.get("in", "").strip("/")
        lines = _children(page.data["entries"], folder)
        start = ask.number("page", 1, least=1) * PAGE - PAGE
        parts = folder.split("/") if folder else []
        data = {
            "folder": folder,
            "crumbs": [(name, "/".join(parts[: depth + 1])) for depth, name in enumerate(parts)],
            "lines": lines[start : start + PAGE],
            "page": start // PAGE + 1,
            "has_more": len(lines) > start + PAGE,
            "count": len(lines),
        }
        return Preview(page.media_type, page.facts, data, page.notes)


def _is_old_tar(head: bytes) -> bool:
    """Tell a TAR from before 1988, which has no magic, by the checksum of its first header."""
    header = head[:512]
    try:
        told = int(header[148:156].strip(b"\0 "), 8)
    except ValueError:
        return False
    # The checksum counts as spaces itself.
    return len(header) == 512 and told == sum(header) - sum(header[148:156]) + 8 * 0x20  # noqa: PLR2004


def _index(reader: Reader, name: str) -> Preview:
    entries: list[tuple[str, int, bool]] = []
    notes: list[str] = []
    total, encrypted, odd = 0, 0, 0
    for entry_name, size, is_locked in _entries(reader, name):
        if len(entries) >= MOST_INDEXED:
            notes.append(f"The index ends after {figure(MOST_INDEXED)} files.")
            break
        total, encrypted = total + size, encrypted + is_locked
        odd += _is_odd(entry_name)
        entries.append((entry_name, size, is_locked))
    if encrypted:
        notes.append(f"{figure(encrypted)} of the files are encrypted: their names are seen, their contents are not.")
    if odd:
        notes.append(f"{figure(odd)} names lead out of the archive (../ or absolute): unpack it with care.")
    kind = "ZIP" if reader.read(0, 4).startswith(ZIP_MAGIC) else "TAR"
    facts = [("Format", kind), ("Files inside", figure(len(entries))), ("Unpacked", bytes_text(total))]
    return Preview(f"application/{'zip' if kind == 'ZIP' else 'x-tar'}", facts, {"entries": entries}, notes)


def _entries(reader: Reader, name: str) -> Iterator[Entry]:
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


def _show_member(reader: Reader, ask: Ask, wanted: str) -> Preview | Product | Stream:
    from datasets_app.previews.registry import recognise, text_instead

    member = _open_member(reader, ask.name, wanted)
    if ask.part == "member":
        return Stream(member.size, _blocks(member))
    if member.size <= MOST_IN_MEMORY:
        member = MemoryReader(member.read(0, member.size))
    inner_ask = Ask(
        wanted.rpartition("/")[2].lower(),
        part=ask.part,
        options={key: value for key, value in ask.options.items() if key != "member"},
    )
    head = member.read(0, 64 * 1024)
    kind = recognise(head, inner_ask.name)
    facts = [("Size inside", bytes_text(member.size))]
    if kind is None or isinstance(kind, ArchiveKind):
        return Preview("application/octet-stream", facts, {"member": wanted, "kind": ""})
    notes: list[str] = []
    try:
        answer = kind.show(member, inner_ask)
    except Exception as error:
        text = text_instead(kind, head, inner_ask.name)
        if text is None:
            raise
        kind, answer = text, text.show(member, inner_ask)
        notes = [f"{shown(' '.join(str(error).split()))} It is shown as text."]
    if not isinstance(answer, Preview):
        return answer
    page = kind.arrange(answer, inner_ask)
    inner = {"kind": kind.template, "label": kind.label, "data": page.data, "notes": [*notes, *page.notes]}
    return Preview(page.media_type, [*facts, *page.facts], {"member": wanted, **inner}, notes)


def _blocks(member: Reader) -> Iterator[bytes]:
    at = 0
    while at < member.size:
        block = member.read(at, BLOCK)
        if not block:
            raise PreviewError("The file ends too early.")
        yield block
        at += len(block)


def _open_member(reader: Reader, name: str, wanted: str) -> Reader:
    """Open a member: what lies there unpacked is a range of the archive, the rest is unpacked as it is read."""
    missing = PreviewError(f"There is no {shown(wanted, 100)} in this archive.")
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


def _is_odd(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")


def _children(entries: list[list[Any]], folder: str) -> list[dict[str, Any]]:
    """Fold the entries below a folder into its lines: folders with their totals first, then files."""
    start = f"{folder}/" if folder else ""
    folders: dict[str, list[int]] = {}
    files = []
    for name, size, is_locked in entries:
        if not name.startswith(start):
            continue
        first, slash, _ = name[len(start) :].partition("/")
        if slash:
            count = folders.setdefault(first, [0, 0])
            count[0] += 1
            count[1] += size
        elif first:
            files.append({"name": first, "path": name, "size": size, "is_locked": is_locked})
    above = [
        {"name": name, "path": f"{start}{name}", "size": size, "count": count, "is_folder": True}
        for name, (count, size) in sorted(folders.items())
    ]
    return above + sorted(files, key=lambda line: str(line["name"]))
