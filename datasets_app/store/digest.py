"""The public digest format (docs/decisions/0002-digest-format.md), and SHA-256 over streams."""

import hashlib
from typing import Protocol

# Larger ones cost the kernel three times as much: each is mapped, and zeroed, anew.
BLOCK_BYTES = 256 * 1024
DIRECTORY_HEADER = b"directory\n"
DIGEST_BYTES = 32
_PREFIX = "sha256:"


class Readable(Protocol):
    """What a stream must offer: `read(n)` gives at most n bytes, and none at its end."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes; an empty result is the end."""
        ...


def file_entry(name: str, sha256: bytes, size: int) -> bytes:
    """One file's line in its directory: `sha256` of its bytes, `size` in bytes, the name without its folders."""
    return f"file {sha256.hex()} {size} {name}\0".encode()


def directory_entry(name: str, digest: bytes, size: int) -> bytes:
    """One sub-directory's line in its parent: its digest and the total size in bytes of everything below it."""
    return f"directory {digest.hex()} {size} {name}\0".encode()


def format_digest(digest: bytes) -> str:
    """How people and the API see a digest: "sha256:" and 64 hexadecimal digits."""
    return _PREFIX + digest.hex()


def parse_digest(text: str) -> bytes:
    """Turn "sha256:<hex>" or bare hex into 32 bytes; ValueError for anything else."""
    digits = text.removeprefix(_PREFIX)
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    # fromhex skips spaces: so many bytes of so many characters leave no room for one.
    if len(digest) != DIGEST_BYTES or len(digits) != 2 * DIGEST_BYTES:
        raise ValueError(f"{text!r} is not a SHA-256 digest of 64 hexadecimal digits")
    return digest


def hash_stream(stream: Readable, block: int = BLOCK_BYTES) -> tuple[bytes, int]:
    """SHA-256 and length of a stream from where it stands to its end, read in blocks of `block` bytes."""
    hasher = hashlib.sha256()
    size = 0
    while data := stream.read(block):
        hasher.update(data)
        size += len(data)
    return hasher.digest(), size
