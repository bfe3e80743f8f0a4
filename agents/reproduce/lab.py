"""Runs the experiments of one table or figure: compression runs in folders of their own, each of which can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.display import Display
from agents.reproduce.document import Document
from agents.search.compress import compress
from agents.search.history import Episode, read_history
from agents.search.options import Search
from agents.search.run_folder import RunFolder, read_start
from n2n_gym.data import load_dataset
from n2n_gym.errors import InputError, by_name

ONCE = Search(
    agent="reinforce",
    recipe="paper",
    students=None,
    starts=1,
    finalists=1,
    final_trainings=1,
    unsearched=False,
    beside=(),
    speed=False,
)
"""The paper's plain method. It trains its student once, and its tables have their own networks to set beside it."""

PAPER, PACKAGE = "paper's method", "package's method"
METHODS: dict[str, dict[str, Any]] = {PAPER: {}, PACKAGE: {"agent": "dyna", "recipe": "fast", "starts": 3, "finalists": 3}}
"""What searches are done by, and what each does otherwise than `ONCE`; both have as many policy updates."""


@dataclass(frozen=True)
class Limited:
    """A teacher of table 4 at some scale.

    Attributes:
        width: Factor on its filters.
        parameters: What its students may have at most.
    """

    width: float
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of the paper's protocol is run.

    Attributes:
        dataset: Instead of every data set; None for the paper's.
        widths: Factor on the filters of each network family.
        search: What all compression runs have in common.
        methods: The searches of tables 1 to 4, of `METHODS`.
        seeds: Runs that a mean is taken over.
        transfer_train_size: Training images of transfer's many students; None for all.
        source_iterations: Policy updates after which a policy is transferred to another teacher.
        first_updates: Policy updates that transfer is judged on.
        limited: Table 4's teachers and the limits on their students.
        limited_iterations: Policy updates in each stage of table 4; limits are hard after 15.
        prunings: Times that the pruning baseline is run; the paper reports the best of 5.
        about: One sentence for the document.
    """

    dataset: str | None
    widths: dict[str, float]
    search: Search
    methods: tuple[str, ...] = (PAPER, PACKAGE)
    seeds: int
    transfer_train_size: int | None
    source_iterations: int
    first_updates: int
    limited: dict[str, Limited]
    limited_iterations: int
    prunings: int
    about: str


SCALES = {
    "tiny": Scale(
        dataset="digits",
        widths={"conv4": 0.25, "vgg": 0.05, "resnet": 0.05},
        search=replace(ONCE, train_size=60, iterations=2, rollouts=2, finalists=2),
        seeds=2,
        transfer_train_size=60,
        source_iterations=3,
        first_updates=2,
        limited={"vgg13": Limited(0.05, 5_000), "vgg19": Limited(0.05, 10_000)},
        limited_iterations=2,
        prunings=1,
        about="a test of the program on 60 images of digits in the place of every data set of the paper, with networks a "
        "twentieth as wide (Conv4 a quarter): nothing here can be compared with the paper",
    ),
    "cpu": Scale(
        dataset=None,
        widths={"conv4": 1.0, "vgg": 0.125, "resnet": 0.125},
        search=replace(ONCE, train_size=1_000, iterations=20),
        seeds=5,
        transfer_train_size=500,
        source_iterations=15,
        first_updates=10,
        limited={"vgg13": Limited(0.5, 20_000), "vgg19": Limited(0.125, 15_625)},
        limited_iterations=100,
        prunings=5,
        about="1,000 training images, networks an eighth as wide (Conv4 as it is), 20 policy updates a stage, where nothing "
        "else is said; the paper's method is the paper's agent, recipe and one final training, the package's `dyna`, recipe "
        "`fast`, the 3 best students of stage 1 as starts and the 3 best trained to convergence",
    ),
    "paper": Scale(
        dataset=None,
        widths={"conv4": 1.0, "vgg": 1.0, "resnet": 1.0},
        search=ONCE,
        methods=(PAPER,),
        seeds=5,
        transfer_train_size=None,
        source_iterations=100,
        first_updates=10,
        limited={"vgg13": Limited(1.0, 20_000), "vgg19": Limited(1.0, 1_000_000)},
        limited_iterations=100,
        prunings=5,
        about="the paper's own protocol, but for the differences that docs/paper.md names",
    ),
}


def scale_by_name(name: str) -> Scale:
    """One of `SCALES`.

    Raises:
        InputError: If the name is unknown.
    """
    return by_name("scale", name, SCALES)


@dataclass(frozen=True)
class Run:
    """A finished compression run.

    Attributes:
        folder: Its folder.
        result: What `result.json` holds.
        history: Every student that was tried.
    """

    folder: Path
    result: dict[str, Any]
    history: list[Episode]

    def curve(self, quantity: str, stage: int = 1) -> npt.NDArray[np.float64]:
        """The mean of a quantity of the episodes over the students of each policy update."""
        episodes = [episode for episode in self.history if episode.stage == stage]
        updates = max(episode.iteration for episode in episodes) + 1
        return np.array(
            [np.mean([getattr(e, quantity) for e in episodes if e.iteration == update]) for update in range(updates)]
        )

    def mean(self, quantity: str) -> float:
        """The mean over stage 1's students; degenerate ones have a reward, but neither compression nor accuracy."""
        students = [e for e in self.history if e.stage == 1 and (quantity == "reward" or not e.reason)]
        return float(np.mean([getattr(student, quantity) for student in students])) if students else 0.0


class Lab:
    """Where experiments are run.

    Args:
        scale: Name of one of `SCALES`.
        folder: Where runs and results are kept.
        display: Shows progress.
        **settings: Fields of `Search` that all runs get, such as `device` and `workers`.
    """

    def __init__(self, scale: str, folder: Path, *, display: Display, **settings: Any) -> None:
        self.scale_name = scale
        self.scale = scale_by_name(scale)
        self.folder = folder
        self.search = replace(self.scale.search, store=str(folder / "evaluations.sqlite"), **settings)
        self.display = display

    def problem(self, teacher: str, dataset: str) -> dict[str, Any]:
        """Teacher and data of an experiment at this scale, as arguments of `compress`."""
        family = "conv4" if teacher == "conv4" else "vgg" if teacher.startswith("vgg") else "resnet"
        return {
            "teacher": teacher,
            "dataset": self.scale.dataset or dataset,
            "width": self.scale.widths[family],
            "train_size": self.search.train_size,
        }

    def data(self, dataset: str, train_size: int | None = None) -> str:
        """What rows and pictures call the data that an experiment really runs on.

        Args:
            dataset: The paper's data set.
            train_size: Its training images, if others than most experiments have.

        Returns:
            `cifar10`, `cifar10 (1,000 images)`, or `digits (60 images, not cifar10)`.
        """
        images = train_size or self.search.train_size
        remarks = [] if images is None else [f"{images:,} images"]
        if self.scale.dataset not in (None, dataset):
            remarks.append(f"not {dataset}")
        real = self.scale.dataset or dataset
        return f"{real} ({', '.join(remarks)})" if remarks else real

    def available(self, dataset: str, what: str, document: Document) -> bool:
        """Whether a data set can be had here; if not, the document gets a note.

        Args:
            dataset: Name of the data set.
            what: What cannot be run without it.
            document: Of the target.
        """
        try:
            load_dataset(self.scale.dataset or dataset)
        except InputError as error:
            self.display.say(str(error))
            document.notes.append(f"{what} was not run: the data set was not to be had.")
            return False
        return True

    def compress(self, name: str, teacher: str, dataset: str, **settings: Any) -> Run:
        """A compression run, from wherever its folder says it is.

        Args:
            name: The run's folder within the laboratory's.
            teacher: Name of the network.
            dataset: Name of the data set.
            **settings: Fields of `Search` that are otherwise.
        """
        folder = self.folder / "runs" / name
        self.display.say(name)
        search = replace(self.search, out=str(folder), **self.problem(teacher, dataset) | settings)
        result = compress(search, display=self.display, command=f"n2n reproduce, run {name}")
        with RunFolder(folder, read_start(folder)) as opened:
            return Run(folder, result, read_history(opened.path))

    def searches(self, name: str, teacher: str, dataset: str, **settings: Any) -> dict[str, Run]:
        """A compression run by each of the scale's methods; arguments as of `compress`."""
        suffixes = {PAPER: "", PACKAGE: "-package"}
        return {
            method: self.compress(name + suffixes[method], teacher, dataset, **METHODS[method] | settings)
            for method in self.scale.methods
        }
