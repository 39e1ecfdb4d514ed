"""Kill -9 while a staging file grows: what is on disk is whole, unlocked, and is gone on with."""

import hashlib
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from datasets_app.store.staging import Staging

# Endless, and different everywhere, so that bytes in the wrong place are noticed.
WRITER = """
import sys
from pathlib import Path
from uuid import UUID
from datasets_app.store.staging import Staging
from tests.store.test_staging_kill import stream

root, upload, offset = Path(sys.argv[1]), UUID(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
Staging(root).append(upload, offset=offset, read=stream(offset), total=2**50, block=65536)
"""
BLOCK = hashlib.shake_128(b"block").digest(65_521)


def content(start: int, end: int) -> bytes:
    """Bytes of an endless file."""
    first = start // len(BLOCK)
    text = b"".join(n.to_bytes(8, "big") + BLOCK[8:] for n in range(first, end // len(BLOCK) + 1))
    return text[start - first * len(BLOCK) : end - first * len(BLOCK)]


def stream(offset: int) -> Callable[[int], bytes]:
    """Make a `read` of the endless file from `offset`."""

    def read(size: int) -> bytes:
        nonlocal offset
        data = content(offset, offset + min(size, 10_007))
        offset += len(data)
        return data

    return read


@pytest.mark.parametrize("seed", range(5))
def test_killed_while_appending(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    staging, upload = Staging(tmp_path), uuid.UUID(int=chance.getrandbits(128))
    staging.create(upload, 2**20)
    offset = 0
    for _ in range(2):
        kill_a_writer(staging, upload, offset, chance.uniform(0.005, 0.1))
        reached = staging.offset(upload)
        assert reached >= offset
        offset = reached
    assert staging.path(upload).read_bytes() == content(0, offset)
    total = offset + 12_345
    # Nobody holds the lock any more, and the hash is right although the process that knew it is dead.
    assert staging.append(upload, offset=offset, read=stream(offset), total=total, length=12_345) == total
    assert staging.sha256(upload) == hashlib.sha256(content(0, total)).digest()


def kill_a_writer(staging: Staging, upload: UUID, offset: int, after: float) -> None:
    """Append in another process, and kill it `after` seconds of work."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(staging.root), str(upload), str(offset)], stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        while staging.offset(upload) == offset:
            assert writer.poll() is None
            time.sleep(0.001)
        time.sleep(after)
        writer.kill()
