"""Does a short training rank students as training to convergence does, above all the best of them, and what does it cost?

    python benchmarks/fidelity.py --problem digits|residual|depthwise [--students 40] [--processes 2] [--out FILE]

Half of the students are drawn: their widths follow the depth. The others are the upper third of those that an evolution found.
Each is trained to convergence twice (the truth is its mean accuracy on test images), and by every recipe once, with a seed of
its own. What was trained stands in a file beside the JSON: a program that was stopped goes on.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from report import RESULTS, Report
from rich.progress import track
from scipy.stats import rankdata, spearmanr
from students import distinct_students
from torch import Tensor
from torch.nn import functional

from agents import compress
from agents.pictures import new_figure, open_frame, save_figure
from agents.search.history import read_history
from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import Evaluation
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.models.preprocessing import Batches
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student
from n2n_gym.system.files import write_whole
from n2n_gym.system.pool import Pool
from n2n_gym.teachers.saved import Teacher, ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe, final_recipe, search_recipe

HERE = Path(__file__).parent

PROBLEMS = {
    "digits": Problem("conv4", "digits"),
    "residual": Problem("resnet18", "cifar10", 0.125, 3_000),
    "depthwise": Problem(str(HERE / "depthwise.json"), "fashion-mnist", 1.0, 2_000),
}

TRUTH, TESTED = "convergence", "final"
TRUTH_SEEDS = 2
SEARCH_SEED = 7
LEAST_RHO, LEAST_TOP = 0.95, 0.6

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A way to judge a student cheaply.

    Attributes:
        recipe: How it is trained; with 0 epochs it has its teacher's weights, and batch statistics of its own.
        images: What it is trained on: `all`, those that the teacher is least sure of (`doubtful`) or surest (`confident`), as
            many as the recipe says, or all at half their height and width in the first half of the epochs (`small first`).
        by_loss: Whether students are ranked by the loss of their training, summed over epochs, and not by their accuracy.
    """

    recipe: Recipe
    images: str = "all"
    by_loss: bool = False


def candidates(problem: Problem) -> dict[str, Candidate]:
    """The recipes that are compared, by name."""
    paper, fast = (search_recipe(name, problem.data, problem.train_size) for name in ("paper", "fast"))
    plain = replace(paper, name="plain", epochs=2, learning_rate=2e-3)
    cycle = replace(plain, name="cycle", one_cycle=True)
    images = problem.train_size or problem.data.images
    found: dict[str, Candidate] = {
        "paper": Candidate(paper),
        "fast": Candidate(fast),
        "constant rate, 2 x .002": Candidate(plain),
        "constant rate, 2 x .002, labels too": Candidate(replace(plain, hard=1.0)),
        "inherited, no step": Candidate(replace(plain, epochs=0, inherits=True)),
    }
    for epochs, rate in ((1, 2e-3), (2, 2e-3), (2, 5e-3), (3, 5e-3), (5, 5e-3)):
        found[f"cycle, {epochs} x {f'{rate:g}'[1:]}"] = Candidate(replace(cycle, epochs=epochs, learning_rate=rate))
    half = replace(cycle, epochs=4, learning_rate=5e-3, images=images // 2)
    found |= {
        "cycle, 3 x .005, sum of losses": Candidate(replace(cycle, epochs=3, learning_rate=5e-3), by_loss=True),
        "cycle, 4 x .005, the doubtful half": Candidate(half, "doubtful"),
        "cycle, 4 x .005, the confident half": Candidate(half, "confident"),
        "cycle, 4 x .005, half the images": Candidate(half),
        "cycle, 2 x .002, inherited": Candidate(replace(cycle, learning_rate=2e-3, inherits=True)),
        "cycle, 3 x .005, inherited": Candidate(replace(cycle, epochs=3, learning_rate=5e-3, inherits=True)),
    }
    if _fits_small(problem.architecture):
        found["cycle, 3 x .005, small first"] = Candidate(replace(cycle, epochs=3, learning_rate=5e-3), "small first")
    return found


def _fits_small(architecture: Architecture) -> bool:
    """Whether the same weights read images of half the height and width."""
    channels, height, width = architecture.input_shape
    small = replace(architecture, input_shape=(channels, height // 2, width // 2))
    return small.parameters == architecture.parameters


def main(
    problem: str = "digits",
    students: int = 40,
    epochs: int = 30,
    processes: int = 2,
    searched: int = 90,
    own: tyro.conf.OmitArgPrefixes[Problem] = Problem(),  # noqa: B008  it cannot be changed
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: One of digits, residual, depthwise; or `own`.
        students: How many are compared, half of them drawn.
        epochs: Of a training to convergence.
        processes: Trainings at a time, of one thread each.
        searched: Students that the evolution tries.
        own: Another teacher and data.
        out: The JSON file; the picture is beside it.
    """
    out = out or RESULTS / f"fidelity-{problem}.json"
    chosen = own if problem == "own" else PROBLEMS[problem]
    report = Report(f"fidelity-{problem}", ("rho", "top", "regret", "seconds", "epochs"), out)
    kept = _Kept(out.with_suffix(".jsonl"))
    compared = _students(chosen, students, searched, kept)
    truth = Candidate(replace(final_recipe(chosen.data, chosen.train_size), epochs=epochs))
    ways = {**{f"{TRUTH} {seed}": truth for seed in range(TRUTH_SEEDS)}, **candidates(chosen)}
    jobs = [(name, number) for name in ways for number in range(students)]
    todo = [job for job in jobs if f"{job[0]}/{job[1]}" not in kept]
    rows = _measured([(ways[name], compared[number], _seed(name, number)) for name, number in todo], chosen, processes)
    for (name, number), measured in zip(todo, track(rows, "trainings", len(todo)), strict=True):
        kept[f"{name}/{number}"] = measured
    teacher = ready_teacher(chosen, device=torch.device("cpu"))
    _summed_up(report, chosen, teacher, compared, list(ways), kept)
    _draw(report, out.with_suffix(".png"), chosen.name)
    report.finish()


class _Kept:
    """What was measured, by name, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = dict(map(json.loads, path.read_text().splitlines())) if path.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Any:
        return self._known[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._known[name] = value
        lines = "".join(json.dumps(each) + "\n" for each in self._known.items())
        write_whole(self._path, lambda part: part.write_text(lines))


def _seed(name: str, number: int) -> int:
    """Of a training: another one for each recipe, so that no two share their luck."""
    return zlib.crc32(f"{name}/{number}".encode())


def _students(problem: Problem, count: int, searched: int, kept: _Kept) -> list[Student]:
    """Distinct students, half of them drawn, the others the best third of a search."""
    if "students" not in kept:
        drawn = {student.architecture.fingerprint: student for student in _drawn(problem, count - count // 2)}
        for student in _found(problem, searched):
            if len(drawn) < count:
                drawn.setdefault(student.architecture.fingerprint, student)
        if len(drawn) < count:
            raise SystemExit(f"the search found too few students: try --searched {2 * searched}")
        kept["students"] = [[student.removals, student.shrinkages] for student in drawn.values()]
    actions = [[None if part is None else tuple(part) for part in each] for each in kept["students"]]
    return [Student(problem.architecture, *each) for each in actions]


def _drawn(problem: Problem, count: int) -> list[Student]:
    rng = np.random.default_rng(0)
    removal = RemovalStage(Student(problem.architecture))

    def draw() -> Student:
        shrink = ShrinkStage(removal.student(removal.random_actions(rng)))
        return shrink.student(shrink.trend(rng))

    return distinct_students(draw, count)


def _found(problem: Problem, searched: int) -> list[Student]:
    """The upper third of what an evolution found in both stages."""
    with tempfile.TemporaryDirectory() as folder:
        compress(
            teacher=problem.teacher,
            dataset=problem.dataset,
            width=problem.width,
            train_size=problem.train_size,
            agent="informed-evolution",
            students=searched // 2,
            iterations=searched,
            rollouts=4,
            finalists=0,
            speed=False,
            seed=SEARCH_SEED,
            device="cpu",
            out=str(Path(folder) / "run"),
        )
        history = list(
            {episode.fingerprint: episode for episode in read_history(Path(folder) / "run") if not episode.reason}.values()
        )
        best = sorted(history, key=lambda episode: -episode.reward)[: len(history) // 3]
        return [episode.candidate(Student(problem.architecture)) for episode in best]


Job = tuple[Candidate, Student, int]
Measured = tuple[float, float, float, int]
"""Accuracy on validation images, or the negative loss; of a training to convergence the accuracy on test images; core seconds;
epochs."""


def _measured(jobs: list[Job], problem: Problem, processes: int) -> Iterator[Measured]:
    if not jobs:
        return
    with tempfile.TemporaryDirectory() as logits:
        if processes > 1:
            with Pool(processes, _begin, problem, Path(logits)) as pool:
                yield from pool.map(_train, jobs)
            return
        _begin(problem, Path(logits), alone=True)
        yield from map(_train, jobs)


_teacher: Teacher  # in a worker process: what it trains with
_data: dict[str, ImageData]
_logits: dict[str, TeacherLogits]


class _Chosen(ImageData):
    """The images in an order of their own, of which the first ones are trained on, the same in all epochs."""

    order: Tensor

    def stretch(self, epoch: int, images: int | None) -> Tensor:
        return self.order[:images].sort().values


class _SmallFirst(ImageData):
    """Images of half the height and width in the first epoch of three."""

    def viewed(self, epoch: int, *, augment: bool) -> Batches:
        whole = super().viewed(epoch, augment=augment)
        return _Halved(whole) if epoch == 0 else whole


@dataclass(frozen=True)
class _Halved:
    whole: Batches

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        return functional.avg_pool2d(self.whole[indices], 2)


def _begin(problem: Problem, logits: Path, *, alone: bool = False) -> None:
    global _teacher, _data, _logits
    if not alone:
        torch.set_num_threads(1)
    device = torch.device("cpu")
    _teacher = ready_teacher(problem, device=device)
    kinds = {"all": ImageData, "doubtful": _Chosen, "confident": _Chosen, "small first": _SmallFirst}
    _data = {name: kind.of(problem, device) for name, kind in kinds.items()}
    _logits = {
        name: TeacherLogits(_teacher.checkpoint.network, data, views=100, folder=logits / name) for name, data in _data.items()
    }
    _logits["small first"] = _logits["all"]  # of whole images
    everything = _data["all"]
    plain = _logits["all"].of(0, augment=False).softmax(1)
    sure = plain.gather(1, everything.train_labels[:, None])[:, 0]
    for name, descending in (("doubtful", False), ("confident", True)):
        chosen = _data[name]
        assert isinstance(chosen, _Chosen)
        chosen.order = sure.argsort(descending=descending)


def _train(job: Job) -> Measured:
    candidate, student, seed = job
    recipe = candidate.recipe
    data, logits = _data[candidate.images], _logits[candidate.images]
    for epoch in range(recipe.epochs):  # what all students of a search share is not part of the cost
        logits.of(epoch, augment=recipe.augment, images=recipe.images)
    start = time.process_time()  # not the clock's: other programs may run beside
    network = Network(student.architecture, torch.Generator().manual_seed(seed))
    if recipe.inherits:
        inherit(network, student, _teacher.checkpoint.network)
    if recipe.epochs:
        outcome = train(network, data, recipe, seed=seed, teacher=logits, bf16_validation=True)
        accuracy = -outcome.loss if candidate.by_loss else outcome.score.accuracy
    else:
        accuracy = _renewed(network)
    seconds = time.process_time() - start
    tested = data.test_score(network).accuracy if recipe.name == TESTED else math.nan
    return accuracy, tested, seconds, recipe.epochs


@torch.no_grad()
def _renewed(network: Network) -> float:
    """Accuracy without a step, with batch statistics of what the network reads now."""
    network.train()
    data = _data["all"]
    for part in torch.arange(min(len(data.train_images), 2_000)).split(250):
        network(data.batch(data.view(0, augment=False), part))
    return data.validation_score(network).accuracy


def _summed_up(
    report: Report, problem: Problem, teacher: Teacher, students: list[Student], names: list[str], kept: _Kept
) -> None:
    """Rows and claims: rewards of each recipe against the truth's."""
    measured = {name: np.array([kept[f"{name}/{number}"] for number in range(len(students))], dtype=float) for name in names}
    for name, candidate in candidates(problem).items():
        if candidate.by_loss:  # the best has the highest accuracy of those that the same training gives without
            ranks = rankdata(measured[name][:, 0], method="ordinal") - 1
            measured[name][:, 0] = np.sort(measured[name.removesuffix(", sum of losses")][:, 0])[ranks]
    # in one case as a search sees it, in the other by the images that no search sees
    seen = {name: _rewards(problem, teacher.validation_accuracy, students, values[:, 0]) for name, values in measured.items()}
    true = [
        _rewards(problem, teacher.test_accuracy, students, measured[f"{TRUTH} {seed}"][:, 1]) for seed in range(TRUTH_SEEDS)
    ]
    truth = np.mean(true, axis=0)
    top = np.argsort(-truth)[: len(students) // 3]
    between = {"rho": correlation(true[0], true[1]), "top": correlation(true[0][top], true[1][top])}
    report.add(f"{TRUTH}: one seed and another", **_flat(between))
    for name in names:
        if name.startswith(TRUTH):
            continue
        values = seen[name]
        found = {"rho": correlation(values, truth), "top": correlation(values[top], truth[top])}
        regret = float(truth.max() - truth[int(values.argmax())])
        _, _, seconds, epochs = measured[name].T
        report.add(name, **_flat(found), regret=regret, seconds=float(np.median(seconds)), epochs=float(epochs[0]))
    rows = {row["case"]: row for row in report.rows}
    report.claim(f"fast to {TRUTH}: Spearman's rho", rows["fast"]["rho"], at_least=LEAST_RHO)
    report.claim(f"fast to {TRUTH}, top third: Spearman's rho", rows["fast"]["top"], at_least=LEAST_TOP)
    report.facts |= {
        "teacher_accuracy": {"validation": teacher.validation_accuracy, "test": teacher.test_accuracy},
        "measured": {name: values.tolist() for name, values in measured.items()},
        "students": [[student.removals, student.shrinkages, student.architecture.parameters] for student in students],
    }


def _rewards(problem: Problem, teacher_accuracy: float, students: list[Student], accuracies: Numbers) -> Numbers:
    whole = problem.architecture
    rewards = [
        paper_reward(Evaluation.of(each.architecture, whole, accuracy=accuracy, teacher_accuracy=teacher_accuracy))
        for each, accuracy in zip(students, accuracies.tolist(), strict=True)
    ]
    return np.array(rewards)


def correlation(a: Numbers, b: Numbers, resamples: int = 2_000) -> tuple[float, float, float]:
    """Spearman's rho and the ends of its 95% bootstrap interval over students."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(a), (resamples, len(a)))
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(_rho(a[draws], b[draws]), [2.5, 97.5])
    return float(spearmanr(a, b).statistic), float(low), float(high)


def _rho(a: Numbers, b: Numbers) -> Numbers:
    """Spearman's of each row, at once; not a number where all of it is equal."""
    x, y = (ranks - ranks.mean(1, keepdims=True) for ranks in (rankdata(a, axis=1), rankdata(b, axis=1)))
    rho: Numbers = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return rho


def _flat(found: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    ends = ("", "_low", "_high")
    return {name + end: value for name, values in found.items() for end, value in zip(ends, values, strict=True)}


def _draw(report: Report, path: Path, title: str) -> None:
    """Fidelity against cost; a line along the edge."""
    figure = new_figure(13, 5.5)
    numbers = {row["case"]: number for number, row in enumerate(report.rows[1:], start=1)}
    for place, (key, label) in enumerate({"rho": "all students", "top": "the best third"}.items()):
        axes = figure.add_subplot(1, 3, place + 1)
        open_frame(axes)
        ceiling, *rows = report.rows
        axes.axhline(ceiling[key], color="#888888", linestyle=":", label="convergence, another seed")
        axes.set_xscale("log")
        for row in rows:
            errors = [[max(0.0, row[key] - row[f"{key}_low"])], [max(0.0, row[f"{key}_high"] - row[key])]]
            known = row["case"] in ("paper", "fast")
            colour = "#cc3311" if known else "#4477aa"
            axes.errorbar(
                [row["seconds"]], [row[key]], errors, fmt="o", color=colour, alpha=0.9 if known else 0.55, elinewidth=0.6
            )
        edge: list[dict[str, Any]] = []
        for row in sorted(rows, key=lambda row: row["seconds"]):
            if not edge or row[key] > edge[-1][key]:
                edge.append(row)
        axes.step([row["seconds"] for row in edge], [row[key] for row in edge], where="post", color="#228833", linewidth=1)
        for row in rows:
            axes.annotate(
                str(numbers[row["case"]]), (row["seconds"], row[key]), fontsize=8, xytext=(4, 3), textcoords="offset points"
            )
        axes.set(title=label, xlabel="core seconds a student, one thread", ylabel="Spearman's rho to convergence")
        axes.legend(loc="lower right", fontsize=8)
    figure.suptitle(title)
    words = "\n".join(f"{number}  {name}" for name, number in numbers.items())
    figure.add_subplot(1, 3, 3, frame_on=False, xticks=[], yticks=[]).text(0, 0.5, words, fontsize=8, va="center")
    save_figure(figure, path)


if __name__ == "__main__":
    tyro.cli(main)
