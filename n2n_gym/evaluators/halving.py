"""Successive halving: students that are ahead on the way are trained whole, the others as far as it takes to know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.contract import Evaluator, Rung, WrappingEvaluator
from n2n_gym.rewards import Reward
from n2n_gym.student import Student
from n2n_gym.system.files import OwnFolder

KEPT = 2**31
"""Bytes of stopped trainings that are kept, in case their students are asked for again."""


class HalvingEvaluator(WrappingEvaluator):
    """Trains the students of a batch until a rung, then at most the better half until the next, the best of all to the end.

    Rungs are 1, 2, 4, ... epochs. A training goes on from where it was stopped, so that none is done twice. The accuracy of a
    student that was stopped is predicted: what it had reached, and what those of its batch that went on have gained since, in
    the median, on a logistic scale; never more than the best that was trained whole. Its evaluation says so (`rung`).

    What a student gets depends on who was evaluated with it: equal batches get equal evaluations, and a store knows
    trainings until each rung, but no predictions.

    Stopped trainings lie in a folder of their own until it is closed, at the longest as long as it and its process live.

    Args:
        inner: Trains students, and can stop on the way.
        reward: What an evaluation is worth.

    Raises:
        InputError: If `inner` cannot stop on the way, or its trainings have one epoch.
    """

    def __init__(self, inner: Evaluator, reward: Reward) -> None:
        if inner.epochs < 2:
            raise InputError(
                "halving stops trainings on the way: it needs a recipe of at least two epochs, and processes of this machine"
            )
        self.inner = inner
        self._reward = reward
        self._states: OwnFolder | None = None

    def __getstate__(self) -> dict[str, Any]:  # a copy keeps its own trainings
        return {**self.__dict__, "_states": None}

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which the better half goes on."""
        return tuple(2**k for k in range(self.inner.epochs.bit_length()) if 2**k < self.inner.epochs)

    def context(self) -> dict[str, Any]:
        return {**super().context(), "rungs": list(self.rungs)}

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        if self._states is None:
            self._states = OwnFolder("halving")
        running = list(range(len(students)))
        reached: dict[int, dict[int, Evaluation]] = {}
        stopped: dict[int, list[int]] = {}
        for rung in self.rungs:
            ended = self._trained(students, running, rung)
            yield from ((index, each) for index, each in ended.items() if each.reason)
            reached[rung] = {index: each for index, each in ended.items() if not each.reason}
            running = self._ahead(students, reached[rung])
            stopped[rung] = [index for index in reached[rung] if index not in running]
        ended = self._trained(students, running, self.inner.epochs)
        yield from ended.items()
        whole = {index: each for index, each in ended.items() if not each.reason}
        best = max((each.accuracy for each in whole.values()), default=1.0)
        for rung, there in reached.items():
            gain = _gain([(there[index].accuracy, each.accuracy) for index, each in whole.items()])
            yield from ((index, _predicted(there[index], rung, gain, best)) for index in stopped[rung])
        self._tidy([students[index] for index in ended])

    def close(self) -> None:
        super().close()
        if self._states is not None:
            self._states.remove()
            self._states = None

    def _trained(self, students: Sequence[Student], running: list[int], epoch: int) -> dict[int, Evaluation]:
        assert self._states is not None
        inner = self.inner.until(Rung(epoch, self._states.path))
        return {running[place]: each for place, each in inner.stream([students[index] for index in running])}

    def _ahead(self, students: Sequence[Student], reached: dict[int, Evaluation]) -> list[int]:
        """At most the better half, but one, in the order that they came in; of equals, whoever's key comes first."""
        ranked = sorted(reached, key=lambda index: (-self._reward(reached[index]), self.key(students[index])))
        return sorted(ranked[: max(1, len(ranked) // 2)])

    def _tidy(self, whole: Sequence[Student]) -> None:
        """Remove trainings that have ended, and the oldest others if there are too many."""
        assert self._states is not None
        for student in whole:
            Rung(self.inner.epochs, self._states.path).file(self.key(student)).unlink(missing_ok=True)
        files = sorted(((file.stat(), file) for file in self._states.path.iterdir()), key=lambda each: -each[0].st_mtime)
        total = 0
        for facts, file in files:
            total += facts.st_size
            if total > KEPT:
                file.unlink()


def _gain(pairs: list[tuple[float, float]]) -> float:
    """What trainings gained from a rung to the end, in the median, on a logistic scale; 0 where none came there."""
    return median([_logit(end) - _logit(rung) for rung, end in pairs]) if pairs else 0.0


def _predicted(reached: Evaluation, rung: int, gain: float, most: float) -> Evaluation:
    accuracy = 1 / (1 + math.exp(-(_logit(reached.accuracy) + gain)))
    return replace(reached, accuracy=min(accuracy, most), rung=rung, rung_accuracy=reached.accuracy)


def _logit(accuracy: float, least: float = 1e-3) -> float:
    """Of an accuracy that is neither 0 nor 1: those are taken for almost so."""
    inside = min(max(accuracy, least), 1 - least)
    return math.log(inside / (1 - inside))
