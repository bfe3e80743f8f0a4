"""The networks that tables 2 and 3 set beside the found students: the pruned teacher, and networks that people designed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from agents.reproduce.lab import Lab
from agents.reproduce.pruning import Limits, prune
from agents.search.student import FinalTraining, Training, test_saved
from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import Evaluation
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import load_checkpoint, save_checkpoint
from n2n_gym.networks.described import read_description
from n2n_gym.networks.hand_designed import hand_designed
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import unfinished_training
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import final_recipe

FINE_TUNING: dict[str, Any] = {
    "epochs": 150,
    "learning_rate": 1e-3,
    "one_cycle": False,
    "patience": 24,
    "soft": 0.0,
    "optimizer": "adam",
    "weight_decay": 0.0,
}
"""What fine-tuning after pruning does otherwise than a final training: weights that are good already are not to be thrown
about, and it ends when they get no better.
"""


def best_pruned(lab: Lab, problem: Problem, limits: Limits) -> dict[str, Any]:
    """Prune and fine-tune a teacher several times; what the best is worth, by the paper's reward of validation accuracy.

    Each pruned network is kept in the laboratory's folder, and not pruned again.

    Args:
        lab: Where to run.
        problem: Teacher and data.
        limits: When to stop pruning.

    Returns:
        The facts of the network as it is read again from its file, and of all `attempts`.
    """
    folder = lab.folder / "pruned" / f"{problem.name}-{limits.accuracy:.4f}-{limits.parameters}"
    attempts = [folder / f"s{seed}" for seed in range(lab.scale.prunings)]
    tested = folder / "tested"
    if not tested.exists():
        data = ImageData.of(problem, torch_device(lab.search.device))
        teacher = ready_teacher(problem, device=data.device).checkpoint.network.to(data.device)
        lab.display.start(f"pruning {problem.name}", len(attempts))
        for seed, attempt in enumerate(attempts):
            if not attempt.exists():
                _prune(teacher, data, problem, limits, attempt, seed)
            facts = _facts(attempt)
            lab.display.update(seed + 1, f"{facts['parameters']:,} parameters, val {facts['val_accuracy']:.2%}")
        test_saved([max(attempts, key=lambda attempt: _reward(_facts(attempt), problem))], 0, tested, data)
    kept = [{name: _facts(attempt)[name] for name in ("parameters", "val_accuracy")} for attempt in attempts]
    return {**load_checkpoint(tested).facts, "attempts": kept}


def _reward(facts: dict[str, Any], problem: Problem) -> float:
    """Nothing for the teacher itself, which is left where the first step went too far."""
    sizes = {"parameters": facts["parameters"], "teacher_parameters": problem.architecture.parameters, "macs": facts["macs"]}
    return paper_reward(Evaluation(accuracy=facts["val_accuracy"], teacher_accuracy=1.0, **sizes))


def _prune(teacher: Network, data: ImageData, problem: Problem, limits: Limits, folder: Path, seed: int) -> None:
    pruned, unfinished = folder.with_name(f"{folder.name}-pruned"), unfinished_training(folder)
    if not pruned.exists():
        network = prune(teacher, data, limits, seed=seed)
        unmeasured = {"val_accuracy": None, "test_accuracy": None}
        save_checkpoint(pruned, network, data.preprocessing, _size(network.architecture, problem) | unmeasured)
    network = load_checkpoint(pruned).network.to(data.device)
    recipe = dataclasses.replace(final_recipe(problem.data, problem.train_size), **FINE_TUNING)
    outcome = train(network, data, recipe, seed=seed, resume=unfinished)
    facts = _size(network.architecture, problem) | {"val_accuracy": outcome.score.accuracy, "test_accuracy": None}
    save_checkpoint(folder, network, data.preprocessing, facts)
    unfinished.unlink(missing_ok=True)


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = read_description(folder)["facts"]
    return facts


def distilled(lab: Lab, problem: Problem, name: str) -> dict[str, Any]:
    """Distil a teacher into a hand-designed network; what it is worth as it is read again from its file.

    Args:
        lab: Where to run.
        problem: Teacher and data.
        name: One of `n2n_gym.networks.hand_designed.HAND_DESIGNED`.
    """
    folder = lab.folder / "hand-designed" / f"{name}-{problem.name}"
    tested = folder / "tested"
    if not tested.exists():
        teacher = ready_teacher(problem, device=torch_device(lab.search.device))
        recipe = final_recipe(problem.data, problem.train_size)
        training = FinalTraining(problem, teacher, recipe, device=lab.search.device)
        lab.display.start(f"distilling into {name}", recipe.epochs)
        architecture = hand_designed(name, problem.architecture.input_shape, problem.data.classes, width=problem.width)
        if not (folder / "trained").exists():
            asked = Training(architecture, folder / "trained", seed=0)
            training.run([asked], lambda _, epoch: lab.display.update(epoch, ""))
        training.test([folder / "trained"], 0, tested)
    checkpoint = load_checkpoint(tested)
    accuracies = {key: checkpoint.facts[key] for key in ("val_accuracy", "test_accuracy")}
    return _size(checkpoint.network.architecture, problem) | accuracies


def _size(architecture: Architecture, problem: Problem) -> dict[str, Any]:
    return {
        "parameters": architecture.parameters,
        "macs": architecture.macs,
        "ratio": problem.architecture.parameters / architecture.parameters,
    }
