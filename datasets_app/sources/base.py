"""What every remote store offers: prove that it can be reached, walk it, and read it at one pinned state.

Plain Python: settings and credentials come as arguments, network goes through the guard's proxy (`Route`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from datasets_app.errors import AppError

# A listing comes in pages of at most so many files.
PAGE_FILES = 1000


class Cause(StrEnum):
    """Why a remote store did not give what it was asked for."""

    UNREACHABLE = "unreachable"  # no such name, no connection, broken off, 5xx
    BUSY = "busy"  # 429, 503, SlowDown
    FORBIDDEN_NETWORK = "forbidden-network"  # our guard refuses the address
    CREDENTIALS = "credentials"  # unknown, wrong, expired
    DENIED = "denied"  # known, but not allowed
    GATED = "gated"  # the Hub: terms not accepted, or approval pending
    MISSING = "missing"  # no such bucket, repository, revision or object
    CHANGED = "changed"  # not the object that was listed any more
    DAMAGED = "damaged"  # fewer bytes than promised, or another checksum
    INVALID = "invalid"  # a path or setting that can't be right


class Stage(StrEnum):
    """How far a request came that got no answer."""

    UNKNOWN = ""
    ROUTE = "route"  # not past the proxy on the way
    NAME = "name"  # no server has this name
    SERVER = "server"  # the name has an address


# What may work when it is tried again, with no one doing anything.
TRANSIENT = frozenset({Cause.UNREACHABLE, Cause.BUSY, Cause.DAMAGED})


class SourceError(AppError):
    """A remote store refused or failed. `detail` says the cause and what to do, and holds no credential.

    `retry_after`: seconds that the store asked to wait, where it did. `stage`: how far it came without an answer.
    """

    status = 502
    code = "source-error"
    title = "The remote store did not answer as expected"

    def __init__(
        self, cause: Cause, detail: str, *, retry_after: float | None = None, stage: Stage = Stage.UNKNOWN
    ) -> None:
        super().__init__(detail)
        self.cause = cause
        self.retry_after = retry_after
        self.stage = stage

    @property
    def transient(self) -> bool:
        """Whether trying again later may work."""
        return self.cause in TRANSIENT


class Field(NamedTuple):
    """An input of a provider's form. `kind`: text, secret, switch, choice, or long (several lines).

    `is_place`: it says which server is spoken to, so that secrets which were entered for another are not sent there.
    `when`, as "field=value": it is only asked for, and then perhaps required, where that field has that value.
    """

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    help: str = ""
    choices: Sequence[tuple[str, str]] = ()
    placeholder: str = ""
    default: str = ""
    is_place: bool = False
    when: str = ""


class CheckStep(NamedTuple):
    """One step of a connection's check.

    `ok` is None where it showed nothing: an earlier step failed, or there was nothing to show it with.
    """

    name: str
    ok: bool | None
    detail: str


class Entry(NamedTuple):
    """A line of the browser: `path` opens it (a source path, folders without a final "/")."""

    name: str
    path: str
    is_folder: bool
    size: int | None = None
    detail: str = ""


class Walk(NamedTuple):
    """A page of entries, and where the next one begins (None: there is none)."""

    entries: list[Entry]
    cursor: str | None


class SourceFile(NamedTuple):
    """An object that is to be read. `path` is relative to the source path, as the store spells it, not yet checked.

    `tag` changes whenever the bytes may have changed: what If-Match or a generation takes, and what is remembered
    after an import. `sha256` where the listing tells it; `checksum` as "name:hex" where the listing tells another one
    (md5, crc32c, git-sha1). `problem` says why it can't be imported whatever is tried.
    """

    key: str
    path: str
    size: int
    tag: str
    sha256: bytes | None = None
    checksum: str = ""
    problem: str = ""


class Page(NamedTuple):
    """At most PAGE_FILES files in the order of the listing, and the cursor that continues after them."""

    files: list[SourceFile]
    cursor: str


def _never(_host: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Route:
    """How sources reach the network: `proxy` is an http:// URL; `ca_bundle` certificates to trust beside the usual.

    `needs_no_proxy`: whether bytes of this host may come without the proxy; what it redirects to may not.
    `is_foreign`: the proxy is the operator's, who looks names up as he likes, and not our guard.
    `allows_machine_role`: whether a connection may act as the machine that this runs on.
    """

    proxy: str | None = None
    ca_bundle: Path | None = None
    is_foreign: bool = False
    allows_machine_role: bool = False
    needs_no_proxy: Callable[[str], bool] = _never


@dataclass(frozen=True, slots=True)
class Settings:
    """A connection as its provider's fields describe it: `values` may be shown, `secrets` never."""

    values: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


# What a source hands out, as its client library holds it: len(), hashing, writing and bytes() work on both alike.
Data = bytes | memoryview


class Tree(Protocol):
    """Everything below one source path at one state. Safe to use from several threads."""

    # What was asked for, pinned: a commit on the Hub; empty where the store has no revisions.
    revision: str

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """List every object in pages, `after` the cursor of an earlier page; memory holds one page."""
        ...

    def fetch(self, file: SourceFile) -> Data:
        """Read a whole small object in one request. CHANGED, when it is no longer what was listed."""
        ...

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> Data:
        """Read exactly `length` bytes from `offset`, of the object that was listed and no other."""
        ...

    def look_up(self, file: SourceFile) -> SourceFile:
        """Ask for what the listing did not tell (sha256, checksum) where one request can; worth it for large files."""
        ...


class Source(Protocol):
    """A connected remote store: made cheap, connects when it is first used."""

    def check(self, path: str = "") -> Iterator[CheckStep]:
        """Prove step by step that it can be used, `path` too where one is given; stops at the first failure."""
        ...

    def browse(self, path: str = "", *, revision: str = "", cursor: str = "") -> Walk:
        """Give a page of what lies directly below `path`: buckets or repositories at "", then folders and files.

        Of a path that is a file, the file.
        """
        ...

    def revisions(self, path: str) -> list[str]:
        """Branches and tags of a repository, the default first; empty where the store has none."""
        ...

    def open(self, path: str, *, revision: str = "") -> Tree:
        """Pin everything below `path`; raises SourceError when there is no such bucket, repository or revision."""
        ...


class Provider(Protocol):
    """A kind of remote store. One file, one registry line, one run of the contract test."""

    name: str
    label: str
    fields: Sequence[Field]
    # What a source path looks like, for the form.
    path_help: str
    has_revisions: bool

    def clean(self, settings: Settings) -> Settings:
        """Normalise what the form gave; raises `Invalid` naming the fields that are wrong. No network."""
        ...

    def connect(self, settings: Settings, route: Route) -> Source:
        """Make the source."""
        ...
