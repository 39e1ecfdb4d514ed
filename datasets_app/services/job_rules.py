"""What a job may be made of; every rule that is broken is reported at once, with its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from datasets_app.errors import ErrorItem, Invalid
from datasets_app.models import NAME_PATTERN, NAME_RULE, Job

MOST_DATASETS: Final = 64
MOST_ARGUMENTS: Final = 1000
MOST_VARIABLES: Final = 200
# Linux takes at most 128 KiB in one argument or variable, so this much is surely taken in all of them together.
MOST_BYTES: Final = 96 * 1024
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET: Final = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|KEY", re.IGNORECASE)
HIDDEN: Final = "\N{BULLET}" * 8
_RESERVED: Final = "FLEXAI_"
_MIB: Final = 1024 * 1024
_LEAST: Final = {"memory_bytes": 16 * _MIB, "cpu_seconds": 1, "max_processes": 1, "time_limit_seconds": 1}
_MOST: Final = {"memory_bytes": 2**50, "cpu_seconds": 2**31, "max_processes": 2**20, "time_limit_seconds": 2**31}


class JobLimits(NamedTuple):
    """What a job may use at most: bytes, seconds, a count; None is no limit."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    max_processes: int | None = None
    time_limit_seconds: int | None = None


def check_job(  # noqa: PLR0913 - one argument for each field of the form
    *,
    name: str,
    kind: str,
    command: Sequence[str],
    env: Mapping[str, str],
    limits: JobLimits,
    mounts: Sequence[str],
) -> None:
    """Raise Invalid, with an item for every field that is wrong."""
    found: list[ErrorItem] = []
    if re.fullmatch(NAME_PATTERN, name) is None:
        found.append({"field": "name", "detail": f"A name has {NAME_RULE}."})
    elif name.lower() == "new":
        found.append({"field": "name", "detail": "A job can't be called new: the form for new jobs has that address."})
    if kind not in Job.Kind.values:
        found.append({"field": "kind", "detail": f"A kind is one of {', '.join(Job.Kind.values)}."})
    found += _check_command(command)
    found += _check_env(env)
    found += _check_limits(limits)
    found += _check_mounts(mounts)
    if found:
        raise Invalid(" ".join(item["detail"] for item in found), errors=found)


def shown_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as it may be shown: what a variable's name says to be secret is not."""
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in env.items()}


def _check_command(command: Sequence[str]) -> Iterator[ErrorItem]:
    if not command or not command[0]:
        yield {"field": "command", "detail": "A job needs a command."}
    elif len(command) > MOST_ARGUMENTS or sum(len(word) for word in command) > MOST_BYTES:
        yield {"field": "command", "detail": f"A command has at most {MOST_ARGUMENTS} words and {MOST_BYTES:,} bytes."}
    if not all(_is_plain(word) for word in command):
        yield {"field": "command", "detail": "A command can't hold a NUL or half a character."}


def _check_env(env: Mapping[str, str]) -> Iterator[ErrorItem]:
    if len(env) > MOST_VARIABLES or sum(len(name) + len(value) for name, value in env.items()) > MOST_BYTES:
        detail = f"The environment has at most {MOST_VARIABLES} variables and {MOST_BYTES:,} bytes."
        yield {"field": "env", "detail": detail}
    for name, value in env.items():
        if _ENV_NAME.fullmatch(name) is None:
            detail = f"{name!r} can't be a variable's name: letters, digits and _, not a digit first."
            yield {"field": "env", "detail": detail}
        elif name.startswith(_RESERVED):
            yield {"field": "env", "detail": f"{name}: names that begin with {_RESERVED} are set by the server."}
        elif not _is_plain(value):
            yield {"field": "env", "detail": f"{name} can't hold a NUL or half a character."}


def _check_limits(limits: JobLimits) -> Iterator[ErrorItem]:
    for field, value in limits._asdict().items():
        if value is not None and not _LEAST[field] <= value <= _MOST[field]:
            yield {"field": field, "detail": f"This is at least {_LEAST[field]:,} and at most {_MOST[field]:,}."}


def _check_mounts(mounts: Sequence[str]) -> Iterator[ErrorItem]:
    if len(mounts) > MOST_DATASETS:
        yield {"field": "datasets", "detail": f"A job reads at most {MOST_DATASETS} datasets."}
    seen: set[str] = set()
    for index, name in enumerate(mounts):
        field = f"datasets.{index}.mount_name"
        if re.fullmatch(NAME_PATTERN, name) is None:
            yield {"field": field, "detail": f"A mount name has {NAME_RULE}."}
        elif name in seen:
            yield {"field": field, "detail": f"/input/{name} is there twice. Give one of them another mount name."}
        seen.add(name)


def _is_plain(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
