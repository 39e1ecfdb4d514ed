"""Archives opened in place: ZIP, TAR, packed TAR. Their index is made once; a member is shown as its own kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.archive_files import ZIP_MAGIC, NoMemberError, list_entries, open_member
from datasets_app.previews.base import (
    MIB,
    Ask,
    Kind,
    MemoryReader,
    Preview,
    PreviewError,
    Product,
    Stream,
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
PAGE: Final = 200
# Between the path of an archive inside an archive and that of a file in it, as in the addresses of JAR files.
INTO: Final = "!/"
# Archives one in the other that are opened.
MOST_NESTED: Final = 3
TAR_MAGIC_AT: Final = 257
PACKED_TARS: Final = (".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

TOO_DEEP: Final = f"Archives in archives are opened {MOST_NESTED} deep. Download this one to look into it."


class ArchiveKind(Kind):
    """What can be walked like a folder."""

    name: ClassVar[str] = "archive"
    label: ClassVar[str] = "Archive"
    parts: ClassVar[tuple[str, ...]] = ("picture", "thumbnail")
    streams: ClassVar[tuple[str, ...]] = ("member",)

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
            answer = _show_member(reader, ask, wanted)
            if isinstance(answer, Preview):
                answer.data["member"] = wanted
            return answer
        if ask.part:
            raise PreviewError("Say of which member.")
        return _index(reader, ask.name)

    def heed(self, ask: Ask) -> Ask:
        """Keep one index, whatever part of it is shown."""
        return ask if ask.options.get("member") else Ask(ask.name, ask.part)

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
    for entry_name, size, is_locked in list_entries(reader, name):
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


def _show_member(reader: Reader, ask: Ask, wanted: str, depth: int = 1) -> Preview | Product | Stream:
    path, member, inside = _find_member(reader, ask.name, wanted)
    if ask.part == "member" and not inside:
        return Stream(member.size, _blocks(member))
    if member.size <= MOST_IN_MEMORY:
        member = MemoryReader(member.read(0, member.size))
    options = {key: value for key, value in ask.options.items() if key != "member"}
    inner = Ask(path.rpartition("/")[2].lower(), part=ask.part, options=options)
    if inside:
        return _show_inside(member, inner, inside, depth)
    return _show_found(member, inner, depth)


def _find_member(reader: Reader, name: str, wanted: str) -> tuple[str, Reader, str]:
    """Return the path of a member, its bytes, and which of its own members is wanted where it is an archive, too."""
    path, _, inside = wanted.partition(INTO)
    try:
        return path, open_member(reader, name, path), inside
    except NoMemberError:
        if not inside:
            raise
        # Names may have any signs.
        return wanted, open_member(reader, name, wanted), ""


def _show_inside(member: Reader, ask: Ask, inside: str, depth: int) -> Preview | Product | Stream:
    if not isinstance(_kind_of(member, ask.name), ArchiveKind):
        raise PreviewError(f"{shown(ask.name, 100)} is no archive.")
    if depth >= MOST_NESTED:
        raise PreviewError(TOO_DEEP)
    return _show_member(member, ask, inside, depth + 1)


def _kind_of(member: Reader, name: str) -> Kind | None:
    from datasets_app.previews.registry import recognise

    return recognise(member.read(0, 64 * 1024), name)


def _show_found(member: Reader, ask: Ask, depth: int) -> Preview | Product | Stream:
    from datasets_app.previews.registry import text_instead

    head = member.read(0, 64 * 1024)
    kind = _kind_of(member, ask.name)
    facts = [("Size inside", bytes_text(member.size))]
    if kind is None or (isinstance(kind, ArchiveKind) and depth >= MOST_NESTED):
        return Preview("application/octet-stream", facts, {"kind": "", "why": TOO_DEEP if kind else ""})
    text = text_instead(kind, head, ask.name)
    if text is not None and ask.options.get("as") == text.name:
        kind = text
    notes: list[str] = []
    try:
        answer = kind.show(member, kind.heed(ask))
    except Exception as error:
        if text is None:
            raise
        kind, answer = text, text.show(member, ask)
        notes = [f"{shown(' '.join(str(error).split()))} It is shown as text."]
    if not isinstance(answer, Preview):
        return answer
    page = kind.arrange(answer, ask)
    inner = {"kind": kind.template, "label": kind.label, "data": page.data, "notes": [*notes, *page.notes]}
    return Preview(page.media_type, [*facts, *page.facts], inner, notes)


def _blocks(member: Reader) -> Iterator[bytes]:
    at = 0
    while at < member.size:
        block = member.read(at, BLOCK)
        if not block:
            raise PreviewError("The file ends too early.")
        yield block
        at += len(block)


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
