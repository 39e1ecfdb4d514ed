"""The version that a push fills: a new one, or the one that the same push made before it was interrupted."""

from __future__ import annotations

import hashlib
import json
import uuid
from contextlib import suppress
from typing import Any

from flexai_cli.cache import Cache, Unfinished
from flexai_cli.errors import Problem
from flexai_cli.sealing import wait_until_sealed
from flexai_cli.session import Session
from flexai_cli.target import Target


def key_of(*about: object) -> str:
    """Name what makes two pushes the same one."""
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def ensure_dataset(session: Session, team: str, dataset: str) -> None:
    """Make the dataset; it is fine when somebody else was quicker."""
    try:
        session.create("teams", team, "datasets", body={"name": dataset})
    except Problem as error:
        if error.status != 409:  # noqa: PLR2004
            raise


class Draft:
    """The open version of the push `key`. `warnings` are sentences for the user."""

    def __init__(self, session: Session, team: str, dataset: str, cache: Cache, key: str) -> None:
        self._session = session
        self._team = team
        self._dataset = dataset
        self._cache = cache
        self._key = key
        self.warnings: list[str] = []

    @property
    def left_open(self) -> bool:
        """Whether an earlier push of the same files has ended without a seal, as it was told."""
        found = self._cache.unfinished(self._key)
        return found is not None and found.left_open

    def open(self, *, base: int | None, message: str) -> Target:
        """Return the version of the same push that was interrupted, or a new one."""
        found = self._cache.unfinished(self._key)
        if found is not None and found.number is not None:
            target = self._target(found.number)
            version = self.look(target)
            if version is not None and version["status"] in {"uploading", "error"}:
                if message and version["message"] != message:
                    label = f"{self._dataset}@{found.number}"
                    self.warnings.append(f"{label} was begun with the message {version['message']!r}, and keeps it.")
                return target
            found = None
        # The key is known before the version is: should the answer be lost, asking again makes no second one.
        found = found or Unfinished(str(uuid.uuid4()), None)
        self._cache.begin(self._key, found)
        body = {"base": base, "message": message}
        # Another message makes another request, which must not come with the same key.
        once = f"{found.creation}-{key_of(body)[:16]}"
        made = self._session.post("teams", self._team, "datasets", self._dataset, "versions", body=body, key=once)
        self._cache.begin(self._key, Unfinished(found.creation, made["number"]))
        return self._target(made["number"])

    def begun(self) -> Target | None:
        """Return the version that was begun, in whatever state it is."""
        found = self._cache.unfinished(self._key)
        return None if found is None or found.number is None else self._target(found.number)

    def look(self, target: Target) -> dict[str, Any] | None:
        """Look up a version; None when it is gone."""
        try:
            version: dict[str, Any] = self._session.get(*target.parts)
        except Problem as error:
            if error.status not in {404, 410}:
                raise
            return None
        return version

    def await_sealing(self) -> None:
        """Let a version become available whose push was interrupted after its last step."""
        target = self.begun()
        if target is not None:
            with suppress(Problem):
                if wait_until_sealed(target)["status"] == "available":
                    self.finish()

    def leave_open(self) -> None:
        """Note that the push has ended, and that the version shall stay open."""
        found = self._cache.unfinished(self._key)
        if found is not None:
            self._cache.begin(self._key, found._replace(left_open=True))

    def drop(self) -> None:
        """Abandon what was interrupted. What the user wanted to stay open is left alone."""
        if self.left_open:
            return
        target = self.begun()
        if target is not None:
            with suppress(Problem):
                self._session.post(*target.parts, "abandon")
        self.finish()

    def finish(self) -> None:
        """Forget it."""
        self._cache.finish(self._key)

    def _target(self, number: int) -> Target:
        return Target(self._session, self._team, self._dataset, number)
