"""What accuracies a network's students are likely to have, learned from students of other networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor

from n2n_gym.architecture.summary import LENGTH
from n2n_gym.errors import InputError
from n2n_gym.system.arrays import read_archive
from n2n_gym.system.files import write_whole

Numbers = npt.NDArray[np.float64]

FILE = "accuracy.npz"
"""Beside the policies that learned on the same networks."""

REMEDY = "get it again from where it came"

PARTS = ("rows", "accuracies")

PRIOR = "prior."
"""Begins the names of its tensors among a policy's."""

COLUMNS = 2 * LENGTH + 5


class AccuracyPrior:
    """Predicts students' accuracies, relative to their teacher's, on networks that it has not seen.

    Args:
        rows: `likened` of students that were trained, shape (students, columns).
        accuracies: Relative to their teachers', shape (students,).
    """

    def __init__(self, rows: Numbers, accuracies: Numbers) -> None:
        self.rows, self.accuracies = (each.astype(np.float32) for each in (rows, accuracies))  # as its file has them

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; the trees are grown when they are first asked, so that nothing that is read can run.

        Raises:
            InputError: If it is missing or damaged.
        """
        found = read_archive(path, what="file of students of other networks", remedy=REMEDY)
        try:
            return cls._of(found)
        except ValueError as error:
            raise InputError(f"{path} {error}; {REMEDY}") from None

    @classmethod
    def within(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """What a saved policy has in its own file (see `memory`); None if there is nothing.

        Raises:
            ValueError: If it is damaged.
        """
        found = {name.removeprefix(PRIOR): part.numpy() for name, part in tensors.items() if name.startswith(PRIOR)}
        return cls._of(found) if found else None

    @classmethod
    def _of(cls, found: Mapping[str, Numbers]) -> Self:
        rows, accuracies = (found.get(name, np.empty(0)) for name in PARTS)
        shapes = (len(accuracies), COLUMNS), (len(rows),)
        fits = (rows.shape, accuracies.shape) == shapes and len(rows) and rows.dtype.kind == accuracies.dtype.kind == "f"
        if not fits or not (np.isfinite(rows).all() and np.isfinite(accuracies).all()):
            raise ValueError("holds no students of other networks, or of another version")
        return cls(rows, accuracies)

    def save(self, path: Path) -> None:
        """Write the students that it learned from."""

        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.savez_compressed(file, rows=self.rows, accuracies=self.accuracies)

        write_whole(path, write)

    def memory(self) -> dict[str, Tensor]:
        """The students that it learned from, as tensors: they go with a policy that is saved."""
        return {
            f"{PRIOR}{name}": torch.from_numpy(part) for name, part in zip(PARTS, (self.rows, self.accuracies), strict=True)
        }

    def predict(self, rows: Numbers) -> Numbers:
        """Expected accuracies, relative to the teacher's, shape (students,).

        Args:
            rows: `likened` of each, shape (students, columns).
        """
        found: Numbers = self._trees.predict(rows.astype(np.float32))
        return found

    @cached_property
    def _trees(self) -> ExtraTreesRegressor:
        trees = ExtraTreesRegressor(200, max_features=0.5, min_samples_leaf=2, random_state=0)
        return trees.fit(self.rows, self.accuracies)


def likened(features: Sequence[Numbers], teacher: Numbers) -> Numbers:
    """Students as they can be likened to those of other networks, shape (students, columns).

    Args:
        features: Of each the summary, and what remains of each decision (`Candidate.features`).
        teacher: The teacher's summary.

    Returns:
        The summary, how far it is from the teacher's, and mean and quartiles of what remains: others have other decisions.
    """
    found = []
    for each in features:
        own, remains = each[:LENGTH], each[LENGTH:]
        found.append(np.concatenate([own, own - teacher, [remains.mean()], np.quantile(remains, (0.0, 0.25, 0.5, 0.75))]))
    return np.stack(found)


def prior_beside(policy: Path) -> AccuracyPrior | None:
    """What lies beside a policy; None if there is nothing."""
    path = policy.with_name(FILE)
    return AccuracyPrior.load(path) if path.is_file() else None
