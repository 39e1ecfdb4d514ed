"""Which paths a dataset may hold, and the key that sorts them in tree order."""

import re
import unicodedata

from datasets_app.errors import Invalid

MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 255

# "/" in a key. Control characters are illegal in paths, so it sorts before every character of a name.
KEY_SEPARATOR = "\x01"

# A whole path of harmless ASCII: parts of printable characters, none of them "." or "..".
_PLAIN = re.compile(r"(?:(?!\.\.?(?:/|\Z))[ -.0-\[\]-~]+/)*(?!\.\.?\Z)[ -.0-\[\]-~]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_SURROGATE = re.compile(r"[\ud800-\udfff]").search


class InvalidPath(Invalid):
    """A path that no version may hold. `path` is as it was given, `reason` is a sentence for its owner."""

    def __init__(self, path: str, reason: str) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{shown!r}: {reason}", errors=[{"path": shown, "detail": reason}])
        self.path = path
        self.reason = reason


def normalise(path: str) -> str:
    """Give `path` in Unicode NFC; raises `InvalidPath` where it breaks a rule of the dataset format."""
    # 255 characters of ASCII can exceed no limit, and NFC leaves ASCII alone.
    if len(path) <= MAX_PART_BYTES and path.isascii() and _PLAIN(path):
        return path
    return _normalise_slowly(path)


def _normalise_slowly(path: str) -> str:
    if _SURROGATE(path):
        raise InvalidPath(path, "The name is not valid Unicode text.")
    # Bounds the work of normalising. Composing shortens: three characters may become one of two bytes.
    if len(path) > 2 * MAX_PATH_BYTES:
        raise InvalidPath(path, f"The path is longer than {MAX_PATH_BYTES} bytes.")
    normal = unicodedata.normalize("NFC", path)
    reason = _refusal(normal)
    if reason:
        raise InvalidPath(path, reason)
    return normal


def _refusal(path: str) -> str:
    """Say why the normalised `path` is illegal; an empty string if it is not."""
    if not path:
        return "The path is empty."
    if "\\" in path:
        return "The path contains a backslash; use / between folders."
    if _CONTROL(path):
        return "The path contains a control character, such as a line break or a tab."
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"The path is longer than {MAX_PATH_BYTES} bytes."
    return next(filter(None, map(_part_refusal, path.split("/"))), "")


def _part_refusal(part: str) -> str:
    if not part:
        return "The path has an empty part: a slash at its start or end, or two in a row."
    if part in {".", ".."}:
        return f"The path has a part that is {part!r}."
    if len(part.encode()) > MAX_PART_BYTES:
        return f"The path has a file or folder name longer than {MAX_PART_BYTES} bytes."
    return ""


def to_key(path: str) -> str:
    """Turn a normalised path into a text whose plain byte order is tree order: a folder's content stays together."""
    return path.replace("/", KEY_SEPARATOR)


def from_key(key: str) -> str:
    """Turn a key made by `to_key` back into its path."""
    return key.replace(KEY_SEPARATOR, "/")


def parents(path: str) -> list[str]:
    """Every folder above `path`, outermost first: "a/b/c" gives ["a", "a/b"]."""
    found = []
    end = path.find("/")
    while end >= 0:
        found.append(path[:end])
        end = path.find("/", end + 1)
    return found


def steps(path: str) -> list[tuple[str, str]]:
    """Return (name, path) of every part of a path that has one, outermost first: the way to it."""
    parts = path.split("/")
    return [(name, "/".join(parts[: depth + 1])) for depth, name in enumerate(parts) if name]
