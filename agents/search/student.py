"""The found student: its final training, loading it for use, and taking it elsewhere."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agents.search.result import RESULT, STUDENT, has_network, read_result
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Classifier, load_checkpoint, save_checkpoint
from n2n_gym.problem import Problem
from n2n_gym.system.device import one_thread, torch_device
from n2n_gym.system.files import DESCRIPTION, teachers_folder, unfinished_training
from n2n_gym.teachers.saved import Teacher, teacher_names
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import Outcome, training
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.turns import in_turns

_log = logging.getLogger("n2n_gym")


@dataclass(frozen=True)
class Training:
    """One that is to be done.

    Attributes:
        architecture: Of the network.
        folder: Where it is saved.
        seed: Of initial weights and order of images.
    """

    architecture: Architecture
    folder: Path
    seed: int


GENTLER, TRIES = 4, 4
"""A training that fails, as deep networks without normalisation do at rates that suit others, starts again with a quarter of
its learning rate; so many times it is tried."""

OnEpoch = Callable[[int, int], None]
"""Told which training, from 0, has done how many epochs."""


def silent(number: int, epoch: int) -> None:
    """Where nobody wants to know."""


class FinalTraining:
    """Trains found students to convergence with hard and soft labels (section 3.5).

    Args:
        problem: Teacher and data set.
        teacher: The trained teacher.
        recipe: How.
        device: Where; on a CPU with one thread, so that no result depends on the number of cores.
        logits: Folder where the teacher's logits are kept for other trainings with the same teacher and images.
    """

    def __init__(self, problem: Problem, teacher: Teacher, recipe: Recipe, *, device: str, logits: Path | None = None) -> None:
        self._device = torch_device(device)
        self._recipe = recipe
        self._data = ImageData.of(problem, self._device)
        self._logits = TeacherLogits(teacher.checkpoint.network.to(self._device), self._data, folder=logits)

    def run(self, trainings: Sequence[Training], on_epoch: OnEpoch = silent, *, at_once: int = 1) -> None:
        """Train students and save each in its folder; what was stopped on its way there is gone on with.

        Args:
            trainings: Of distinct folders.
            on_epoch: Told which of them has done how many epochs.
            at_once: So many take turns.

        Raises:
            InputError: If a training diverges at whatever learning rate.
        """
        with one_thread(self._device):
            each = [self.steps(training, partial(on_epoch, number)) for number, training in enumerate(trainings)]
            in_turns(each, self._device, at_once=at_once)

    def steps(self, asked: Training, on_epoch: Callable[[int], None]) -> Generator[None, None, None]:
        """One of the trainings of `run`; it pauses after each step."""
        architecture, seed = asked.architecture, asked.seed
        tries = [
            (
                replace(self._recipe, learning_rate=self._recipe.learning_rate / GENTLER**number),
                unfinished_training(asked.folder.with_name(f"{asked.folder.name}.{number}")),
            )
            for number in range(TRIES)
        ]
        begun = max((number for number, (_, file) in enumerate(tries) if file.exists()), default=0)
        for recipe, unfinished in tries[begun:]:
            network = Network(architecture, torch.Generator().manual_seed(seed)).to(self._device)
            outcome = yield from training(
                network,
                self._data,
                recipe,
                seed=seed,
                teacher=self._logits,
                on_epoch=lambda epoch, _accuracy: on_epoch(epoch),
                resume=unfinished,
            )
            if not outcome.failure and not self._is_constant(outcome):
                break
            unfinished.unlink(missing_ok=True)
        else:
            if outcome.failure:
                raise InputError(
                    f"final training: {outcome.failure}, at any learning rate; try a smaller --distillation-weight"
                )
            _log.warning("%s gives one answer for all images, at whichever of %d learning rates", asked.folder, TRIES)
        facts: dict[str, Any] = {
            "parameters": architecture.parameters,
            "macs": architecture.macs,
            "seed": seed,
            "val_accuracy": outcome.score.accuracy,
            "val_class_accuracy": list(outcome.score.class_accuracy),
            "test_accuracy": None,
            **self._data.spec.facts,
            "epochs": outcome.epochs,
            "recipe": recipe.to_json(),
        }
        save_checkpoint(asked.folder, network, self._data.preprocessing, facts)
        unfinished.unlink(missing_ok=True)

    def _is_constant(self, outcome: Outcome) -> bool:
        """Whether one answer for all images is all that a network has learned: its loss is finite, but its units are dead.

        Only classes with validation images tell, and only if there are several.
        """
        known = self._data.validation_labels.unique().tolist()
        right = [label for label in known if outcome.score.class_accuracy[label] > 0]
        return len(right) < 2 <= len(known)

    def test(self, trained: Sequence[Path], chosen: int, folder: Path) -> None:
        """Measure trainings of a student on the test images and save one of them, with all test accuracies, in a folder."""
        test_saved(trained, chosen, folder, self._data)


def test_saved(trained: Sequence[Path], chosen: int, folder: Path, data: ImageData) -> None:
    """Measure saved networks on the test images and save one of them in another folder, with the test accuracies of all.

    Args:
        trained: Their folders.
        chosen: Which of them is saved.
        folder: Where.
        data: The images.
    """
    checkpoints = [load_checkpoint(place) for place in trained]
    trainings = [
        {
            "seed": each.facts.get("seed"),
            "val_accuracy": each.facts["val_accuracy"],
            "test_accuracy": data.test_score(each.network.to(data.device)).accuracy,
        }
        for each in checkpoints
    ]
    best = checkpoints[chosen]
    facts = {**best.facts, "test_accuracy": trainings[chosen]["test_accuracy"], "trainings": trainings}
    save_checkpoint(folder, best.network, best.preprocessing, facts)


def network_folder(network: str | Path) -> Path:
    """The folder of a saved network.

    Args:
        network: A run's folder, which stands for the student that it found; the folder of any saved network; or a teacher's
            name, one of `n2n teacher list`.

    Raises:
        InputError: If there is none.
    """
    path = Path(network).expanduser()
    found = next((each for each in (path / STUDENT, path) if (each / DESCRIPTION).is_file()), None)
    if found is None and str(network) in teacher_names():
        found = teachers_folder() / str(network)
    if found is None:
        if (path / RESULT).is_file():
            if has_network(read_result(path)):
                raise InputError(f"{path / STUDENT} is gone; n2n compress --resume {shlex.quote(str(path))} makes it again")
            raise InputError(f"the run in {path} keeps no network: it found none, or had no final trainings (finalists 0)")
        where = "holds no saved network, and no finished run" if path.is_dir() else "is not there, and no teacher is called so"
        raise InputError(f"{network} {where}; give a run's folder, a saved network's, or one of n2n teacher list")
    return found


def load_student(run: str | Path) -> Classifier:
    """The student that a run found, trained and ready to use.

    Args:
        run: The run's folder, the folder of any saved network, or a teacher's name.

    Returns:
        A module in evaluation mode: images in, uint8 (N, C, H, W) or floats in [0, 1]; logits out, (N, classes). Other images
        are refused.

    Raises:
        InputError: If there is none, or it is damaged.
    """
    checkpoint = load_checkpoint(network_folder(run))
    return Classifier(checkpoint.preprocessing, checkpoint.network).eval()


def export(
    network: str | Path, to: str = "python", out: str | Path | None = None, *, preprocessing: bool = True
) -> list[Path]:
    """Write a trained network as files that run where this package is not; kept only if they give the same logits there.

    Args:
        network: A run's folder, the folder of any saved network, or a teacher's name.
        to: `python` (`student.py` and `student.safetensors`, plain PyTorch), `onnx` or `torch` (a program of `torch.export`).
        out: The files' folder; by default `export` in the run's or the network's own.
        preprocessing: Whether scaling and normalising the images is part of it.

    Returns:
        The files.

    Raises:
        InputError: If there is no such network or form, or the network cannot be had in it.
    """
    from n2n_gym.models.export import export_checkpoint  # torch.export and ONNX take long to import

    found = network_folder(network)
    folder = found.parent if Path(network).expanduser() == found.parent else found
    place = folder / "export" if out is None else Path(out).expanduser()
    return export_checkpoint(load_checkpoint(found), to, place, preprocessing=preprocessing)
