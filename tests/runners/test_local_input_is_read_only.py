"""Nothing that a job tries changes its input: not by writing, renaming, linking or mounting, nor as root of its own."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.runners.conftest import Bench

ATTEMPTS = {
    "write": "open('/input/images/a.txt', 'w')",
    "append": "open('/input/images/a.txt', 'a')",
    "create": "open('/input/images/new', 'x')",
    "chmod": "os.chmod('/input/images/a.txt', 0o777)",
    "chmod directory": "os.chmod('/input/images', 0o777)",
    "unlink": "os.unlink('/input/images/a.txt')",
    "rename": "os.rename('/input/images/a.txt', '/input/images/b.txt')",
    "truncate": "os.truncate('/input/images/a.txt', 0)",
    "touch": "os.utime('/input/images/a.txt', (1, 1))",
    "xattr": "os.setxattr('/input/images/a.txt', 'user.x', b'1')",
    "mount point beside": "os.mkdir('/input/other')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_is_a_read_only_file_system(bench: Bench, images: Path, attempt: str) -> None:
    script = f"import os\ntry:\n  {ATTEMPTS[attempt]}\nexcept OSError as error:\n  print(error.errno)"
    assert bench.python(script, mounts={"images": images}).succeeded
    # As somebody else's file it may be refused before the kernel comes to look at the mount.
    assert int(bench.log) in {errno.EROFS, errno.EACCES}


def test_a_link_out_is_refused(bench: Bench, images: Path) -> None:
    script = (
        "import os\ntry:\n  os.link('/input/images/a.txt', '/output/a')\nexcept OSError as error:\n  print(error.errno)"
    )
    assert bench.python(script, mounts={"images": images}).succeeded
    assert int(bench.log) == errno.EXDEV
    assert (images / "a.txt").stat().st_nlink == 1


def test_root_of_its_own_namespace_can_neither_remount_nor_unmount(bench: Bench, images: Path) -> None:
    script = """
unshare --user --map-root-user --mount bash -c '
  id -u
  mount -o remount,rw,bind /input/images; umount /input/images; umount -l /input/images
  mount -t tmpfs none /input/images && umount /input/images
  mount --bind /input/images /tmp && mount -o remount,rw,bind /tmp
  chmod 777 /input/images/a.txt; chown 0 /input/images/a.txt; echo evil > /input/images/a.txt; echo evil > /tmp/a.txt
  mknod /output/disk b 254 0; cat /input/images/a.txt'
"""
    bench.shell(script, mounts={"images": images})
    assert (images / "a.txt").read_text() == "alpha"
    assert (images / "a.txt").stat().st_mode & 0o777 == 0o444
    assert not (bench.output / "disk").is_block_device()
    # Where the kernel gives it no namespace, it got nowhere at all.
    assert bench.log.endswith("alpha") or "unshare" in bench.log


def test_through_a_descriptor(bench: Bench, images: Path) -> None:
    script = "import os\nfd = os.open('/input/images/a.txt', os.O_RDONLY)\nopen(f'/proc/self/fd/{fd}', 'w')"
    assert bench.python(script, mounts={"images": images}).exit_code == 1
    assert "Read-only file system" in bench.log


def test_the_rest_is_read_only_too(bench: Bench) -> None:
    assert bench.shell(
        "for d in / /usr /etc /dev /run /var /root /input; do touch $d/x 2>/dev/null && echo $d; done; true"
    ).succeeded
    assert bench.log == ""
