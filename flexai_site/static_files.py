"""Static files: hashed names, compressed beside the plain ones, collected only when something changed."""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import brotli
from django.conf import settings
from django.contrib.staticfiles.finders import AppDirectoriesFinder, FileSystemFinder, get_finders
from django.core.management import call_command
from typing_extensions import override
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

# Of the npm packages, only what pages load.
VENDORED: Final = frozenset(
    {
        "vendor/hash-wasm/sha256.umd.min.js",
        "vendor/tus-js-client/tus.min.js",
    }
)
# Of django-htmx, neither extensions nor the next major version, whose imports can't be followed; of ninja, no second
# viewer of the API's description.
IGNORED: Final = ["ext", "htmx-4*", "htmax-*", "redoc*", "*.map"]
_CSS_PATTERNS: Final = dict(CompressedManifestStaticFilesStorage.patterns)["*.css"]


class QuickCompressor(Compressor):  # type: ignore[misc]
    """Brotli at quality 9, which takes a tenth of the time of 11 for files a few percent larger."""

    @override
    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=9))


class SourceFinder(FileSystemFinder):
    """The project's own files, and the few of the npm packages that are needed."""

    @override
    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Any]]:
        for path, storage in super().list(ignore_patterns):
            prefix = getattr(storage, "prefix", None)
            if not prefix or f"{prefix}/{path}" in VENDORED:
                yield path, storage


class AppFinder(AppDirectoriesFinder):
    """The files of installed applications, without those that no page needs."""

    @override
    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Any]]:
        yield from super().list([*(ignore_patterns or []), *IGNORED])


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Also rewrites the imports inside JavaScript modules, so that a module never meets an older copy of another.

    Source maps are not collected, so the lines that name them are left alone.
    """

    support_js_module_import_aggregation = True
    patterns = (("*.css", tuple(p for p in _CSS_PATTERNS if "sourceMappingURL" not in str(p))),)

    @override
    def create_compressor(self, **kwargs: Any) -> Compressor:
        return QuickCompressor(**kwargs)


def collect_static_files() -> bool:
    """Bring STATIC_ROOT up to date; tell whether there was something to do.

    Files of older releases stay, because pages that were rendered before still name them.
    """
    root = Path(settings.STATIC_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    stamp = root / ".collected"
    # Two servers may start from one checkout.
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        current = _fingerprint()
        if stamp.is_file() and stamp.read_text() == current:
            return False
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.write_text(current)
        return True


def _fingerprint() -> str:
    state = hashlib.sha256(settings.STATIC_URL.encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            file = Path(storage.path(path)).stat()
            state.update(f"{path}\0{file.st_size}\0{file.st_mtime_ns}\n".encode())
    return state.hexdigest()
