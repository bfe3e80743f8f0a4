"""The finals of a search on CIFAR-10: the student, its teacher scaled in width and ResNet-20, each trained three times alike.

    n2n teacher import benchmarks/cifar10_teacher.py:resnet --name cifar10-teacher \
        --weights benchmarks/results/cifar10-teacher.safetensors --dataset cifar10 \
        --mean 0.4914 0.4822 0.4465 --std 0.247 0.2435 0.2616
    n2n compress --teacher cifar10-teacher --dataset cifar10 --recipe steady --reward accuracy --agent dyna \
        --stages 2 --students 72 --iterations 6 --rollouts 12 --constraint "parameters<=269000" --finalists 0 --no-speed \
        --out runs/headline
    python benchmarks/cifar10_headline.py --run runs/headline [--smaller 0:3] [--device cuda] [--epochs 90] [--out FILE.json]
    python benchmarks/cifar10_headline.py    # only the picture of accuracies, anew from the figures' file

The search ends without finals, which are done here, on whatever machine: test images are read here for the first time. Stopped
at any moment, the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import tyro
from report import RESULTS, Report
from rich.console import Console

from agents.display import ProgressDisplay, short
from agents.interval import Interval
from agents.pictures import new_figure, open_frame, save_figure
from agents.search.comparison import sizes
from agents.search.finals import Finals
from agents.search.history import read_history
from agents.search.options import Search
from agents.search.report import draw_architectures
from agents.search.result import read_result
from agents.search.run_folder import RunFolder, read_start
from n2n_gym.models.checkpoint import WEIGHTS
from n2n_gym.networks.beside import WIDTH_SCALED
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import write_json
from n2n_gym.teachers.saved import ready_teacher

MOST_LOST = 0.005
LEAST_RATIO = 10.0
MOST_LOST_SMALLER = 0.02


def main(
    run: Path | None = None,
    finalists: int = 1,
    trainings: int = 3,
    epochs: int = 30,
    device: str = "auto",
    processes: int | None = None,
    beside: tuple[str, ...] = (WIDTH_SCALED, "resnet20"),
    smaller: tuple[str, ...] = (),
    out: Path = RESULTS / "cifar10-headline.json",
) -> None:
    """Train and measure.

    Args:
        run: Folder of the search. Without one nothing is trained: `out` is read, and its picture drawn anew.
        finalists: Students of it that are trained.
        trainings: Of each network.
        epochs: Of each training.
        device: Where.
        processes: Trainings at a time.
        beside: What is trained beside the student; a .json file holds an architecture.
        smaller: Further students of the search, update and rollout with a colon between them: which is the smallest that loses
            two points at most?
        out: The figures' file; the student's weights and pictures are written beside it.
    """
    picture = out.with_name(f"{out.stem}-accuracy.png")
    if run is None:
        draw_accuracy(picture, json.loads(out.read_text())["rows"])
        return
    folder = RunFolder(run, read_start(run))
    search = replace(
        Search(resume=str(run)).resumed(()),
        device=device,
        workers=processes,
        finalists=finalists,
        final_trainings=trainings,
        final_epochs=epochs,
    )
    search = replace(search, beside=(*beside, *_as_files(search, folder, smaller)))
    problem = search.problem
    found = {2: Student.load(run / "stage2.json", problem.architecture)}
    teacher = ready_teacher(problem, device=torch_device(device))
    with folder, ProgressDisplay(Console()) as display:
        student, parts = Finals(search, run, read_history(folder.path), teacher, display).run(found)
    report = Report("cifar10_headline", ("parameters", "macs", "test_accuracy", "val_accuracy"), out)
    accuracies = {"test_accuracy": [teacher.test_accuracy], "val_accuracy": [teacher.validation_accuracy]}
    measured: dict[str, dict[str, Any]] = {
        "teacher": _row({**sizes(problem.architecture), "trainings": []}) | accuracies,
        "student": _row(parts["student"]),
        **{name.replace("-", "_"): _row(part) for name, part in parts["beside"].items()},
    }
    for name, row in measured.items():
        report.add(name, **row)
    report.facts |= measured
    report.facts["student"]["luck"] = parts["student"]["luck"]
    rivals = {name: part for name, part in parts["beside"].items() if not name.startswith(SMALLER)}
    report.facts["ahead"] = {name: part["student_ahead_by"] for name, part in rivals.items()}
    report.facts["search"] = read_result(run)["search"] | {"command": folder.start.command}
    lost = [teacher.test_accuracy - each for each in measured["student"]["test_accuracy"]]
    report.facts["lost"] = Interval.of(lost).to_json()
    report.facts["student_actions"] = [student.removals, student.shrinkages]
    report.claim("times fewer parameters", parts["student"]["ratio"], at_least=LEAST_RATIO)
    report.claim("test accuracy lost, mean", report.facts["lost"]["mean"], at_most=MOST_LOST)
    for name in parts["beside"].keys() - rivals.keys():
        mean = fmean(measured[name.replace("-", "_")]["test_accuracy"])
        report.claim(f"test accuracy lost by the {name}, mean", teacher.test_accuracy - mean, at_most=MOST_LOST_SMALLER)
    for name, part in rivals.items():
        report.claim(f"test accuracy above {name}, low end of the interval", part["student_ahead_by"]["low"], at_least=0.0)
    shutil.copy(run / "student" / WEIGHTS, out.with_suffix(".safetensors"))
    draw_architectures(out.with_suffix(".png"), student)
    draw_accuracy(picture, report.rows)
    report.finish()


SMALLER = "smaller-"

TITLES = {
    "teacher": "teacher: ResNet-18 x 0.5",
    "student": "the search's student",
    "width_scaled": "the teacher scaled in width",
    "resnet20": "ResNet-20, by hand",
    "cifar10_wide_early": "wide early layers, by hand",
}
SEARCHED, BY_HAND, TEACHER = "#ee7733", "#4477aa", "#1c2024"


def draw_accuracy(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Test accuracy, a line a network, the most accurate first: a dot a training, a bar for the 95% interval of the mean.

    Args:
        path: The picture.
        rows: Of the report: `case`, `parameters`, `macs` and `test_accuracy`, a share a training.
    """
    ranked = sorted(rows, key=lambda row: fmean(row["test_accuracy"]))
    figure = new_figure(8, 1.2 + 0.55 * len(ranked))
    axes = figure.subplots()
    labels = []
    for place, row in enumerate(ranked):
        name, accuracies = row["case"], [100 * each for each in row["test_accuracy"]]
        searched = name == "student" or name.startswith(SMALLER.replace("-", "_"))
        colour = TEACHER if name == "teacher" else SEARCHED if searched else BY_HAND
        found = Interval.of(accuracies)
        if len(accuracies) > 1:
            axes.hlines(place, found.low, found.high, color=colour, linewidth=6, alpha=0.25)
        axes.plot(accuracies, [place] * len(accuracies), "o", color=colour, markersize=4)
        axes.annotate(
            f"{found.mean:.1f}%",
            (found.mean, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=colour,
        )
        title = TITLES.get(name, "a smaller student of the search" if searched else name)
        labels.append(f"{title}\n{short(row['parameters'])} parameters, {short(row['macs'])} MACs")
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(-0.6, len(labels) - 0.3)
    axes.set_xlabel("test accuracy, %")
    axes.set_title("CIFAR-10: what the search found, and what needs no search", loc="left")
    open_frame(axes)
    save_figure(figure, path)


def _as_files(search: Search, folder: RunFolder, smaller: Sequence[str]) -> tuple[str, ...]:
    """Students of the search as files of architectures, which may stand beside another."""
    history = {(episode.iteration, episode.rollout): episode for episode in read_history(folder.path) if episode.stage == 2}
    files = []
    for name in smaller:
        update, rollout = map(int, name.split(":"))
        architecture = history[update, rollout].candidate(search.start).architecture
        files.append(folder.path / f"{SMALLER}{architecture.parameters}.json")
        write_json(files[-1], architecture.to_json())
    return tuple(map(str, files))


def _row(part: dict[str, Any]) -> dict[str, Any]:
    """Sizes and accuracies of one network, a number for each training."""
    trainings = part["trainings"]
    measured = {name: [each[name] for each in trainings] for name in ("test_accuracy", "val_accuracy")}
    return {"parameters": part["parameters"], "macs": part["macs"], **measured}


if __name__ == "__main__":
    tyro.cli(main)
