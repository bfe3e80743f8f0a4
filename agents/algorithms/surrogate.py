"""Models of students' accuracy, and which student to train next by what they say."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Numbers = npt.NDArray[np.float64]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
"""Of Gauss-Hermite quadrature: expectations under a normal distribution."""

ROOM = 1.05
"""So many times its teacher's accuracy, or the best known, may a student have at most, for a model."""

LEAST, MOST = 0.02, 0.995
"""Between these shares of that a model takes accuracies to lie."""

SPREAD = 3.0
"""Distance between random students that the kernel's length scale is measured by."""

FITTED_ON = 200
"""Students that a Gaussian process's hyperparameters are fitted on, at most; it predicts from all."""


UNTRIED = 0.5
"""Standard deviation of the log-odds before any student was trained."""

TREES = 30

SURELY = 1e-3
"""Standard deviation of the log-odds where all trees agree."""


class Prospects(NamedTuple):
    """What is known of students' rewards but for their accuracies, shape (students,) each.

    Attributes:
        worth: Their rewards with their teacher's accuracy.
        base: Their rewards if they were never right; a reward lies on the line through both.
        needed: The accuracies, relative to the teacher's, from which on they keep limits on them; 0 without such limits.
    """

    worth: Numbers
    base: Numbers
    needed: Numbers

    @property
    def limited(self) -> bool:
        """Whether there are limits on the accuracy."""
        return bool(self.needed.any())

    def rewards(self, accuracies: Numbers) -> Numbers:
        """With these accuracies, relative to the teacher's, shape (..., students), while limits are kept."""
        return self.base + (self.worth - self.base) * accuracies


class AccuracyModel(ABC):
    """Predicts students' accuracy, with its uncertainty, from their features.

    Accuracies are predicted as log-odds of their share of what can be reached: between .97 and .98 there is as much to tell as
    between .4 and .5, and no student is better than perfect.

    The last column of features is what is believed of a student before any of this network's was trained, as log-odds of its
    share (`believed`); a model learns what is other than that.

    Args:
        overall: How many of the columns of features describe the whole student, the first ones; the others its layers.
    """

    def __init__(self, overall: int) -> None:
        self.overall = overall
        self.top = ROOM

    def fit(self, features: Numbers, accuracies: Sequence[float], rng: np.random.Generator) -> Self:
        """Learn from trained students, or from none.

        Args:
            features: Standard scores, and what is believed, shape (students, columns).
            accuracies: Relative to the teacher's, one a student.
            rng: Source of what is random in it.
        """
        self.top = ROOM * max([1.0, *accuracies])
        self._features, self._targets = features[:, :-1], _log_odds(np.array(accuracies) / self.top) - features[:, -1]
        if len(self._targets):
            self._fit(rng)
        return self

    @abstractmethod
    def _fit(self, rng: np.random.Generator) -> None:
        """Learn `_targets` from `_features`."""

    @abstractmethod
    def _again(self) -> None:
        """Learn from one more student, by what was found of the others before."""

    @abstractmethod
    def _predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        """What is expected of `_targets`, and its standard deviation, shape (students,) each."""

    def predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        """Expected log-odds and their standard deviations, shape (students,) each."""
        if not len(self._targets):
            return features[:, -1], np.full(len(features), UNTRIED)
        mean, deviation = self._predict(features[:, :-1])
        return mean + features[:, -1], deviation

    def believe(self, features: Numbers) -> None:
        """Take what is expected of a student for seen, shape (columns,): how several are chosen at a time."""
        if not len(self._targets):  # then one is as uncertain as the other
            return
        mean, _ = self._predict(features[None, :-1])
        self._features = np.vstack([self._features, features[:-1]])
        self._targets = np.append(self._targets, mean)
        self._again()

    def accuracies(self, features: Numbers, deviations: Numbers | float) -> Numbers:
        """Accuracies so many standard deviations of the log-odds above what is expected.

        Args:
            features: Of students, shape (students, columns).
            deviations: One number, or several, shape (numbers, 1).

        Returns:
            Shape (students,), or (numbers, students).
        """
        return self._reached(*self.predict(features), deviations)

    def kept(self, features: Numbers, prospects: Prospects) -> Numbers:
        """Probability that students are as accurate as limits want, shape (students,); 1 where no limit is on accuracy."""
        if not prospects.limited:
            return np.ones(len(features))
        return self._probability(*self.predict(features), prospects)

    def improvement(self, features: Numbers, prospects: Prospects, best: float) -> Numbers:
        """Expected improvement of the reward, which is known but for the accuracy, shape (students,).

        Times the probability that limits on the accuracy are kept (Gardner et al., 2014).

        Args:
            features: Of students that were not trained.
            prospects: Theirs.
            best: The reward to improve upon.
        """
        mean, deviation = self.predict(features)
        gains = WEIGHTS @ np.maximum(prospects.rewards(self._reached(mean, deviation, NODES[:, None])) - best, 0.0)
        return gains * self._probability(mean, deviation, prospects) if prospects.limited else gains

    def _reached(self, mean: Numbers, deviation: Numbers, deviations: Numbers | float) -> Numbers:
        """Accuracies so many standard deviations above what `predict` says."""
        return self.top / (1 + np.exp(-mean - deviations * deviation))

    def _probability(self, mean: Numbers, deviation: Numbers, prospects: Prospects) -> Numbers:
        """That limits on the accuracy are kept, by what `predict` says."""
        kept = ndtr((mean - _log_odds(prospects.needed / self.top)) / deviation)
        return np.where(prospects.needed > 0, kept, 1.0)


class GaussianProcess(AccuracyModel):
    """A Gaussian process with a Matern kernel on what a student is as a whole and what remains of each of its layers.

    Random students lie equally far from each other in both: one has many more columns than the other.
    """

    def _fit(self, rng: np.random.Generator) -> None:
        chosen = np.arange(len(self._targets))
        if len(chosen) > FITTED_ON:
            chosen = rng.choice(chosen, FITTED_ON, replace=False)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(3.0, (0.3, 100.0), nu=2.5) + WhiteKernel(0.1, (1e-4, 1.0))
        self._process = GaussianProcessRegressor(kernel, normalize_y=True)
        with warnings.catch_warnings():  # a hyperparameter at the end of its range is as good as one beyond
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(self._scaled(self._features)[chosen], self._targets[chosen])
        if len(chosen) < len(self._targets):
            self._again()

    def _again(self) -> None:
        self._process = GaussianProcessRegressor(self._process.kernel_, optimizer=None, normalize_y=True)
        self._process.fit(self._scaled(self._features), self._targets)

    def _predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        return self._process.predict(self._scaled(features), return_std=True)  # type: ignore[no-any-return]

    def _scaled(self, features: Numbers) -> Numbers:
        parts = (features[:, : self.overall], features[:, self.overall :])
        return np.hstack([SPREAD * part / max(part.shape[1], 1) ** 0.5 for part in parts])


class Forest(AccuracyModel):
    """A random forest; what its trees disagree in is taken for its uncertainty (Hutter et al., 2011)."""

    def _fit(self, rng: np.random.Generator) -> None:
        self._seed = int(rng.integers(2**31))
        self._again()

    def _again(self) -> None:
        self._forest = RandomForestRegressor(TREES, max_features=0.5, random_state=self._seed)
        self._forest.fit(self._features, self._targets)

    def _predict(self, features: Numbers) -> tuple[Numbers, Numbers]:
        given = features.astype(np.float32)  # what a forest makes of them anyway, for each tree
        trees = np.stack([tree.predict(given) for tree in self._forest.estimators_])
        return trees.mean(0), trees.std(0) + SURELY


def believed(accuracies: Numbers) -> Numbers:
    """Accuracies, relative to the teacher's, as log-odds of their share of what can be reached."""
    return _log_odds(accuracies / ROOM)


def _log_odds(share: Numbers) -> Numbers:
    share = np.clip(share, LEAST, MOST)
    found: Numbers = np.log(share / (1 - share))
    return found


def choose(model: AccuracyModel, features: Numbers, prospects: Prospects, best: float, count: int) -> list[int]:
    """Which students to train next: those with the highest expected improvement, if those before are as predicted.

    Args:
        model: What is believed now; in the end also that those chosen are as it predicted.
        features: Of the candidates, shape (candidates, columns).
        prospects: Theirs.
        best: The reward to improve upon.
        count: How many to choose.

    Returns:
        Their indices, at most as many as there are candidates.
    """
    chosen: list[int] = []
    for _ in range(min(count, len(features))):
        if chosen:
            model.believe(features[chosen[-1]])
        gains = model.improvement(features, prospects, best)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
    return chosen
