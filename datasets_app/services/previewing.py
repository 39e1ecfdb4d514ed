"""Show what is in a file without the reader's machine, or this server, having to trust it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from django.conf import settings
from django.core.signals import setting_changed

from datasets_app.errors import NotFound, Unavailable
from datasets_app.previews.base import Ask, Budget, Preview, PreviewError, Product, Stream
from datasets_app.previews.plain import PlainPreview, hex_lines, preview_plainly
from datasets_app.previews.process import run_preview, stream_part
from datasets_app.previews.registry import recognise, text_instead
from datasets_app.previews.sandbox import Sandbox
from datasets_app.previews.text import TextKind
from datasets_app.services import preview_cache
from datasets_app.services.content import read_blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from datasets_app.models import Blob, File
    from datasets_app.previews.base import Kind, Reader

# Enough to know a file by; a page must stay light.
HEAD_BYTES: Final = 64 * 1024
# Of what can't be shown otherwise.
HEX_BYTES: Final = 512
# How long a page waits for its turn while other previews run.
TURN_SECONDS: Final = 10
MOST_OPTION: Final = 10_000
# For a few hundred files; one that takes longer is given up when it is asked for alone.
SURVEY_SECONDS: Final = 60
BLOCK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """A file as its page shows it: `page` by its `kind`, or the plain preview and, where one failed, the `problem`."""

    plain: PlainPreview
    kind: str = ""
    label: str = ""
    page: Preview | None = None
    problem: str = ""
    template: str = ""

    @property
    def media_type(self) -> str:
        """What the file is."""
        return self.page.media_type if self.page is not None else self.plain.media_type

    @property
    def member(self) -> Shown | None:
        """A file inside an archive, as its own page would show it; None when the page is not about one."""
        data = self.page.data if self.page is not None and self.kind == "archive" else {}
        if self.page is None or not data.get("kind"):
            return None
        page = Preview(self.page.media_type, data=data["data"], notes=data["notes"])
        return Shown(self.plain, kind=data["kind"], label=data["label"], page=page, template=data["kind"])


class BlobReader:
    """A blob for previews: blocks of 256 KiB, the last few of which are kept for libraries that jump about."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.size = blob.size

    def read(self, offset: int, length: int) -> bytes:
        """Give at most `length` bytes from `offset`."""
        length = max(0, min(length, self.size - offset))
        if length >= BLOCK_BYTES:
            return b"".join(read_blob(self._blob, offset=offset, length=length))
        parts = []
        while length > 0:
            start = offset // BLOCK_BYTES * BLOCK_BYTES
            part = self._block(start)[offset - start : offset - start + length]
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def _block(self, start: int) -> bytes:
        if start not in self._blocks:
            self._blocks[start] = b"".join(read_blob(self._blob, offset=start, length=BLOCK_BYTES))
            while len(self._blocks) > 16:  # noqa: PLR2004
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(start)
        return self._blocks[start]


def preview_file(file: File, *, options: Mapping[str, str] | None = None) -> Shown:
    """Make the page of a file that the caller may read; whatever is wrong with it, its first bytes are shown."""
    head = read_head(file)
    plain = preview_plainly(head)
    if plain.kind == "image":
        # For one that can't be drawn.
        plain = replace(plain, hex_lines=tuple(hex_lines(head[:HEX_BYTES])))
    kind = recognise(head, file.name)
    if kind is None:
        return Shown(plain)
    ask = Ask(file.name.lower(), options=_clean(options))
    text = text_instead(kind, head, file.name)
    if text is not None and ask.options.get("as") == TextKind.name:
        kind = text
    answer = _answer(file.blob, kind, ask)
    if isinstance(answer, Preview):
        return _shown(plain, kind, answer, ask)
    others = [(kind, Ask(ask.name, options=less), note) for less, note in kind.cheaper(ask)]
    if text is not None:
        # Its lines say more than the last resort would.
        others = [*others[:-1], (text, ask, "It is shown as text.")]
    for other, less, note in others:
        page = _answer(file.blob, other, less)
        if isinstance(page, Preview):
            page.notes.insert(0, f"{answer} {note}")
            return _shown(plain, other, page, less)
    return Shown(plain, kind=kind.name, label=kind.label, problem=str(answer))


def _shown(plain: PlainPreview, kind: Kind, answer: Preview, ask: Ask) -> Shown:
    page = kind.arrange(answer, ask)
    return Shown(plain, kind=kind.name, label=kind.label, page=page, template=kind.template)


def make_product(file: File, *, part: str, options: Mapping[str, str] | None = None) -> Product:
    """Make a picture, a thumbnail or another part of a file that the caller may read."""
    head = read_head(file)
    kind = recognise(head, file.name)
    if kind is None or part not in kind.parts:
        raise NotFound(f"There is no {part} of {file.name}.")
    answer = _answer(file.blob, kind, Ask(file.name.lower(), part=part, options=_clean(options)))
    if isinstance(answer, Product):
        return answer
    raise Unavailable(str(answer))


def survey(reader: Reader, ask: Ask) -> Preview | Product:
    """Look into many files at once, in the background; nothing is kept. PreviewError when the process dies of them."""
    limits = _budget()
    budget = Budget(seconds=max(SURVEY_SECONDS, limits.seconds), memory_bytes=limits.memory_bytes)
    return run_preview("survey", reader, ask, budget=budget, sandbox=_sandbox())


def open_member(file: File, *, member: str) -> Stream:
    """Take a member out of an archive that the caller may read; it is unpacked while it is read, in little memory.

    Close the blocks to end it early. NotFound when this is no archive, Unavailable when there is no such member.
    """
    kind = recognise(read_head(file), file.name)
    if kind is None or "member" not in kind.streams:
        raise NotFound(f"{file.name} is no archive.")
    turns = _streams()
    if not turns.acquire(timeout=TURN_SECONDS):
        raise Unavailable("Many files are being taken out of archives just now. Try again in a moment.")
    try:
        ask = Ask(file.name.lower(), part="member", options={"member": member[:MOST_OPTION]})
        stream = stream_part(kind.name, BlobReader(file.blob), ask, budget=_budget(), sandbox=_sandbox())
    except PreviewError as error:
        turns.release()
        raise Unavailable(str(error)) from None
    except BaseException:
        turns.release()
        raise
    return Stream(stream.size, _Released(stream.blocks, turns))


class _Released:
    """Blocks that give their turn back at the end, also when nobody reads them to it."""

    def __init__(self, blocks: Iterator[bytes], turns: threading.BoundedSemaphore) -> None:
        self._blocks, self._turns = blocks, turns
        self._is_open = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the worker and give back the turn; once."""
        if self._is_open:
            self._is_open = False
            close = getattr(self._blocks, "close", None)
            if close is not None:
                close()
            self._turns.release()


def read_head(file: File) -> bytes:
    """Read what a file is recognised by."""
    return b"".join(read_blob(file.blob, length=HEAD_BYTES))


def answer_together(blobs: Sequence[Blob], kind: Kind, ask: Ask) -> Preview | Product | str:
    """Make the page of several files by a kind that takes them together; a failure is a sentence.

    The options must tell the digests of all files but the first, since the answer is kept by them.
    """
    return _answer(blobs[0], kind, ask, others=blobs[1:])


def _answer(blob: Blob, kind: Kind, ask: Ask, *, others: Sequence[Blob] = ()) -> Preview | Product | str:
    """Look into the cache, then into the file; a failure is a sentence."""
    ask = kind.heed(ask)
    known = preview_cache.find(blob.hex, kind.name, ask)
    if known is not None:
        return known
    turns = _turns()
    if not turns.acquire(timeout=TURN_SECONDS):
        return "Many previews are being made just now. Load the page again in a moment."
    answer: Preview | Product | str
    try:
        readers = [BlobReader(other) for other in others]
        answer = run_preview(kind.name, BlobReader(blob), ask, others=readers, budget=_budget(), sandbox=_sandbox())
    except PreviewError as error:
        answer = str(error)
    finally:
        turns.release()
    preview_cache.keep(blob.hex, kind.name, ask, answer)
    return answer


def _clean(options: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value[:MOST_OPTION] for name, value in (options or {}).items() if value}


@lru_cache(maxsize=1)
def _turns() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(settings.PREVIEW_PROCESSES)


@lru_cache(maxsize=1)
def _streams() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(2 * settings.PREVIEW_PROCESSES)


@lru_cache(maxsize=1)
def _budget() -> Budget:
    return Budget(seconds=settings.PREVIEW_SECONDS, memory_bytes=settings.PREVIEW_MEMORY_BYTES)


@lru_cache(maxsize=1)
def _sandbox() -> Sandbox:
    return Sandbox(hidden=(settings.DATA_DIR,))


def _forget(*, setting: str, **_kwargs: object) -> None:
    if setting.startswith("PREVIEW") or setting == "DATA_DIR":
        for cached in (_turns, _streams, _budget, _sandbox):
            cached.cache_clear()


setting_changed.connect(_forget)
