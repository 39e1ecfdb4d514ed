"""The digest format once more, written from the documentation alone: recursive, in memory, sharing no code."""

import hashlib
from collections.abc import Mapping

# A directory is a mapping, a file its bytes.
Tree = Mapping[bytes, "Tree | bytes"]


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return "sha256:<hex>" of a version that holds `files`, whose paths are legal and in NFC."""
    root: dict[bytes, object] = {}
    for path, content in files.items():
        *folders, name = path.encode().split(b"/")
        here = root
        for folder in folders:
            here = here.setdefault(folder, {})  # type: ignore[assignment]
        here[name] = content
    return "sha256:" + _directory(root)[0]


def _directory(tree: Mapping[bytes, object]) -> tuple[str, int]:
    text, total = b"directory\n", 0
    for name in sorted(tree):
        child = tree[name]
        if isinstance(child, bytes):
            kind, digest, size = b"file", hashlib.sha256(child).hexdigest(), len(child)
        else:
            assert isinstance(child, dict)
            kind, (digest, size) = b"directory", _directory(child)
        text += kind + b" " + digest.encode() + b" " + str(size).encode() + b" " + name + b"\0"
        total += size
    return hashlib.sha256(text).hexdigest(), total
