"""A store of evaluations in SQLite, and the evaluator that looks there before it trains."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import MACHINE_FAILURES, Evaluation
from n2n_gym.evaluators.claims import Claims
from n2n_gym.evaluators.contract import Evaluator, Rung, WrappingEvaluator
from n2n_gym.student import Student
from n2n_gym.system.documents import parse_document, shown
from n2n_gym.system.files import writing

FORMAT = 2
"""Of a store's tables, as `PRAGMA user_version` says; one without a number is of the first, which had no checksums."""

_COLUMNS = ("key", "architecture", "context", "evaluation", "checksum")
_ONE = "SELECT key, architecture, context, evaluation, checksum FROM evaluations WHERE key = ?"
_PAGE = """
SELECT key, architecture, context, evaluation, checksum FROM evaluations WHERE key > CAST(? AS TEXT) ORDER BY key LIMIT ?
"""
_KEEP = "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?)"
_REPLACE = "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?)"
_SCHEMA = """
CREATE TABLE evaluations (
    key TEXT PRIMARY KEY,
    architecture TEXT NOT NULL,
    context TEXT NOT NULL,
    evaluation TEXT NOT NULL,
    checksum TEXT NOT NULL
) WITHOUT ROWID
"""

_log = logging.getLogger("n2n_gym")

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
        self.rows("SELECT 1")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path: Path = state["path"]
        self._connection: sqlite3.Connection | None = None
        self._damaged: set[str] = set()
        _stores.add(self)

    def get(self, key: str) -> Evaluation | None:
        """The evaluation under a key, if there is one.

        A row that is damaged is as good as none: that is said, and the next evaluation under its key takes its place.
        """
        rows = self.rows(_ONE, key)
        if not rows:
            return None
        try:
            return _Row.of(rows[0]).evaluation
        except InputError as error:
            if key not in self._damaged:
                self._damaged.add(key)
                _log.warning("a student in %s is trained again, for its row is damaged: %s", self.path, error)
            return None

    def put(self, key: str, architecture: Architecture, context: str, evaluation: Evaluation) -> None:
        """Keep an evaluation; the first one under a key stays, unless it is damaged.

        Raises:
            InputError: If a number of it is out of range, or it cannot be written.
        """
        made = json.dumps(evaluation.to_json())
        Evaluation.from_json(parse_document(made, dict[str, Any], "not an evaluation"))  # nothing wrong is remembered
        texts = (key, json.dumps(architecture.to_json()), context, made)
        self.rows(_REPLACE if key in self._damaged else _KEEP, *texts, _checksum(texts))
        self._damaged.discard(key)

    def __len__(self) -> int:
        [(count,)] = self.rows("SELECT COUNT(*) FROM evaluations")
        return int(count)

    def __iter__(self) -> Iterator[tuple[Architecture, dict[str, Any], Evaluation]]:
        """Every stored architecture with its context and evaluation; damaged rows are passed over, and that is said."""
        key, damaged = b"", 0
        while page := self.rows(_PAGE, key, PAGE):
            for row in page:
                try:
                    found = _Row.of(row)
                    yield found.architecture, found.context, found.evaluation
                except InputError:
                    damaged += 1
            key = page[-1][0]
        if damaged:
            _log.warning("%d rows of %s are damaged, and passed over", damaged, self.path)

    def close(self) -> None:
        """Close the file; whatever is asked of the store opens it again."""
        with _access:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """While nobody else writes; all that is written meanwhile is kept, or none of it."""
        with _access:
            self.rows("BEGIN IMMEDIATE")
            try:
                yield
                self.rows("COMMIT")
            except BaseException:
                if self._connection is not None and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a statement of SQL gives; texts are bytes.

        Raises:
            InputError: If the file cannot be used.
        """
        with _access:
            if self._connection is None:
                self._connection = _patiently_opened(self.path)
            try:
                return self._connection.execute(statement, values).fetchall()
            except _FAULTS as error:
                raise _unusable(self.path, error) from None


@dataclass(frozen=True)
class _Row:
    """What a row says, read and checked piece by piece as it is asked for."""

    texts: tuple[str, ...]

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> _Row:
        """A row of bytes, as SQLite has it.

        Raises:
            InputError: If something is missing or no text, or it is not what was written.
        """
        try:
            *texts, checksum = (bytes.decode(each) for each in row)
        except (TypeError, UnicodeDecodeError) as error:
            raise InputError(f"it holds something else than texts: {shown(error)}") from None
        if checksum and checksum != _checksum(texts):  # the first format had none
            raise InputError("its checksum is another")
        return cls(tuple(texts))

    @property
    def architecture(self) -> Architecture:
        try:
            return Architecture.from_json(parse_document(self.texts[1], dict[str, Any], "no architecture"))
        except ValueError as error:
            raise InputError(shown(error)) from None

    @property
    def context(self) -> dict[str, Any]:
        return parse_document(self.texts[2], dict[str, Any], "no context")

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation.from_json(parse_document(self.texts[3], dict[str, Any], "no evaluation"))


def _checksum(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


_stores: WeakSet[EvaluationStore] = WeakSet()


def _before_fork() -> None:
    """Close all files: SQLite forbids to use a connection, and even to close it, in a process that was forked since."""
    _access.acquire()
    for store in list(_stores):
        store.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_access.release, after_in_child=_access.release)


_FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""How SQLite fails at a damaged file; a damaged schema's message need not be text."""


def _unusable(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> InputError:
    """What a user is told of an error of SQLite."""
    if path.is_dir():
        return InputError(f"{path} is not a store of evaluations but a folder; name a file")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    goes_on = "what was finished is kept, and the same command goes on"
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return InputError(f"{path} stays locked by another program; end that, and the same command goes on")
        case sqlite3.SQLITE_FULL:
            return InputError(f"{path} cannot be written: no space left on device; make room there; {goes_on}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            remedy = "allow writing there, or name another store"
            return InputError(f"{path} cannot be written: {shown(error)}; {remedy}; {goes_on}")
        case sqlite3.SQLITE_IOERR:
            return InputError(f"{path} cannot be read or written: {shown(error)}; is its disk full or broken? {goes_on}")
        case sqlite3.SQLITE_CORRUPT:
            remedy = f"move it away, with {path.name}-wal and {path.name}-shm: its students are trained again"
            return InputError(f"{path} is damaged ({shown(error)}); {remedy}")
    return InputError(f"{path} is not a store of evaluations ({shown(error)}); move it away or name another")


def _patiently_opened(path: Path) -> sqlite3.Connection:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return _opened(path)
        except _FAULTS as error:
            # SQLite does not wait while another process turns a new file into a store
            if "locked" not in str(error) or time.monotonic() > until:
                raise _unusable(path, error) from None
        time.sleep(0.02)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes  # a damaged text is found where it is read, and stops nothing else
    try:
        _lay_out(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _lay_out(connection: sqlite3.Connection, path: Path) -> None:
    """Make a new file a store, and one of the first format one of this; refuse any other."""
    if _layout(connection) == (FORMAT, _COLUMNS):
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be doing the same
    try:
        version, columns = _layout(connection)
        [(tables,)] = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
        if (version, tables) == (0, 0):
            connection.execute(_SCHEMA)
        elif (version, columns) == (0, _COLUMNS[:-1]):
            connection.execute("ALTER TABLE evaluations ADD COLUMN checksum TEXT NOT NULL DEFAULT ''")
        elif version not in (0, FORMAT) and columns:
            raise InputError(
                f"{path} is a store of format {version}, this version reads {FORMAT}; use the version that wrote it, or name "
                "another store"
            )
        elif (version, columns) != (FORMAT, _COLUMNS):
            raise InputError(f"{path} is another program's database, not a store of evaluations; move it away or name another")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _layout(connection: sqlite3.Connection) -> tuple[int, tuple[str, ...]]:
    """The format that a file says it has, and the columns of its evaluations."""
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    columns = connection.execute("PRAGMA table_info(evaluations)").fetchall()
    return version, tuple(bytes(column[1] or b"").decode(errors="replace") for column in columns)


class StoredEvaluator(WrappingEvaluator):
    """Looks students up in a store and has another evaluator train only those that are not there.

    What another run is just training is waited for, not trained twice (`Claims`).

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
        wanted = {self._key(student): index for index, student in enumerate(students)}
        claims = Claims(self.store)
        while True:
            for key in list(wanted):
                if (known := self.store.get(key)) is not None:
                    yield wanted.pop(key), known
            if not wanted:
                return
            with claims.taken(wanted) as mine:
                for key, evaluation in self._trained({key: students[wanted[key]] for key in mine}):
                    yield wanted.pop(key), evaluation

    def _trained(self, students: dict[str, Student]) -> Iterator[tuple[str, Evaluation]]:
        """Have students trained, by key, and keep what they got."""
        if not students:
            return
        keys = list(students)
        for position, trained in self.inner.stream(list(students.values())):
            key = keys[position]
            evaluation = replace(trained, run=trained.run or self.run)  # an inner store may know it from another run
            self.keep(students[key], evaluation)
            yield key, evaluation

    def kept(self, student: Student) -> Evaluation | None:
        """What the store knows of a student."""
        return self.store.get(self._key(student))

    def keep(self, student: Student, evaluation: Evaluation) -> None:
        """Put a student's evaluation into the store, unless the machine failed."""
        if evaluation.reason not in MACHINE_FAILURES:
            self.store.put(self._key(student), student.architecture, self._context, evaluation)

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
