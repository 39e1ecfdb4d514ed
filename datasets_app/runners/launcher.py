"""The first program inside the sandbox: takes on the limits and the environment, then becomes the job's command.

It runs with the job's own rights, alone in a bare interpreter (`python -I -S`), and reads one JSON file. The
environment comes this way because any other would show it in a process list, or apply it (LD_PRELOAD) while the
sandbox is still being set up with more rights than the job has.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress

NOT_FOUND = 127
NOT_EXECUTABLE = 126


def main(path: str) -> None:
    """Replace this process by the command that the file names."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - importing pathlib doubles the time to start
        plan = json.load(file)
    for name, (soft, hard) in plan["limits"].items():
        number = getattr(resource, name)
        most = resource.getrlimit(number)[1]
        room = [value if most == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
        resource.setrlimit(number, (room[0], room[1]))
    # When the machine runs out of memory, the kernel ends the job rather than the server.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("500")
    # Python ignores these, and what is ignored stays so in the command: `yes | head` would complain.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    command = plan["command"]
    try:
        os.execvpe(command[0], command, plan["env"])  # noqa: S606 - this is the program that the user asked for
    except FileNotFoundError:
        sys.stderr.write(f"flexai: command not found: {command[0]}\n")
        os._exit(NOT_FOUND)
    except OSError as error:
        sys.stderr.write(f"flexai: {command[0]} can't be executed: {error.strerror}\n")
        os._exit(NOT_EXECUTABLE)


if __name__ == "__main__":
    main(sys.argv[1])
