"""Who trains which student of a store: where several want one, one trains it and the others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from n2n_gym.errors import InputError
from n2n_gym.system.processes import has_ended, this_process

if TYPE_CHECKING:
    from n2n_gym.evaluators.store import EvaluationStore

SIGN = 2.0
"""Seconds between two signs of life of who has claims."""

SILENCE = 60.0
"""Seconds without a sign of life after which claims lapse."""

LOOK = 0.2
"""Seconds between two looks of who waits."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, claimant TEXT NOT NULL, beat INTEGER NOT NULL) WITHOUT ROWID
"""
_ALL = "SELECT key, claimant, beat FROM claims"
_TAKE = "INSERT OR REPLACE INTO claims VALUES (?, ?, 0)"
_BEAT = "UPDATE claims SET beat = beat + 1 WHERE claimant = ?"
_DROP = "DELETE FROM claims WHERE claimant = ?"


class Claims:
    """Claims of one who asks a store's students (a run, or a thread of it) to train some of them.

    A claim is a row in the store's file, in a table that older versions pass over. It holds as long as its claimant gives
    signs of life, which are counted: no clocks are compared. It lapses at once where the claimant's process has ended and
    this machine can tell, and after a minute of silence where it was stopped.

    No two wait for each other: who waits has trained all that it had claimed. Where a store is around a store
    (`LatencyEvaluator`), who waits for students of the inner one may have claims of the outer one, never the other way round.

    Args:
        store: Where.
    """

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store
        self._thread = f"{this_process()} {threading.get_ident()} "  # which does not wait for what it has claimed itself
        self._name = self._thread + uuid4().hex
        self._beats: dict[str, int] = {}  # of other claimants, when we last looked
        self._quiet: dict[str, float] = {}  # seconds that they have been silent
        self._looked = time.monotonic()

    @contextmanager
    def taken(self, keys: Collection[str]) -> Iterator[list[str]]:
        """While the context lasts, those of some students are ours that nobody has evaluated and nobody else trains.

        Where there are none, it is time for another look when the context is over.
        """
        mine = self._take(keys)
        if not mine:
            yield mine
            time.sleep(LOOK)
            return
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beating.start()
        try:
            yield mine
        finally:
            over.set()
            beating.join()
            with suppress(InputError):  # what cannot be taken back lapses
                self._store.rows(_DROP, self._name)

    def _take(self, keys: Collection[str]) -> list[str]:
        self._store.rows(_SCHEMA)
        if self._claimed().issuperset(keys):
            return []
        with self._store.transaction():
            claimed = self._claimed()
            free = [key for key in keys if key not in claimed and self._store.get(key) is None]
            for claimant in filter(_has_ended, self._beats):
                self._store.rows(_DROP, claimant)
            for key in free:
                self._store.rows(_TAKE, key, self._name)
        return free

    def _claimed(self) -> set[str]:
        """What is claimed by others that are alive."""
        rows = [(_text(key), _text(claimant), beat) for key, claimant, beat in self._store.rows(_ALL)]
        beats = {claimant: beat for _, claimant, beat in rows if not claimant.startswith(self._thread)}
        now = time.monotonic()
        passed = min(now - self._looked, 2 * LOOK)  # nobody is silent while we do not listen
        self._looked = now
        self._quiet = {
            claimant: self._quiet.get(claimant, 0.0) + passed if self._beats.get(claimant) == beat else 0.0
            for claimant, beat in beats.items()
        }
        self._beats = beats
        alive = {claimant for claimant, quiet in self._quiet.items() if quiet <= SILENCE and not _has_ended(claimant)}
        return {key for key, claimant, _ in rows if claimant in alive}

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(SIGN):
            with suppress(InputError):  # a full disk, say: whoever writes an evaluation says so
                self._store.rows(_BEAT, self._name)


def _has_ended(claimant: str) -> bool:
    return has_ended(" ".join(claimant.split()[:3]))


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
