"""A store of evaluations in SQLite, and the evaluator that looks there before it trains."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import MACHINE_FAILURES, Evaluation
from n2n_gym.evaluators.contract import Evaluator, WrappingEvaluator
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


class EvaluationStore:
    """Evaluations on disk; several processes may use one file at the same time.

    Args:
        path: The SQLite file; made if it is not there.

    Raises:
        InputError: If the file is no store of evaluations.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._connection = _opened(path)
                return
            except sqlite3.DatabaseError as error:
                # SQLite does not wait while another process turns a new file into a store
                if "locked" not in str(error):
                    raise InputError(f"{path} is not a store of evaluations ({error}); move it away or name another") from None
                if time.monotonic() > until:
                    raise InputError(f"{path} stays locked by another program") from None
            time.sleep(0.02)

    def get(self, key: str) -> Evaluation | None:
        """The evaluation under a key, if there is one."""
        row = self._connection.execute("SELECT evaluation FROM evaluations WHERE key = ?", (key,)).fetchone()
        return None if row is None else Evaluation.from_json(json.loads(row[0]))

    def put(self, key: str, architecture: Architecture, context: str, evaluation: Evaluation) -> None:
        """Keep an evaluation; the first one under a key stays."""
        row = (key, json.dumps(architecture.to_json()), context, json.dumps(evaluation.to_json()))
        self._connection.execute("INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?)", row)

    def __len__(self) -> int:
        count: int = self._connection.execute("SELECT COUNT(*) FROM evaluations").fetchone()[0]
        return count

    def __iter__(self) -> Iterator[tuple[Architecture, dict[str, Any], Evaluation]]:
        """Every stored architecture with its context and evaluation."""
        for architecture, context, evaluation in self._connection.execute(
            "SELECT architecture, context, evaluation FROM evaluations ORDER BY key"
        ):
            yield (
                Architecture.from_json(json.loads(architecture)),
                json.loads(context),
                Evaluation.from_json(json.loads(evaluation)),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
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
