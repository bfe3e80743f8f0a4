"""How students are evaluated, as arguments and options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2n_gym.data import DataSettings
from n2n_gym.errors import InputError
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.problem import ProblemSettings
from n2n_gym.settings import DeviceSettings, RecipeSettings, WorkerSettings, values_of
from n2n_gym.system.documents import shown


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(DeviceSettings, RecipeSettings):
    """How one student is trained."""

    timeout: float | None = None
    """Seconds after which a student's training is given up, looked at after each epoch; never by default."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(WorkerSettings, TrainingSettings, ProblemSettings):
    """What is compressed, and how its students are evaluated: all that an evaluator is made of."""

    evaluator: str | Evaluator = "distillation"
    """Who evaluates students: distillation trains them; halving trains those whole that are ahead on the way, and
    predicts what the others would reach; table looks them up in a table of the package (n2n table list), and
    table:FILE.npz in your own; surrogate predicts them from the sample of students that the teacher's file is, or
    surrogate:FILE.json; or an evaluator that you registered (n2n_gym.evaluators.EVALUATORS)."""
    seed: int | str | None = None
    """Of the students' trainings, 0 by default. With a table: which trainings count, the mean of those that a search may see
    (search, by default), one of them drawn for each episode (draw), the mean of all (mean), or one seed's."""
    workers: int | str | None = 0
    store: str | Path | None = None
    """SQLite file of evaluated students to look students up in and keep them in."""
    latency_batch_size: int | None = None
    """Images in the forward pass that latency_ms is measured on; it is measured if a limit needs it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.teacher
        if not isinstance(given, str):  # in Python a module may be given itself: it is kept, and settings stay plain text
            from torch import nn

            from n2n_gym.teachers import keep

            if not isinstance(given, nn.Module):
                raise InputError(f"teacher must be text or a torch module, not {shown(repr(given))}")
            if self.dataset is None:
                raise InputError("a torch module as teacher needs the data set that it is for: dataset")
            object.__setattr__(self, "teacher", keep(given, self.dataset, DataSettings(**values_of(self, DataSettings))))
