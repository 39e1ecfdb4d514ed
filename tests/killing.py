"""What kills a running application beside a drill, and starts it again."""

from __future__ import annotations

import random
import threading
from typing import ClassVar, Self

from tests.servers import LiveApplication


class Killer(threading.Thread):
    """Kills the whole application `kills` times, at moments that `chance` gives, and starts it again."""

    # The least and the most seconds before each kill.
    pauses: ClassVar[tuple[float, float]] = (0.5, 2)

    def __init__(self, application: LiveApplication, chance: random.Random, kills: int) -> None:
        super().__init__(daemon=True)
        self._application, self._chance, self._kills = application, chance, kills
        self.error: BaseException | None = None
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin to kill."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill no more: whatever ends the drill early, the application isn't started behind its back."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Kill at moments that differ within the drill, and are the same in every run of it."""
        try:
            for number in range(self._kills):
                if self._over.wait(self._chance.uniform(*self.pauses)):
                    return
                self.kill(number)
        except BaseException as error:
            self.error = error
            raise

    def kill(self, number: int) -> None:  # noqa: ARG002 - some kill in different ways
        """Kill once; `number` counts from 0."""
        self._application.kill()
        self._application.start()

    def check(self) -> None:
        """Raise what ended the thread too early: the server is away then, and stays away."""
        if self.error is not None:
            raise AssertionError("The server did not start again") from self.error
