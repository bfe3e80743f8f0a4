"""The benchmark's tables: what each is of, so that anybody can build it again."""

from __future__ import annotations

from dataclasses import dataclass

from n2n_gym.errors import by_name
from n2n_gym.problem import Problem
from n2n_gym.tables.files import table_names


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A table to be built.

    Attributes:
        teacher: Network of the zoo; episodes start from it.
        dataset: Its data.
        width: Factor on its filters.
        train_size: How many images teacher and students are trained on.
        stage: `removal` or `shrink`.
        recipe: How students are trained.
        trainings: How many times each student is trained.
        joined: Whether its trainings are joined to one network's.
    """

    teacher: str
    dataset: str
    width: float
    train_size: int | None
    stage: str
    recipe: str = "steady"
    trainings: int = 5
    joined: bool = True

    @property
    def problem(self) -> Problem:
        """Teacher and data."""
        return Problem(self.teacher, self.dataset, self.width, self.train_size)

    @property
    def name(self) -> str:
        """As the table is called."""
        return f"{self.problem.name}-{self.stage}"


_ALL = (
    Definition(teacher="conv2", width=0.25, dataset="fashion-mnist", train_size=1000, stage="shrink"),
    Definition(teacher="dscnn2", width=0.25, dataset="fashion-mnist", train_size=1000, stage="removal"),
    Definition(teacher="conv3", width=0.25, dataset="mnist", train_size=1000, stage="removal"),
    Definition(teacher="conv3", width=0.25, dataset="cifar10", train_size=1000, stage="removal"),
    Definition(teacher="resnet6", width=0.125, dataset="mnist", train_size=1000, stage="removal"),
    Definition(teacher="resnet6", width=0.125, dataset="cifar10", train_size=1000, stage="removal"),
)

DEFINITIONS = {definition.name: definition for definition in _ALL}
"""Spaces of 438 to 2,386 feasible students, each trained five times and judged on 10,000 test images: chains, residual blocks
and depthwise-separable ones, MNIST, Fashion-MNIST and CIFAR-10, both stages."""

DEVELOPMENT = ("conv4-digits-removal", "conv4-digits-shrink", "conv4-w0.25-fashion-mnist-n2000-removal")
"""Tables of the first edition: two or three trainings a student, those of digits judged on 359 test images. Settings are
chosen on them."""


def definition_by_name(name: str) -> Definition:
    """One of `DEFINITIONS`.

    Raises:
        InputError: If there is none of that name.
    """
    return by_name("table", name, DEFINITIONS)


def benchmark_tables(kind: str) -> list[str]:
    """The benchmark's tables that the package ships: to compare on (`test`), or to choose settings on (`development`)."""
    names = DEVELOPMENT if kind == "development" else tuple(DEFINITIONS)
    return [name for name in names if name in table_names()]
