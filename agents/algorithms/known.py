"""What a search knows: of any episode's student what costs no training, and how accurate those are that were trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.algorithms.episodic import keeps_limits
from agents.algorithms.plans import Plan, Plans, uniform_plans
from agents.algorithms.prior import AccuracyPrior, likened
from agents.algorithms.surrogate import Prospects, believed
from n2n_gym.architecture.summary import LENGTH, summary
from n2n_gym.envs.judge import Judge
from n2n_gym.evaluation import MACHINE_FAILURES
from n2n_gym.stages.base import Stage

Features = npt.NDArray[np.float64]

REMEMBERED = 100_000
"""Episodes that were looked at and are not looked at again."""

BROKEN = 0.5
"""What the accuracy of a student counts for that exceeds a limit other than on its accuracy."""

DRAWS = 200
"""Of an episode whose student is new and keeps the limits, before it is looked for elsewhere."""

ELSEWHERE = 100
"""Draws of any episode after these, before one is played that shows nothing new."""

SAMPLE = 128
"""Random students whose features say what much and little is."""


class Candidate(NamedTuple):
    """What is known of an episode's student before any training.

    Attributes:
        fingerprint: Equal for equal students.
        allowed: Whether training can make something of it (`Preview.allowed`).
        parameters: How many it has.
        worth: Its reward if it were as accurate as its teacher (`Preview.worth`).
        base: Its reward if it were never right (`Preview.base`).
        needed: The accuracy that it must have to keep limits on it (`Preview.needed`).
        features: Of it, as `Stage.described` gives them.
    """

    fingerprint: str
    allowed: bool
    parameters: int
    worth: float
    base: float
    needed: float
    features: Features


Drawn = tuple[Plan, Candidate]
"""An episode, and what is known of its student."""


class KnownStudents:
    """What a search knows of the students of a stage.

    Args:
        stage: Its decisions.
        judge: Who says what costs no training.

    Attributes:
        stage: Its decisions.
        prior: What is believed of accuracies before any student was trained; None for nothing.
        plans: Episodes whose students were trained, each student once, in order.
        accuracies: A / A_teacher of each, 0 for one that failed; `BROKEN` times that for one that exceeds a limit on what only
            training tells, other than on its accuracy.
        returns: What each brought.
        keeps: Whether each keeps all limits.
        teacher_accuracy: What accuracies are relative to; 1 as long as no student was evaluated.
    """

    def __init__(self, stage: Stage, judge: Judge) -> None:
        self.plans: list[Plan] = []
        self.accuracies: list[float] = []
        self.returns: list[float] = []
        self.keeps: list[bool] = []
        self.teacher_accuracy = 1.0
        self.stage = stage
        self.prior: AccuracyPrior | None = None
        self._judge = judge
        self._looked: dict[bytes, Candidate] = {}
        self._trained: dict[str, int] = {}
        self._failed: set[str] = set()  # is not saved: who goes on may have a machine that can
        self._believed: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.plans)

    def look(self, plan: Plan) -> Candidate:
        """What an episode's student is, without training it; the same episode is looked at once."""
        key = plan.tobytes()
        known = self._looked.get(key)
        if known is None:
            if len(self._looked) >= REMEMBERED:
                self._looked.clear()
            student = self.stage.student(plan.tolist())
            preview = self._judge.preview_of(student.architecture)
            features = self.stage.described(student)
            known = self._looked[key] = Candidate(
                *(preview.fingerprint, preview.allowed, preview.parameters),
                *(preview.worth, preview.base, preview.needed),
                features,
            )
        return known

    def new(self, plans: Iterable[Plan], besides: Collection[str] = ()) -> dict[str, Drawn]:
        """Those of some episodes whose students are worth a training: allowed, not trained yet nor failed here, each once.

        Args:
            plans: The episodes.
            besides: Fingerprints of further students that are not wanted.

        Returns:
            By the student's fingerprint.
        """
        found: dict[str, Drawn] = {}
        for plan in plans:
            student = self.look(plan)
            name = student.fingerprint
            if student.allowed and not (name in self._trained or name in self._failed or name in besides):
                found.setdefault(name, (plan, student))
        return found

    def add(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        """Take in what episodes brought: their returns, and their last steps' infos; truncated ones had no student."""
        told = (info["teacher_accuracy"] for info in infos if info["teacher_accuracy"])
        self.teacher_accuracy = float(next(told, self.teacher_accuracy))
        for plan, value, info in zip(plans, returns, infos, strict=True):
            student = self.look(plan)
            if min(info["actions"]) < 0 or student.fingerprint in self._trained:
                continue
            if info["reason"] in MACHINE_FAILURES:  # nothing is known of it, but that it fails here
                self._failed.add(student.fingerprint)
                continue
            self._trained[student.fingerprint] = len(self.plans)
            self.plans.append(plan.copy())
            self.returns.append(float(value))
            self.keeps.append(keeps_limits(info))
            if self.keeps[-1] and student.worth > student.base:
                accuracy = max((float(value) - student.base) / (student.worth - student.base), 0.0)
            else:
                accuracy = info["accuracy"] / self.teacher_accuracy
            broken = info["violated"] and info["accuracy"] >= student.needed
            self.accuracies.append(BROKEN * accuracy if broken else accuracy)

    def prospects(self, students: Sequence[Candidate]) -> Prospects:
        """What their rewards are, given their accuracies."""
        worth, base, needed = (np.array([getattr(each, name) for each in students]) for name in ("worth", "base", "needed"))
        return Prospects(worth, base, needed / self.teacher_accuracy)

    def fresh(self, draw: Callable[[], Plan], besides: Collection[str], rng: np.random.Generator) -> Plan:
        """A drawn episode whose student is worth a training (see `new`); after some draws in vain, whatever comes.

        Limits may leave little of what is drawn: the second half of `DRAWS` takes more and more of its decisions from an
        episode that is likely to end with the smallest student. Where all that is drawn was trained before, `ELSEWHERE`
        uniformly random episodes follow.

        Args:
            draw: Draws an episode.
            besides: Fingerprints of further students that are not wanted.
            rng: Random numbers.
        """
        for share in np.linspace(-1.0, 1.0, DRAWS):
            plan = draw()
            if share > 0:
                plan = np.where(rng.random(len(plan)) < share, self._smallest, plan)
            if self.new([plan], besides):
                return plan
        for _ in range(ELSEWHERE):
            [plan] = uniform_plans(self.stage, rng, 1)
            if self.new([plan], besides):
                break
        return plan

    @cached_property
    def _smallest(self) -> Plan:
        """The episode among `Stage.endings` with the smallest student that can be built."""
        whole = self.stage.teacher.parameters
        endings = [np.array(ending) for ending in self.stage.endings]
        return min(endings, key=lambda plan: self.look(plan).parameters if self.look(plan).features.any() else whole)

    def return_of(self, fingerprint: str) -> float | None:
        """What a student brought; None if it was not trained."""
        index = self._trained.get(fingerprint)
        return None if index is None else self.returns[index]

    @property
    def best(self) -> float:
        """The highest return of a student that is of use; 0 as long as there is none."""
        return max((value for value, keeps in zip(self.returns, self.keeps, strict=True) if keeps), default=0.0)

    def best_plans(self, count: int) -> list[Plan]:
        """At most so many episodes, those of the best students first; of use before others."""
        value = [*zip(self.keeps, self.returns, self.accuracies, strict=True)]
        order = sorted(range(len(self.plans)), key=value.__getitem__, reverse=True)
        return [self.plans[index] for index in order[:count]]

    def described(self, students: Sequence[Candidate]) -> Features:
        """What models predict the accuracy of students from, shape (students, columns).

        Features as standard scores among random students, without columns that never vary, and then what is believed of their
        accuracy (`AccuracyModel`), 0 without a prior.
        """
        centre, spread = self._scale
        varied = spread > 1e-9
        features = np.stack([student.features for student in students]) if students else np.zeros((0, len(spread)))
        scores = (features[:, varied] - centre[varied]) / spread[varied]
        return np.hstack([scores, self._beliefs(students)[:, None]])

    def _beliefs(self, students: Sequence[Candidate]) -> Features:
        if self.prior is None or not students:
            return np.zeros(len(students))
        new = {student.fingerprint: student for student in students if student.fingerprint not in self._believed}
        if new:
            rows = likened([student.features for student in new.values()], self._teacher)
            self._believed.update(zip(new, believed(self.prior.predict(rows)).tolist(), strict=True))
        return np.array([self._believed[student.fingerprint] for student in students])

    @cached_property
    def _teacher(self) -> Features:
        return summary(self.stage.teacher)

    @property
    def overall_columns(self) -> int:
        """How many of the columns of `described` are the summary's."""
        return int((self._scale[1][:LENGTH] > 1e-9).sum())

    @cached_property
    def _scale(self) -> tuple[Features, Features]:
        """Mean and standard deviation of the features of random students that can be built, the same for every search."""
        rng = np.random.default_rng(0)
        masks = self.stage.masks
        drawn = [np.where(masks, rng.random(masks.shape), -1.0).argmax(1) for _ in range(SAMPLE // 2)]
        drawn += [np.array(self.stage.trend(rng)) for _ in range(SAMPLE // 2)]
        looked = np.stack([each.features for each in map(self.look, drawn) if each.features.any()])
        return looked.mean(0), looked.std(0)

    def memory(self) -> dict[str, Tensor]:
        """Whom it knows, as tensors."""
        plans = np.array(self.plans, dtype=np.int64).reshape(-1, self.stage.decisions)
        return {
            "known.plans": torch.from_numpy(plans),
            "known.accuracies": torch.tensor(self.accuracies, dtype=torch.float64),
            "known.keeps": torch.tensor(self.keeps, dtype=torch.bool),
            "known.returns": torch.tensor(self.returns, dtype=torch.float64),
            "known.teacher_accuracy": torch.tensor(self.teacher_accuracy, dtype=torch.float64),
        }

    def remember(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `memory` returned."""
        self.plans = list(tensors["known.plans"].numpy())
        self.accuracies = tensors["known.accuracies"].tolist()
        self.returns = tensors["known.returns"].tolist()
        self.keeps = tensors["known.keeps"].tolist()
        self.teacher_accuracy = float(tensors["known.teacher_accuracy"])
        self._trained = {self.look(plan).fingerprint: index for index, plan in enumerate(self.plans)}
