"""A model of all students of a space, learned from some that were trained, in place of a table (Zela et al., 2022)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import EVALUATORS, EvaluationSettings, Evaluator, Order
from n2n_gym.student import Student
from n2n_gym.system.files import state_of
from n2n_gym.tables.evaluator import other_recipe
from n2n_gym.tables.sample import Sample

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingRegressor

Numbers = npt.NDArray[np.float64]

MODELS = 3
"""Ensembles of trees whose mean is the prediction; one follows single students too closely."""

FOLDS = 5

LEAST = 0.01
"""No accuracy is taken for nearer than this to 0 or 1 where it becomes log-odds."""

EDITION = 2
"""Of how accuracies are predicted and noise is drawn: what searches saw in another one is not to be compared."""

ALIKE, FEWEST_ALIKE = 0.1, 20
"""Share of a sample's students, and the fewest of them, that say how far others may be off of whom as much is expected."""

SPARSE = 0.001
"""Accuracies are rounded to this for Kendall's tau, so that differences which are noise do not count."""

TOP = 0.1
"""Share of students that are judged apart, for a search is about them."""


@dataclass(frozen=True)
class Agreement:
    """How well a model predicts students that it has not seen.

    Attributes:
        r2: Share of the variance of the log-odds of their accuracies that it explains.
        tau: Kendall's rank correlation to their accuracies rounded to `SPARSE`.
        top_tau: The same among the `TOP` best of them.
        again: Of tau, what another training of the same students has; None if that is not known.
    """

    r2: float
    tau: float
    top_tau: float
    again: float | None = None

    @classmethod
    def of(cls, predicted: Numbers, seen: Numbers) -> Agreement:
        """How well accuracies were predicted, both of shape (students,)."""
        top = seen >= np.quantile(seen, 1 - TOP)
        expected, found = _log_odds(predicted), _log_odds(seen)
        left, whole = (float(np.square(each).sum()) for each in (found - expected, found - found.mean()))
        return cls(r2=1 - left / max(whole, 1e-12), tau=_tau(predicted, seen), top_tau=_tau(predicted[top], seen[top]))


class Surrogate:
    """Predicts accuracies of a space's students by gradient-boosted trees.

    It is fitted when it is first asked, which takes a second, so that what is shipped is plain data.

    Args:
        sample: Students that were trained.
        truth: Whether it predicts test accuracies of their last training; otherwise validation accuracies of all but that.
    """

    def __init__(self, sample: Sample, *, truth: bool = False) -> None:
        self.sample = sample
        self.truth = truth

    @property
    def teacher_accuracy(self) -> float:
        """The teacher's, on the images that it predicts accuracies on."""
        return self.sample.test_accuracy if self.truth else self.sample.val_accuracy

    def accuracies(self, students: Sequence[Student]) -> Numbers:
        """What students are expected to have, shape (students,)."""
        stage = self.sample.decisions
        return self.predict(np.stack([stage.described(student) for student in students]))

    def predict(self, rows: Numbers) -> Numbers:
        """The same of students that are `described`, shape (students, columns)."""
        return _share(self._predicted(self._models, rows))

    def spread(self, accuracies: Numbers) -> Numbers:
        """How far students are from what is expected of them, as a standard deviation of log-odds, shape (students,).

        It is that of the sample's students of whom about as much is expected, by models that have not seen them: crippled
        students are hard to predict, and good ones differ by little more than two trainings of one do.

        Args:
            accuracies: What is expected, shape (students,).
        """
        order = np.argsort(self._unseen)
        alike = min(max(round(ALIKE * len(order)), FEWEST_ALIKE), len(order))
        places = np.searchsorted(self._unseen[order], _log_odds(accuracies))
        first = np.clip(places - alike // 2, 0, len(order) - alike)
        sums = np.concatenate([[0.0], np.cumsum(np.square(self._targets - self._unseen)[order])])
        return np.sqrt((sums[first + alike] - sums[first]) / alike)  # type: ignore[no-any-return]

    @cached_property
    def agreement(self) -> Agreement:
        """By cross-validation over the sample's students."""
        last = np.array([student.test_accuracy[-1] for student in self.sample.students])
        before = np.array([np.mean(student.test_accuracy[:-1]) for student in self.sample.students])
        return replace(Agreement.of(_share(self._unseen), self._accuracies), again=_tau(before, last))

    @cached_property
    def _features(self) -> Numbers:
        stage = self.sample.decisions
        return np.stack([stage.described(stage.student(student.episode)) for student in self.sample.students])

    @cached_property
    def _accuracies(self) -> Numbers:
        if self.truth:
            return np.array([student.test_accuracy[-1] for student in self.sample.students])
        return np.array([np.mean(student.accuracy[:-1]) for student in self.sample.students])

    @cached_property
    def _targets(self) -> Numbers:
        return _log_odds(self._accuracies)

    @cached_property
    def _models(self) -> list[GradientBoostingRegressor]:
        return _fitted(self._features, self._targets)

    @cached_property
    def _unseen(self) -> Numbers:
        """Of each of the sample's students, what a model says that has not seen it, as log-odds."""
        from sklearn.model_selection import KFold

        found = np.empty(len(self._targets))
        folds = KFold(min(FOLDS, len(found)), shuffle=True, random_state=0)
        for seen, held in folds.split(self._features):
            found[held] = self._predicted(_fitted(self._features[seen], self._targets[seen]), self._features[held])
        return found

    @staticmethod
    def _predicted(models: Sequence[GradientBoostingRegressor], rows: Numbers) -> Numbers:
        return np.mean([model.predict(rows) for model in models], axis=0)  # type: ignore[no-any-return]


def _fitted(rows: Numbers, targets: Numbers) -> list[GradientBoostingRegressor]:
    from sklearn.ensemble import GradientBoostingRegressor  # here: it takes a second, and most evaluators need none

    settings: dict[str, Any] = {
        "n_estimators": 150,
        "learning_rate": 0.06,
        "max_depth": 3,
        "subsample": 0.7,
        "max_features": 0.5,
    }
    return [GradientBoostingRegressor(random_state=seed, **settings).fit(rows, targets) for seed in range(MODELS)]


def _log_odds(share: Numbers) -> Numbers:
    share = np.clip(share, LEAST, 1 - LEAST)
    log_odds: Numbers = np.log(share / (1 - share))
    return log_odds


def _share(log_odds: Numbers) -> Numbers:
    share: Numbers = 1 / (1 + np.exp(-log_odds))
    return share


def _tau(predicted: Numbers, seen: Numbers) -> float:
    from scipy.stats import kendalltau

    if len(seen) < 2:  # nothing is ranked
        return 0.0
    found = kendalltau(np.round(predicted / SPARSE), np.round(seen / SPARSE)).statistic
    return 0.0 if np.isnan(found) else float(found)


class SurrogateEvaluator(Evaluator):
    """Answers with a model's prediction, and noise as trainings have it: the same student has the same, whoever asks.

    Args:
        surrogate: The model.
        seed: Draws the noise; None for none.
    """

    def __init__(self, surrogate: Surrogate, seed: int | None = 0) -> None:
        self.surrogate = surrogate
        self.seed = seed

    @property
    def teacher(self) -> Architecture:
        return self.surrogate.sample.teacher

    def context(self) -> dict[str, Any]:
        sample = self.surrogate.sample
        return {"evaluator": "surrogate", "sample": sample.name, "recipe": sample.recipe, "seed": self.seed}

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        sample = self.surrogate.sample
        accuracies = self.surrogate.accuracies(students)
        if self.seed is not None:
            luck = np.array([self._luck(student) for student in students])
            accuracies = _share(_log_odds(accuracies) + self.surrogate.spread(accuracies) * luck)
        against: dict[str, Any] = {"teacher_accuracy": self.surrogate.teacher_accuracy}
        for index, (student, accuracy) in enumerate(zip(students, accuracies.tolist(), strict=True)):
            yield index, Evaluation.of(student.architecture, sample.teacher, accuracy=accuracy, **against)

    def _luck(self, student: Student) -> float:
        """A student's, in standard deviations."""
        drawn = hashlib.sha256(f"{self.seed} {student.architecture.fingerprint}".encode()).digest()
        return float(np.random.default_rng(int.from_bytes(drawn[:8], "little")).standard_normal())


def uses_surrogate(settings: EvaluationSettings) -> bool:
    """Whether settings have students predicted."""
    if isinstance(settings.evaluator, str):
        return EVALUATORS.look_up(settings.evaluator)[0] is _surrogate_evaluator
    return isinstance(settings.evaluator, SurrogateEvaluator)


def surrogate_in(path: Path, *, truth: bool = False) -> Surrogate:
    """The model of a sample's file; one that was asked for before is not fitted again.

    Args:
        path: The file.
        truth: As of `Surrogate`.

    Raises:
        InputError: If it is none.
    """
    try:
        state = state_of(path)
    except OSError:
        return Surrogate(Sample.load(path), truth=truth)  # what is wrong is said there
    return _surrogate(path.resolve(), state, truth)


@lru_cache(maxsize=64)
def _surrogate(path: Path, _state: tuple[int, ...], truth: bool) -> Surrogate:
    return Surrogate(Sample.load(path), truth=truth)


def _surrogate_evaluator(settings: EvaluationSettings, order: Order) -> Evaluator:
    surrogate = surrogate_in(Path(order.argument or settings.teacher).expanduser())
    sample = surrogate.sample
    problem = settings.problem
    wanted = (problem.architecture, problem.dataset, problem.train_size)
    if wanted != (sample.teacher, sample.dataset, sample.train_size):
        size = "" if sample.train_size is None else f", train_size={sample.train_size}"
        raise InputError(f"{sample.name} is of another teacher, or of dataset={sample.dataset!r}{size}")
    if sample.data and sample.data != problem.data.identity:
        read = ", ".join(f"{name}={value!r}" for name, value in asdict(sample.reading).items())
        raise InputError(f"{sample.name} is of other images than those of {sample.dataset}, or they were read with {read}")
    problem.check_teacher(sample.identity, sample.name)
    if settings.recipe != sample.recipe:
        raise InputError(f"{sample.name} was made by {other_recipe(sample.recipe, settings.recipe)}")
    if order.stage is not None and order.stage.name != sample.stage:
        raise InputError(f"{sample.name} is of stage {sample.stage}, not {order.stage.name}")
    if order.stage is not None and order.stage.base != sample.teacher:
        raise InputError(f"{sample.name} is of episodes that start from the teacher, and these start from a student of it")
    if isinstance(settings.seed, str):
        raise InputError(f"with evaluator='surrogate' the seed is a number that draws the noise, not {settings.seed!r}")
    return SurrogateEvaluator(surrogate, settings.seed)


EVALUATORS.register("surrogate", _surrogate_evaluator, argument="FILE.json")
