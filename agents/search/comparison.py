"""Two networks side by side: what they are, what they take, how fast they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from scipy.stats import binomtest

from agents.interval import Interval, has_width
from agents.search.run_folder import read_start
from agents.search.student import network_folder
from n2n_gym.architecture import Architecture
from n2n_gym.data import DatasetSpec
from n2n_gym.errors import InputError
from n2n_gym.models.checkpoint import WEIGHTS, load_checkpoint
from n2n_gym.models.speed import compare_speed
from n2n_gym.system.machine import machine
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher


def sizes(architecture: Architecture, folder: Path | None = None) -> dict[str, int]:
    """A network's sizes: parameters, MACs, bytes of its file, and of the feature maps that one image's pass holds at most.

    Args:
        architecture: What it is.
        folder: Where it is saved; without, its file's size is that of its weights and statistics in float32.
    """
    return {
        "parameters": architecture.parameters,
        "macs": architecture.macs,
        "file_bytes": architecture.model_bytes if folder is None else (folder / WEIGHTS).stat().st_size,
        "activation_bytes": architecture.activation_bytes,
    }


def class_accuracies(data: DatasetSpec, teacher: Teacher, student: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What share of each class's validation images teacher and student classify correctly, with the class's name.

    Args:
        data: Whose classes they are.
        teacher: The teacher.
        student: What the run's result says of the student.
    """
    names = data.class_names or tuple(map(str, range(data.classes)))
    columns = {
        "teacher": teacher.checkpoint.facts.get("val_class_accuracy"),  # unknown of one that an older version saved
        "student": (student or {}).get("val_class_accuracy"),
    }
    return [
        {"name": name, **{whose: shares[label] if shares else None for whose, shares in columns.items()}}
        for label, name in enumerate(names)
    ]


def validation(images: int, teacher: float, student: Mapping[str, Any] | None) -> dict[str, Any]:
    """How well so many validation images tell accuracies.

    Args:
        images: How many there are.
        teacher: Share of them that the teacher classifies correctly.
        student: What the run's result says of the student.

    Returns:
        `images`; `teacher_low` and `teacher_high`, the 95% interval (Wilson's) of the accuracy on other images that the
        teacher's on these is an estimate of; `doubt`, a sentence if the search rewarded the student for being more accurate
        than its teacher, and that is within this interval, else None.
    """
    known = binomtest(round(teacher * images), images).proportion_ci(method="wilson")
    found: dict[str, Any] = {
        "images": images,
        "teacher_low": float(known.low),
        "teacher_high": float(known.high),
        "doubt": None,
    }
    searched = (student or {}).get("search_accuracy")
    if searched is not None and teacher < searched <= known.high:
        found["doubt"] = (
            f"the search had the student at {searched:.2%}, above its teacher's {teacher:.2%}, and rewarded it for that: "
            f"{images:,} validation images do not tell them apart (the teacher's is {known.low:.2%} to {known.high:.2%})"
        )
    return found


def ahead_by(student: Mapping[str, Any], rival: Mapping[str, Any]) -> dict[str, Any]:
    """By how much a student's test accuracy is above another network's, seed by seed, with its 95% interval.

    Args:
        student: What a run's result says of it.
        rival: The same of the other, which was trained as often with the same seeds.
    """
    pairs = zip(student["trainings"], rival["trainings"], strict=True)
    return Interval.of([ours["test_accuracy"] - theirs["test_accuracy"] for ours, theirs in pairs]).to_json()


def beside_verdict(student: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Whether the student was found, and beats what was trained beside it, in a sentence; None where there is nothing to say.

    Args:
        student: What the run's result says of the student.
        beside: What it says of each network beside it.
    """
    said = []
    if student["unsearched"]:
        said.append("the search found nothing better than its teacher with all filters shrunk alike, which is the student")
    for name, report in beside.items():
        if all(report[key] == student[key] for key in ("parameters", "macs", "trainings")):  # one network, trained once
            said.append(f"{name} is the same network")
            continue
        ahead = report["student_ahead_by"]
        mean, low, high = (None if value is None else 100 * value for value in (ahead["mean"], ahead["low"], ahead["high"]))
        trainings = len(ahead["values"])
        if low is None or high is None:
            known = "one training each, which proves nothing"
        elif not has_width(ahead):  # so few images, so few trainings: how much they would differ by is not known
            known, low, high = (
                f"{trainings} trainings each, which happen to differ by as much, and so prove nothing",
                None,
                None,
            )
        else:
            known = f"95% interval {low:+.2f} to {high:+.2f}, {trainings} trainings each"
        beats = low is not None and low > 0
        worse = high is not None and high < 0
        word = "beats" if beats else "is worse than" if worse else "is not known to beat"
        if worse:
            known += f"; beside/{name} in the run's folder holds that one"
        said.append(
            f"the student {word} {name} ({report['parameters']:,} parameters): {mean:+.2f} points on test images, {known}"
        )
    return "; ".join(said) or None


def class_table(classes: Sequence[Mapping[str, Any]]) -> Table:
    """What `class_accuracies` found, as a table."""
    table = Table(title="validation accuracy")
    for heading in ("class", "teacher", "student"):
        table.add_column(heading, justify="left" if heading == "class" else "right", overflow="fold")
    for row in classes:
        table.add_row(row["name"], *("" if row[who] is None else f"{row[who]:.2%}" for who in ("teacher", "student")))
    return table


def compare(a: str | Path, b: str | Path, *, device: str = "cpu") -> dict[str, Any]:
    """Two trained networks side by side.

    Args:
        a: A run's folder, the folder of any saved network, or a teacher's name.
        b: Another one.
        device: A GPU is timed besides the CPU.

    Returns:
        JSON data: under `a` and `b` names, accuracies, what they were measured on (`dataset`, and `data`, the fingerprint of
        its images; None where that is not known) and `sizes`; under `warning` a sentence if that is not the same images, else
        None; under `speed` what `compare_speed` returns.

    Raises:
        InputError: If there is no such network, or it is damaged.
    """
    networks, found = {}, {}
    for key, text in (("a", a), ("b", b)):
        folder = network_folder(text)
        checkpoint = load_checkpoint(folder)
        networks[key] = checkpoint.network
        accuracies = {name: checkpoint.facts[name] for name in ("val_accuracy", "test_accuracy")}
        data = _data_of(folder, checkpoint.facts)
        found[key] = {"name": str(text), **data, **accuracies, **sizes(checkpoint.network.architecture, folder)}
    return {
        **found,
        "warning": _other_images(found["a"], found["b"]),
        "speed": compare_speed(networks, device),
        "machine": machine(),
        "versions": library_versions(),
    }


def _data_of(folder: Path, facts: Mapping[str, Any]) -> dict[str, str | None]:
    """What a saved network's accuracies were measured on: a teacher says so, for all others their run does."""
    if "data_fingerprint" in facts:
        return {"dataset": facts.get("dataset"), "data": facts["data_fingerprint"]}
    for run in (folder.parent, folder.parent.parent):  # student/, or beside/NAME/
        try:
            start = read_start(run)
        except InputError:  # no run, or nothing that can be read
            continue
        return {"dataset": start.configuration.get("dataset"), "data": start.identity.get("dataset")}
    return {"dataset": None, "data": None}


def _other_images(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    if None in (a["data"], b["data"]) or a["data"] == b["data"]:
        return None
    each = " and ".join(f"{one['name']} on {one['dataset']}" for one in (a, b))
    return f"the accuracies say nothing of each other, they were measured on different images: {each}"


QUANTITIES = {
    "dataset": ("data set", "{}"),
    "val_accuracy": ("val accuracy", "{:.2%}"),
    "test_accuracy": ("test accuracy", "{:.2%}"),
    "parameters": ("parameters", "{:,}"),
    "macs": ("MACs", "{:,}"),
    "file_bytes": ("file, bytes", "{:,}"),
    "activation_bytes": ("peak of activations, bytes", "{:,}"),
}
"""What is compared besides the speed: its words, and how it is written."""


def comparison_table(found: Mapping[str, Any], a: str, b: str, quantities: Sequence[str] = tuple(QUANTITIES)) -> Table:
    """Two networks as a table: what is known of them, then medians of forward passes in milliseconds, quartiles in brackets.

    Args:
        found: What is known of both under their keys, and under `speed` what `compare_speed` returned.
        a: The one's key.
        b: The other's.
        quantities: Which of `QUANTITIES` are shown.
    """
    names = [found[key].get("name", key) for key in (a, b)]
    table = Table(title="side by side; forward passes in ms: median (quartiles)")
    for heading in ("", *names, "ratio"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for quantity in quantities:
        title, form = QUANTITIES[quantity]
        first, second = found[a][quantity], found[b][quantity]
        cells = ["" if value is None else form.format(value) for value in (first, second)]
        table.add_row(title, *cells, _ratio(first, second) if form == "{:,}" else "")
    for row in found["speed"]:
        where = f"{row['threads']} thread{'s' * (row['threads'] > 1)}" if row["device"] == "cpu" else row["device"]
        first, second = row[a], row[b]
        cells = [f"{each['median']:.3g} ({each['lower']:.3g} to {each['upper']:.3g})" for each in (first, second)]
        times = _ratio(first["median"], second["median"])
        table.add_row(f"{row['engine']}, {where}, batch {row['batch']}", *cells, times)
    return table


def _ratio(first: float, second: float) -> str:
    """How many times as much; with two digits that count where it is less."""
    ratio = first / second
    return f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2g}x"
