"""Teacher and data, as options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from n2n_gym.problem import Problem


@dataclass(frozen=True, kw_only=True)
class ProblemOptions:
    """Teacher and data, as options of a command."""

    teacher: str = "conv4"
    """Network of the zoo (conv4, vgg11 ... vgg19, resnet18 ... resnet152), or an architecture's .json file."""
    dataset: str = "digits"
    """digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech256, or your own .npz file."""
    width: float = 1.0
    """Factor on the teacher's filters."""
    train_size: int | None = None
    """Number of training images; all by default."""

    @cached_property
    def problem(self) -> Problem:
        """What they name."""
        from n2n_gym.problem import Problem  # not for --help

        return Problem(self.teacher, self.dataset, self.width, self.train_size)
