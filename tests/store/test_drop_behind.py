"""What is read once takes no memory from others; what was there, or is read again, stays."""

import os
import time
import uuid
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from datasets_app.store.drop_behind import WINDOW_BYTES
from datasets_app.store.packs import PackStore
from datasets_app.store.ranges import LARGE_BYTES

pytestmark = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system can't tell what is in memory")

SIZE = LARGE_BYTES + WINDOW_BYTES


def is_in_memory(path: Path, offset: int) -> bool:
    with path.open("rb", buffering=0) as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False


def forget(path: Path) -> None:
    """Put the file out of memory; it takes a moment until the disk has all of it."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        for _ in range(50):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if not is_in_memory(path, SIZE // 2):
                # Asking lets the system fetch it.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return
            time.sleep(0.1)
    pytest.skip("the file system of the temporary folder keeps all files in memory")


@pytest.fixture
def store(tmp_path: Path) -> PackStore:
    return PackStore(FileSystemStorage(tmp_path / "packs"), scratch=tmp_path)


@pytest.fixture
def key(store: PackStore, tmp_path: Path) -> str:
    """Of a large pack."""
    found = store.key_of(uuid.uuid4())
    source = tmp_path / "bytes"
    source.write_bytes(os.urandom(2**20) * (SIZE // 2**20))
    store.put(source, found)
    return found


@pytest.fixture
def pack(store: PackStore, key: str) -> Path:
    path = store.open_local(key)
    assert path
    return path


def test_a_large_read_leaves_nothing_in_memory(store: PackStore, key: str, pack: Path) -> None:
    forget(pack)

    assert sum(map(len, store.read(key))) == SIZE

    assert not is_in_memory(pack, 0)
    assert not is_in_memory(pack, LARGE_BYTES - 4096)


def test_what_was_in_memory_stays_there(store: PackStore, key: str, pack: Path) -> None:
    forget(pack)
    pack.read_bytes()

    assert sum(map(len, store.read(key, 0, SIZE))) == SIZE

    assert is_in_memory(pack, 0)


def test_what_is_read_again_stays_in_memory(store: PackStore, key: str, pack: Path) -> None:
    forget(pack)

    for _ in range(2):
        assert sum(map(len, store.read(key))) == SIZE

    assert is_in_memory(pack, 0)


def test_short_reads_stay_in_memory(store: PackStore, key: str, pack: Path) -> None:
    forget(pack)

    assert sum(map(len, store.read(key, 0, WINDOW_BYTES))) == WINDOW_BYTES

    assert is_in_memory(pack, 0)
