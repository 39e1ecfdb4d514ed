"""A process that hashes small files for the command: `python -m flexai_cli.hash_process`. It ends with its input.

Threads can't: of reading and hashing 20 kB, half is Python's own work, which one thread does at a time.
"""

from __future__ import annotations

import marshal
import signal
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any, Final

from flexai_cli.chunks import Stat
from flexai_cli.reading import Unread, hash_file

LENGTH_BYTES: Final = 8

# A file's path on this machine, and how it looked when it was found.
Asked = tuple[str, Stat]
# Its SHA-256, or why there is none.
Answer = bytes | str


def hash_files(files: Iterable[Asked], reach: Callable[[int], None] | None = None) -> list[Answer]:
    """Hash files one after the other; `reach` is told how many bytes of a large one are done."""
    found: list[Answer] = []
    for source, about in files:
        try:
            found.append(hash_file(source, about, reach))
        except Unread as error:
            found.append(str(error))
    return found


def send(pipe: IO[bytes], message: Any) -> None:  # noqa: ANN401 - lists of plain values
    """Write a message, for a process of the same Python."""
    data = marshal.dumps(message)
    pipe.write(len(data).to_bytes(LENGTH_BYTES, "big"))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:  # noqa: ANN401 - as above
    """Read a message; EOFError when there is none, or no whole one."""
    head = pipe.read(LENGTH_BYTES)
    data = pipe.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else b""
    # Of what was cut off, it raises EOFError as well.
    return marshal.loads(data)  # noqa: S302 - from our own process


def main() -> None:
    """Answer until the input ends."""
    # Ctrl-C is for the command, which then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            asked = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            send(sys.stdout.buffer, hash_files((source, Stat(*about)) for source, about in asked))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
