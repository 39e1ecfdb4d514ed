"""The database backend: SQLite as Django has it, but who waits to write goes on as soon as the writer before is done.

SQLite itself lets a writer that finds the database locked sleep, for longer each time, up to 100 ms: of four uploads
side by side each waited for a quarter of its time, some of them for 180 ms at once. Here the threads of a process queue
for a lock of their own, and only the first of them asks the database, every millisecond or two.

And statements are put into SQLite's own words once: those that write many rows are long, and Django reads each with a
regular expression whenever it runs.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import defaultdict
from functools import lru_cache
from typing import Any, Final

from django.db import OperationalError
from django.db.backends.sqlite3 import base
from typing_extensions import override

# Milliseconds that SQLite waits by itself before it says that the database is locked: it sleeps for 1, then for 2.
PATIENCE_MS: Final = 3
PRIMARY_CODE: Final = 0xFF
LOCKED: Final = "database is locked"
# Most are below a kilobyte, the longest some ten.
KNOWN_STATEMENTS: Final = 500

_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
# A thread that held one is not there in the child.
os.register_at_fork(after_in_child=_turns.clear)


@lru_cache(KNOWN_STATEMENTS)
def _with_question_marks(query: str) -> str:
    return str(base.FORMAT_QMARK_REGEX.sub("?", query)).replace("%%", "%")


class Cursor(base.SQLiteCursorWrapper):
    """A cursor that remembers how statements are written for SQLite."""

    @override
    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        if param_names is None:
            return _with_question_marks(query)
        return super().convert_query(query, param_names=param_names)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose transactions begin in turn; other statements wait as SQLite does."""

    _turn: threading.Lock | None = None

    # Set by Django out of OPTIONS; like the method below, it is missing in the stubs.
    transaction_mode: str | None

    @override
    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=Cursor)

    def _start_transaction_under_autocommit(self) -> None:
        """Begin a transaction, at the latest `timeout` seconds from now: else OperationalError."""
        patience = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        end = time.monotonic() + patience
        turn = _turns[str(self.settings_dict["NAME"])]
        if not turn.acquire(timeout=patience):
            raise OperationalError(LOCKED)
        try:
            self._begin(end, patience)
        except BaseException:
            turn.release()
            raise
        self._turn = turn

    def _begin(self, end: float, patience: float) -> None:
        with self.wrap_database_errors:
            self.connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
            try:
                while not self._try_begin(is_last=time.monotonic() >= end):
                    pass
            finally:
                self.connection.execute(f"PRAGMA busy_timeout={patience * 1000:.0f}")

    def _try_begin(self, *, is_last: bool) -> bool:
        try:
            self.connection.execute(f"BEGIN {self.transaction_mode or ''}")
        except sqlite3.OperationalError as error:
            if is_last or error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    @override
    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self._end_turn()

    @override
    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._end_turn()

    @override
    def close(self) -> None:
        try:
            super().close()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()
