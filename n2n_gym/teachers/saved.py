"""Teachers: trained once by the paper's recipes, or imported; kept in `$N2N_HOME/teachers`, found again by name."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from n2n_gym.data import FINGERPRINT, DataSettings, lasting_name, load_dataset
from n2n_gym.errors import InputError, unknown
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from n2n_gym.networks.described import read_description
from n2n_gym.networks.imported import IMPORTED, imported_normalisation, is_imported
from n2n_gym.problem import Problem
from n2n_gym.system.device import by_itself
from n2n_gym.system.files import absolute, locked, sweep, teachers_folder, unfinished_training, writing
from n2n_gym.system.memory import is_out_of_memory
from n2n_gym.system.progress import report
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import teacher_recipe

TRAINING = "training the teacher"
"""What is reported (`n2n_gym.system.progress`) when a teacher's training begins, with the number of its epochs."""

CHANCE = 1.5
"""A teacher that is not this many times better than guessing has learned nothing, or was given the wrong preprocessing."""

_log = logging.getLogger("n2n_gym")


@dataclass(frozen=True)
class Teacher:
    """A trained teacher.

    Attributes:
        name: Its name among the saved ones.
        checkpoint: Network, preprocessing and facts.
        validation_accuracy: Share of the validation images classified correctly.
        test_accuracy: The same for the test images, measured once after training.
    """

    name: str
    checkpoint: Checkpoint
    validation_accuracy: float
    test_accuracy: float


def ready_teacher(problem: Problem, *, device: torch.device, on_epoch: Callable[[int, float], None] | None = None) -> Teacher:
    """The problem's teacher; it is trained first if it was not yet, as the paper trains on its data set (appendix 10.2).

    An imported teacher is never trained: on images other than those that it was measured on when it was imported, it is
    measured, once, and kept a second time with these accuracies; again, if it was imported again with another normalisation.

    Args:
        problem: Network, data set and number of images.
        device: Where it is trained.
        on_epoch: Told the epochs done while it trains, as `train` does.

    Raises:
        InputError: If the data set cannot be had, or the saved teacher is damaged, or of another network, normalisation or
            other data.
    """
    imported = not problem.trained_here
    name = problem.name
    if imported and teacher_facts(problem.teacher).get("data_fingerprint") == load_dataset(problem.data).fingerprint:
        name = problem.teacher
    folder, copied = teachers_folder() / name, imported and name != problem.teacher
    if not _is_kept(name, problem, copied=copied):
        with making(name):  # of several processes that want it, one trains
            if not _is_kept(name, problem, copied=copied) and imported:
                with put_aside(name):
                    _measure_teacher(folder, problem, device)
            elif not folder.exists():
                _train_teacher(folder, problem, device, on_epoch)
    teacher = load_teacher(name)
    if teacher.checkpoint.network.architecture != problem.architecture:
        raise InputError(f"the teacher in {folder} is another network than {problem.teacher}; move it away to train a new one")
    if imported and imported_normalisation(name) != problem.normalisation:
        raise InputError(f"{problem.teacher} was imported again meanwhile, with another normalisation; start anew")
    trained_on = str(teacher.checkpoint.facts.get("data_fingerprint"))
    if not trained_on.startswith(FINGERPRINT):
        why = "was trained before the identity of a data set covered its test images and their shape"
        raise InputError(f"the teacher in {folder} {why}; n2n teacher train --again trains it again")
    if trained_on != load_dataset(problem.data).fingerprint:
        raise InputError(f"the teacher in {folder} was trained on other images; move it away to train a new one")
    return teacher


def _is_kept(name: str, problem: Problem, *, copied: bool) -> bool:
    """Whether the problem's teacher is kept under a name, and if that is a copy which was measured here: as it is now."""
    kept = (teachers_folder() / name).exists()
    return kept and (not copied or imported_normalisation(name) == problem.normalisation)


def load_teacher(name: str) -> Teacher:
    """A saved teacher, one of `teacher_names()`.

    Raises:
        InputError: If there is none of that name, or it is damaged.
    """
    checkpoint = load_saved(name)
    facts = checkpoint.facts
    if facts["val_accuracy"] is None:
        raise InputError(f"the teacher {name} was imported without a data set, so its accuracy is not known; give it with one")
    return Teacher(name, checkpoint, facts["val_accuracy"], facts["test_accuracy"])


def load_saved(name: str) -> Checkpoint:
    """A saved teacher as it was kept, whether it was measured or not.

    Raises:
        InputError: If there is none of that name, or it is damaged.
    """
    if name not in teacher_names():  # one whose folder lacks something is among them, and that is said
        raise unknown("saved teacher", name, teacher_names() or ["none yet; train one with n2n teacher train"])
    return load_checkpoint(teachers_folder() / name)


def teacher_names() -> list[str]:
    """Names of all saved teachers, in alphabetical order; damaged ones are among them."""
    folder = teachers_folder()
    return sorted(path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))


@contextmanager
def making(name: str) -> Iterator[None]:
    """While a teacher's folder is made: no other process makes it, and what a killed one left is swept up."""
    folder = teachers_folder()
    with locked(folder / f".{name}.lock"):
        sweep(folder, name)
        yield


@contextmanager
def put_aside(name: str) -> Iterator[None]:
    """While a teacher is made anew: the old one, if there is one, is put aside; it comes back if no new one was made.

    Args:
        name: The teacher's.

    Raises:
        InputError: If its folder cannot be moved.
    """
    folder = teachers_folder() / name
    aside = folder.with_name(f".{name}.before")
    with writing(folder):
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def teacher_facts(name: str) -> dict[str, Any]:
    """What was recorded when a saved teacher was trained or imported, without reading its weights."""
    facts: dict[str, Any] = read_description(teachers_folder() / name)["facts"]
    return facts


def trained_for(name: str) -> Problem | None:
    """Teacher and data of a teacher that was trained here, by the name under which it is kept; None for any other name.

    Raises:
        InputError: If its data are not those any more that it was trained on.
    """
    if name not in teacher_names() or is_imported(name):  # an imported one is for any data
        return None
    facts = teacher_facts(name)
    if not {"teacher", "dataset", "width", "train_size"} <= set(facts):
        return None
    known: dict[str, Any] = {key: facts[key] for key in ("teacher", "dataset", "width")} | facts.get("read", {})
    problems = (Problem(**known, train_size=size) for size in (None, facts["train_size"]))  # `None` counts all images
    if (found := next((problem for problem in problems if problem.name == name), None)) is None:
        raise InputError(f"{name} was trained on other data than are there now; name its network and data: {facts['teacher']}")
    return found


def measured(network: Network, data: ImageData) -> dict[str, Any]:
    """Facts of a network that was not trained here: on which images it was measured, and how well it classifies them."""
    network = network.to(data.device)
    with by_itself(data.device, network.architecture.macs, data.evaluation_batch):
        validation, test = data.validation_score(network), data.test_score(network)
    return {
        "data_fingerprint": data.dataset.fingerprint,
        **data.spec.facts,
        "val_accuracy": validation.accuracy,
        "val_class_accuracy": list(validation.class_accuracy),
        "test_accuracy": test.accuracy,
    }


def near_chance(facts: Mapping[str, Any], classes: int) -> bool:
    """Whether a teacher, by what was measured of it, is hardly better at so many classes than guessing."""
    return bool(facts["val_accuracy"] < CHANCE / classes)


def warn_of_chance(name: str, facts: Mapping[str, Any], classes: int, remedy: str) -> None:
    """Say so if a teacher is hardly better than guessing: its students could be as good as it whatever becomes of them.

    Args:
        name: The teacher's.
        facts: What was measured.
        classes: How many it tells apart.
        remedy: What to do or to look at.
    """
    if near_chance(facts, classes):
        _log.warning(
            "%s classifies %.1f%% of the validation images correctly, hardly more than guessing would: %s",
            *(name, 100 * facts["val_accuracy"], remedy),
        )


def _data(problem: Problem) -> dict[str, Any]:
    """Facts by which the data are found again."""
    read = {field.name: getattr(problem, field.name) for field in fields(DataSettings)}
    if problem.validation is not None:
        read["validation"] = absolute(problem.validation)
    return {"dataset": lasting_name(problem.dataset), "read": read}


def _measure_teacher(folder: Path, problem: Problem, device: torch.device) -> None:
    checkpoint = load_saved(problem.teacher)
    data = ImageData.of(problem, device)
    facts = checkpoint.facts | measured(checkpoint.network, data)
    own = {"name": folder.name, **_data(problem), "train_size": len(data.train_images)}
    origin = {**facts.pop(IMPORTED), "name": problem.teacher}
    save_checkpoint(folder, checkpoint.network, checkpoint.preprocessing, {**facts, **own, "measured": origin})


def _train_teacher(
    folder: Path,
    problem: Problem,
    device: torch.device,
    on_epoch: Callable[[int, float], None] | None,
) -> None:
    recipe = teacher_recipe(problem.data, problem.train_size)
    if on_epoch is None:
        _log.warning("training the teacher %s, once, for %d epochs; it will be kept in %s", folder.name, recipe.epochs, folder)
    architecture = problem.architecture
    data = ImageData.of(problem, device)
    network = Network(architecture, torch.Generator().manual_seed(0)).to(device)
    unfinished = unfinished_training(folder)
    report(TRAINING, 0, recipe.epochs)
    try:
        with by_itself(device, architecture.macs, recipe.batch_size) as threads:
            outcome = train(network, data, recipe, seed=0, on_epoch=on_epoch, resume=unfinished)
            if outcome.failure:
                unfinished.unlink(missing_ok=True)
                raise InputError(f"teacher {folder.name}: {outcome.failure} under recipe {recipe.name}; try another width")
            test_accuracy = data.test_score(network).accuracy
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"the teacher {folder.name} does not fit into the memory; try a smaller width, smaller images, or a larger machine"
        ) from None
    facts = {
        "name": folder.name,
        "teacher": problem.teacher,
        **_data(problem),
        "width": problem.width,
        "data_fingerprint": data.dataset.fingerprint,
        "train_size": len(data.train_images),
        **data.spec.facts,
        "parameters": architecture.parameters,
        "macs": architecture.macs,
        "val_accuracy": outcome.score.accuracy,
        "val_class_accuracy": list(outcome.score.class_accuracy),
        "test_accuracy": test_accuracy,
        "recipe": recipe.to_json(),
        "threads": threads,
    }
    warn_of_chance(
        folder.name, facts, data.spec.classes, "its students are worth nothing; try another network, width or data set"
    )
    save_checkpoint(folder, network, data.preprocessing, facts)
    unfinished.unlink(missing_ok=True)
