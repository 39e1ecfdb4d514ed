"""What every runner offers, and the words in which a run is described. Nothing here knows Django or a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

INPUT_DIR: Final = "/input"
OUTPUT_DIR: Final = "/output"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine that the run sees, read-only, at `/input/<name>`."""

    name: str
    host_path: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use at most; None means no limit of its own. Each holds for the run's processes together."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    max_processes: int | None = None
    time_limit_seconds: int | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run. `output_dir` and the folder of `log_path` exist already, and no job can write beside them."""

    name: str
    command: tuple[str, ...]
    output_dir: Path
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    allow_network: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `cause` is one sentence for the user, empty after success; `exit_code` is None without one."""

    exit_code: int | None
    cause: str = ""
    stopped: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the command ran to its end and returned 0."""
        return self.exit_code == 0 and not self.cause and not self.stopped


class RunError(Exception):
    """The run could not be started; the text says why, in words for the user."""


class Run(ABC):
    """A run that has been started.

    `state` is plain JSON: with it `Runner.end` finds the run again after the process that started it has died.
    """

    state: Mapping[str, Any]

    @abstractmethod
    def wait(self, *, should_stop: Callable[[], bool], heartbeat: Callable[[], None]) -> Outcome:
        """Supervise until the run ends; nothing of it is left running afterwards, however this returns.

        Both callbacks are called about once a second. An exception in one of them ends the run and is passed on.
        """


class Runner(ABC):
    """Executes runs. A new kind is one file and one line in the registry."""

    takes_image: ClassVar[bool] = False
    """Whether a run can be given a container image; where it can't, a job that names one is refused."""

    @abstractmethod
    def check(self) -> str | None:
        """Return why nothing can run here and what to do about it, or None when all is well."""

    @abstractmethod
    def start(self, spec: RunSpec) -> Run:
        """Start a run. Call `wait` from the same thread. Raises RunError."""

    @abstractmethod
    def end(self, state: Mapping[str, Any]) -> None:
        """End what is left of a run whose supervisor died. Harmless when nothing is."""
