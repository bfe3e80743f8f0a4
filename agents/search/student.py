"""The found student: its final training, and loading it for use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Classifier, load_checkpoint, save_checkpoint
from n2n_gym.problem import Problem
from n2n_gym.system.device import torch_device
from n2n_gym.teachers.saved import Teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe


class FinalTraining:
    """Trains found students to convergence with hard and soft labels (section 3.5).

    Args:
        problem: Teacher and data set.
        teacher: The trained teacher.
        recipe: How.
        seed: Of initial weights and order of images.
        device: Where.
    """

    def __init__(self, problem: Problem, teacher: Teacher, recipe: Recipe, *, seed: int, device: str) -> None:
        self._device = torch_device(device)
        self._recipe = recipe
        self._seed = seed
        self._data = ImageData.of(problem, self._device)
        self._logits = TeacherLogits(teacher.checkpoint.network.to(self._device), self._data)

    def run(
        self, architecture: Architecture, folder: Path, on_epoch: Callable[[int, float], None] | None = None
    ) -> dict[str, Any]:
        """Train a student, save it in a folder and return its facts: parameters, MACs, validation accuracies, epochs."""
        network = Network(architecture, torch.Generator().manual_seed(self._seed)).to(self._device)
        outcome = train(network, self._data, self._recipe, seed=self._seed, teacher=self._logits, on_epoch=on_epoch)
        if outcome.failure:
            raise InputError(f"final training: {outcome.failure}; try a smaller --distillation-weight")
        facts: dict[str, Any] = {
            "parameters": architecture.parameters,
            "macs": architecture.macs,
            "val_accuracy": outcome.score.accuracy,
            "val_class_accuracy": list(outcome.score.class_accuracy),
            "test_accuracy": None,
            "epochs": outcome.epochs,
            "recipe": self._recipe.to_json(),
        }
        save_checkpoint(folder, network, self._data.preprocessing, facts)
        return facts

    def test(self, trained: Path, folder: Path) -> None:
        """Measure a trained student on the test images and save it, with its test accuracy, in another folder."""
        test_saved(trained, folder, self._data)


def test_saved(trained: Path, folder: Path, data: ImageData) -> None:
    """Measure a saved network on the test images and save it, with its test accuracy, in another folder."""
    checkpoint = load_checkpoint(trained)
    network = checkpoint.network.to(data.device)
    facts = {**checkpoint.facts, "test_accuracy": data.test_score(network).accuracy}
    save_checkpoint(folder, network, checkpoint.preprocessing, facts)


def load_student(run: str | Path) -> Classifier:
    """The student that a run found, trained and ready to use.

    Args:
        run: The run's folder, or the folder of any saved network.

    Returns:
        A module in evaluation mode: images in, uint8 (N, C, H, W) or floats in [0, 1]; logits out, (N, classes).

    Raises:
        InputError: If there is none, or it is damaged.
    """
    path = Path(run)
    checkpoint = load_checkpoint(path / "student" if (path / "student").is_dir() else path)
    return Classifier(checkpoint.preprocessing, checkpoint.network).eval()
