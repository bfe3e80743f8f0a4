"""A store of evaluations in SQLite, and the evaluator that looks there before it trains."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import MACHINE_FAILURES, Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung, WrappingEvaluator
from n2n_gym.student import Student

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    key TEXT PRIMARY KEY,
    architecture TEXT NOT NULL,
    context TEXT NOT NULL,
    evaluation TEXT NOT NULL
) WITHOUT ROWID
"""


PATIENCE = 60.0
"""Seconds to wait for other processes that write."""

PAGE = 1000
"""Evaluations that are read at a time."""

_access = threading.RLock()


class EvaluationStore:
    """Evaluations on disk; several processes may use one file at the same time, and several threads one store.

    A copy, and a process that is forked, opens the file for itself.

    Args:
        path: The SQLite file; made if it is not there.

    Raises:
        InputError: If the file is no store of evaluations.
    """

    def __init__(self, path: Path) -> None:
        self.__setstate__({"path": path})
        self._rows("SELECT 1")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path: Path = state["path"]
        self._connection: sqlite3.Connection | None = None
        _stores.add(self)

    def get(self, key: str) -> Evaluation | None:
        """The evaluation under a key, if there is one."""
        rows = self._rows("SELECT evaluation FROM evaluations WHERE key = ?", key)
        return Evaluation.from_json(json.loads(rows[0][0])) if rows else None

    def put(self, key: str, architecture: Architecture, context: str, evaluation: Evaluation) -> None:
        """Keep an evaluation; the first one under a key stays."""
        row = (key, json.dumps(architecture.to_json()), context, json.dumps(evaluation.to_json()))
        self._rows("INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?)", *row)

    def __len__(self) -> int:
        [(count,)] = self._rows("SELECT COUNT(*) FROM evaluations")
        return int(count)

    def __iter__(self) -> Iterator[tuple[Architecture, dict[str, Any], Evaluation]]:
        """Every stored architecture with its context and evaluation."""
        key = ""
        while page := self._rows("SELECT * FROM evaluations WHERE key > ? ORDER BY key LIMIT ?", key, PAGE):
            for _, architecture, context, evaluation in page:
                yield (
                    Architecture.from_json(json.loads(architecture)),
                    json.loads(context),
                    Evaluation.from_json(json.loads(evaluation)),
                )
            key = page[-1][0]

    def close(self) -> None:
        """Close the file; whatever is asked of the store opens it again."""
        with _access:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with _access:
            if self._connection is None:
                self._connection = _patiently_opened(self.path)
            return self._connection.execute(statement, values).fetchall()


_stores: WeakSet[EvaluationStore] = WeakSet()


def _before_fork() -> None:
    """Close all files: SQLite forbids to use a connection, and even to close it, in a process that was forked since."""
    _access.acquire()
    for store in list(_stores):
        store.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_access.release, after_in_child=_access.release)


def _patiently_opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return _opened(path)
        except sqlite3.DatabaseError as error:
            # SQLite does not wait while another process turns a new file into a store
            if "locked" not in str(error):
                raise InputError(f"{path} is not a store of evaluations ({error}); move it away or name another") from None
            if time.monotonic() > until:
                raise InputError(f"{path} stays locked by another program") from None
        time.sleep(0.02)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(_SCHEMA)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


class StoredEvaluator(WrappingEvaluator):
    """Looks students up in a store and has another evaluator train only those that are not there.

    The key is the architecture and all that its evaluation depends on: teacher, data set and split, recipe, seed,
    library versions.

    Args:
        inner: Trains the students.
        path: The store's file.
        run: Name to mark the students with that are trained here.
    """

    def __init__(self, inner: Evaluator, path: Path, *, run: str = "") -> None:
        self.inner = inner
        self.run = run
        self._path = path
        self._open: EvaluationStore | None = None

    @property
    def store(self) -> EvaluationStore:
        """The store; opened when first needed."""
        if self._open is None:
            self._open = EvaluationStore(self._path)
        return self._open

    def until(self, rung: Rung) -> Evaluator:
        _ = self.store  # which both share
        stopping = super().until(rung)
        stopping.__dict__.pop("_context", None)
        return stopping

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        missing = []
        for index, student in enumerate(students):
            known = self.store.get(self._key(student))
            if known is None:
                missing.append(index)
            else:
                yield index, known
        if not missing:
            return
        for position, trained in self.inner.stream([students[i] for i in missing]):
            student = students[missing[position]]
            evaluation = replace(trained, run=trained.run or self.run)  # an inner store may know it from another run
            if evaluation.reason not in MACHINE_FAILURES:
                self.store.put(self._key(student), student.architecture, self._context, evaluation)
            yield missing[position], evaluation

    def known(self) -> Iterator[tuple[Architecture, Evaluation]]:
        """The students in the store that were evaluated as this evaluator does."""
        context = json.loads(self._context)
        for student, theirs, evaluation in self.store:
            if theirs == context:
                yield student, evaluation

    def close(self) -> None:
        super().close()
        if self._open is not None:
            self._open.close()
            self._open = None

    @cached_property
    def _context(self) -> str:
        return json.dumps(self.context(), sort_keys=True)

    def _key(self, student: Student) -> str:
        return hashlib.sha256(f"{self.key(student)} {self._context}".encode()).hexdigest()
