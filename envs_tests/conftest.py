"""A four-layer toy teacher on small made images, an evaluator that needs no training, and a home of its own for each test."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from sklearn.ensemble import ExtraTreesRegressor
from torch import nn

from n2n_gym import teachers
from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.models.export import check
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.system.files import home, write_json
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training import recipes

REAL_HOME = home()
# The tests' networks are too small to share out, and the test runner uses the cores itself.
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)

TOY = Architecture.chain([conv(12, bias=True), relu(), max_pool(), linear(3)], (1, 8, 8), 3)

DEEPER_TOY = Architecture.chain([conv(12), relu(), conv(12), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
"""One more convolution, which stage 1 can remove."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Teachers and stores of one test never meet another's."""
    folder = tmp_path / "home"
    monkeypatch.setenv("N2N_HOME", str(folder))
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "logs"))
    return folder


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for all tests of a file that only use its teachers, so that each teacher is trained once."""
    return tmp_path_factory.mktemp("home")


class _Forked(ForkServerProcess):
    """Begins with what is in the test's environment now, not with what was there when the first of them began."""

    def __init__(self, *, target: Callable[..., object], args: tuple[Any, ...], daemon: bool | None = None) -> None:
        super().__init__(target=_in_environment, args=(dict(os.environ), target, args), daemon=daemon)


def _in_environment(environment: dict[str, str], target: Callable[..., object], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Have workers forked from a process that has the large libraries.

    As those that begin anew they know nothing of the test's own process; but they begin at once, those in three seconds.
    """
    known = multiprocessing.get_context
    forked = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=_Forked)
    multiprocessing.set_forkserver_preload(["envs_tests.conftest", "agents.search.trainings", "torch._dynamo"])
    patch.setattr(multiprocessing, "get_context", lambda method=None: forked if method == "spawn" else known(method))


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what workers do, not of how they begin."""
    fork_workers(monkeypatch)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their pictures, which take a short one a third of its time."""
    for name in ("draw_architectures", "draw_curves"):
        monkeypatch.setattr(f"agents.search.compress.{name}", lambda *_: None)


@pytest.fixture
def short_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is done with trained teachers of digits, not of how good they are."""
    monkeypatch.setitem(recipes._TEACHERS, "digits", replace(recipes._TEACHERS["digits"], epochs=5))


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch, short_teachers: None) -> None:
    """The same of students, and of whatever is trained to convergence."""
    for name in ("paper", "fast", "sample"):
        monkeypatch.setitem(recipes.SEARCH_RECIPES, name, {**recipes.SEARCH_RECIPES[name], "epochs": 1})
    for name in ("OWN_EPOCHS", "FINAL_EPOCHS"):
        monkeypatch.setattr(recipes, name, (3, 3))


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of searches that models guide: small spaces need no more."""
    for name, value in (("candidates.DRAWN", 20), ("candidates.AROUND", 10), ("bayesian.CLIMBS", 1), ("surrogate.TREES", 10)):
        monkeypatch.setattr(f"agents.algorithms.{name}", value)
    monkeypatch.setattr("agents.algorithms.prior.ExtraTreesRegressor", lambda _, **said: ExtraTreesRegressor(20, **said))


@pytest.fixture
def exports_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is exported, not of what exports need: they are run and compared without a process of their own."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        *_, program, folder, path = command
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [])
            patch.setattr(sys, "argv", ["", folder, path])
            for name in ("n2n_gym", "agents"):
                patch.setitem(sys.modules, name, None)  # the program does so, too; here it is taken back
            sys.modules.pop("student", None)  # an earlier export's
            try:
                exec(program, {})
            except Exception as error:  # whatever it is, the process would have ended by it
                return subprocess.CompletedProcess(command, 1, "", str(error))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(check, "subprocess", SimpleNamespace(run=run))


@pytest.fixture
def real_dataset(own_home: Path) -> Any:
    """Puts a real data set into the test's home, or skips where the machine has none."""

    def link(name: str) -> None:
        path = REAL_HOME / "datasets" / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"{path} is not there")
        (own_home / "datasets").mkdir(parents=True, exist_ok=True)
        (own_home / "datasets" / f"{name}.npz").symlink_to(path)

    return link


def toy_arrays(images: int = 120, side: int = 8, classes: int = 3, brightness: int = 120) -> dict[str, np.ndarray]:
    """Images whose class shows in which third of them is brighter than the noise, which goes to 100."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", images), ("test", images // 2)):
        labels = np.arange(count) % classes
        pixels = rng.integers(0, 100, (count, side, side, 1))
        for i, label in enumerate(labels):
            rows = slice(label * side // classes, (label + 1) * side // classes)
            pixels[i, rows] += brightness
        arrays |= {f"x_{split}": pixels.astype(np.uint8), f"y_{split}": labels.astype(np.int64)}
    return arrays


@pytest.fixture
def toy_data(tmp_path: Path) -> str:
    path = tmp_path / "toy.npz"
    np.savez(path, **toy_arrays())
    return str(path)


@pytest.fixture
def imported_teacher(toy_data: str) -> Callable[[float], str]:
    """Imports a network of some random weights, the same whenever, with a mean for its normalisation; returns its name."""

    def imported(mean: float) -> str:
        torch.manual_seed(0)
        convolutions = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()]
        network = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))
        return teachers.add(network, name=f"mean-{mean}", dataset=toy_data, mean=(mean,), std=(0.5,), device="cpu")

    return imported


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that whichever of the runner's processes needs it first fills, in a home of its own, for all of them."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        if not folder.with_suffix(".made").exists():
            folder.mkdir(exist_ok=True)
            patch.setenv("N2N_HOME", str(folder / "home"))
            make(folder)
            folder.with_suffix(".made").touch()
    return folder


@pytest.fixture(scope="session")
def trained_toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the toys' teachers on the toy images, trained once for all tests; not to be changed."""

    def make(folder: Path) -> None:
        np.savez(folder / "toy.npz", **toy_arrays())
        for name, architecture in (("toy", TOY), ("deeper", DEEPER_TOY)):
            write_json(folder / f"{name}.json", architecture.to_json())
            ready_teacher(Problem(str(folder / f"{name}.json"), str(folder / "toy.npz")), device=torch.device("cpu"))

    return made_once(tmp_path_factory, "toys", make) / "home"


def short_search(toys: Path, out: Path, **changed: Any) -> dict[str, Any]:
    """What a run of a moment is asked for; all read the toys' files, so that one test's can be compared with another's."""
    files = {"teacher": str(toys.parent / "deeper.json"), "dataset": str(toys.parent / "toy.npz"), "out": str(out)}
    search = {"iterations": 3, "rollouts": 2, "workers": 0, "device": "cpu", "speed": False}
    return {**files, **search, "finalists": 2, "final_trainings": 1, "final_epochs": 2, "beside": (), **changed}


@pytest.fixture
def toy_teacher(tmp_path: Path, own_home: Path, trained_toys: Path) -> str:
    return _toy("toy", TOY, tmp_path, own_home, trained_toys)


@pytest.fixture
def deeper_toy_teacher(tmp_path: Path, own_home: Path, trained_toys: Path) -> str:
    return _toy("deeper", DEEPER_TOY, tmp_path, own_home, trained_toys)


def _toy(name: str, architecture: Architecture, folder: Path, own_home: Path, trained_toys: Path) -> str:
    """The architecture's file; its teacher on the toy images is trained already."""
    path = folder / f"{name}.json"
    write_json(path, architecture.to_json())
    for trained in (trained_toys / "teachers").glob(f"{name}-*"):
        shutil.copytree(trained, own_home / "teachers" / trained.name)
    return str(path)


@pytest.fixture
def untrained(own_home: Path, toy_teacher: str, deeper_toy_teacher: str) -> None:
    """No teacher is trained yet."""
    shutil.rmtree(own_home / "teachers")


@pytest.fixture(scope="session")
def toy_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables of two small spaces, `removal.npz` and `shrink.npz`, and what they are of; not to be changed."""
    from n2n_gym.tables.build import build_table

    def make(folder: Path) -> None:
        np.savez(folder / "toy.npz", **toy_arrays(images=600, brightness=25))  # hard enough to tell students apart
        for stage, network, seeds in (("removal", DEEPER_TOY, [0, 1, 2]), ("shrink", TOY, [0, 1])):
            write_json(folder / f"{stage}.json", network.to_json())
            problem = Problem(str(folder / f"{stage}.json"), str(folder / "toy.npz"))
            build_table(problem, stage, folder / f"{stage}.npz", seeds=seeds, workers=0, facts={"by": "a test"})

    return made_once(tmp_path_factory, "tables", make)


@pytest.fixture
def toy_problem(toy_teacher: str, toy_data: str) -> Problem:
    return Problem(toy_teacher, toy_data)


@dataclass
class FormulaEvaluator(Evaluator):
    """Accuracy from a formula instead of a training; counts what it was asked."""

    architecture: Architecture
    calls: list[list[str]] = field(default_factory=list)

    @property
    def teacher(self) -> Architecture:
        return self.architecture

    def context(self) -> dict[str, Any]:
        return {"evaluator": "formula"}

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        self.calls.append([student.architecture.fingerprint for student in students])
        for index in reversed(range(len(students))):
            student = students[index].architecture
            kinds = json.dumps(student.to_json())
            accuracy = 0.5 + 0.04 * min(kinds.count("relu"), 5) + 0.04 * min(kinds.count("batch_norm"), 5)
            yield index, Evaluation(accuracy, 0.95, student.parameters, self.teacher.parameters, student.macs, seconds=0.5)


MADE = Architecture.chain(
    [conv(12), relu(), conv(16), relu(), max_pool(), conv(16), relu(), max_pool(), linear(10)], (1, 8, 8), 10
)
"""What students of a made sample come from."""


def made_accuracy(student: Student) -> float:
    """How accurate a student of a made sample is: the more so, the more is left, and the first layers matter more."""
    shapes = student.architecture.shapes
    return float(1 - 0.8 * np.exp(-sum(shape[0] / 16 / (1 + place) for place, shape in enumerate(shapes))))


def made_sample(stage: str, count: int) -> Any:
    """A sample of students that nobody trained: their accuracy follows from their architecture."""
    from n2n_gym.stages import stage_by_name
    from n2n_gym.tables.sample import Sample, SampledStudent, draw_students

    students = [
        SampledStudent(
            actions="".join(map(str, actions)),
            accuracy=(made_accuracy(student),) * 2,
            test_accuracy=(made_accuracy(student),) * 2,
        )
        for actions, student in draw_students(stage_by_name(stage, MADE), count)
    ]
    facts = {"dataset": "digits", "train_size": 60, "recipe": "fast", "val_accuracy": 0.95, "test_accuracy": 0.95}
    return Sample(name=f"made-{stage}", architecture=MADE.to_json(), stage=stage, students=tuple(students), **facts)
