"""One loop that trains every network: teachers by labels, students by logits, final students by both (section 3.5)."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor, nn

from n2n_gym.models.build import Network
from n2n_gym.models.preprocessing import Batches
from n2n_gym.system.device import by_itself
from n2n_gym.system.progress import EPOCH, report
from n2n_gym.system.tensors import tensors_hash
from n2n_gym.training.gradients import Batch, Gradients, gradients_of
from n2n_gym.training.images import ImageData, Score
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.precision import has_bf16, pays_in_bf16
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.resume import TrainingFile
from n2n_gym.training.turns import Stopwatch, without_pause

Asked = ParamSpec("Asked")

DIVERGED = "training diverged: the loss is not finite"


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes:
        score: On the validation images, of the weights that the network was left with.
        epochs: Epochs trained.
        failure: Why the training failed, or "".
        loss: The mean over steps and epochs of what was minimised, for those epochs that were trained now.
    """

    score: Score
    epochs: int
    failure: str = ""
    loss: float = field(default=math.nan, compare=False)


@dataclass
class _BestWeights:
    """Remembers the best epoch's weights and when to slow down and stop."""

    network: nn.Module
    patience: int
    score: Score = field(default_factory=lambda: Score(-1.0))
    since: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def update(self, score: Score) -> bool:
        """Look at an epoch's score; returns whether it is time to learn more slowly."""
        self.since = 0 if score.accuracy > self.score.accuracy else self.since + 1
        if score.accuracy >= self.score.accuracy:  # of equally accurate epochs the last: it has the smaller learning rate
            self.score = score
            self.weights = copy.deepcopy(self.network.state_dict())
        return self.since > 0 and self.since % max(1, self.patience // 3) == 0

    @property
    def facts(self) -> dict[str, Any]:
        """What is to be known besides the weights."""
        return {"score": asdict(self.score), "since": self.since}

    def restore(self, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Be as it was when `facts` was asked for."""
        score = facts["score"]
        self.score = Score(**{**score, "class_accuracy": tuple(score["class_accuracy"])})
        self.since, self.weights = facts["since"], weights


def training(
    network: Network,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    teacher: TeacherLogits | None = None,
    bf16: bool | None = None,
    bf16_validation: bool = False,
    on_epoch: Callable[[int, float], None] | None = None,
    resume: Path | None = None,
    until: int | None = None,
    watch: Stopwatch | None = None,
) -> Generator[None, None, Outcome]:
    """Train a network in place: weights in float32, convolutions and products of larger networks in bfloat16.

    It pauses after each step, so that several can take turns. Nothing is drawn from torch's own generator.

    Args:
        network: What to train, on the data's device.
        data: Training and validation images.
        recipe: How.
        seed: Of the order of the images.
        teacher: Source of the soft labels; needed if the recipe's `soft` is not 0.
        bf16: Whether to compute in bfloat16 what `pays_in_bf16`; by default where `has_bf16`.
        bf16_validation: Whether such a network is validated in bfloat16, too: twice as fast, and for students of a search good
            enough (of 16, none's accuracy differed by more than 0.12 points, their mean by less than 0.01).
        on_epoch: Told the epochs done (from 1) and the validation accuracy, NaN if the recipe has no `patience`.
        resume: File that the training is written to after epochs, and from which it goes on, to the same end, if it is there
            from a program that was stopped. Whoever has kept what came out removes it.
        until: Stop after so many epochs, as they are in the whole training; with `resume`, it can be gone on with from there.
        watch: What times it, where trainings take turns; it is told what the training took before it is gone on with.

    Returns:
        Validation accuracy and, if the loss left the finite numbers and no earlier epoch's weights were kept, the failure.
    """
    network.to(memory_format=torch.channels_last)
    bf16 = (has_bf16(data.device) if bf16 is None else bf16) and pays_in_bf16(network.architecture, data.device)
    bf16_validation = bf16_validation and bf16
    optimizer = optimizer_for(network, recipe)
    generator = torch.Generator().manual_seed(seed)
    best = _BestWeights(network, recipe.patience) if recipe.patience else None
    arithmetic = {"bf16": bf16, "bf16_validation": bf16_validation}
    file = resume and TrainingFile(resume, **_identity(network, data, recipe, teacher), seed=seed, **arithmetic)
    steps = recipe.epochs * (min(recipe.images or len(data.train_images), len(data.train_images)) // recipe.batch_size)
    gradients = gradients_of(network, recipe, steps=steps, bf16=bf16)
    last = recipe.epochs if until is None else min(until, recipe.epochs)
    watch = watch or Stopwatch()
    done = 0
    losses = []
    if file and (found := file.read(network, optimizer, generator, most=last)):
        kept, facts = found
        done = facts["epoch"]
        watch.add(facts.get("seconds", 0.0))
        if best is not None:
            best.restore(kept, facts["best"])
    for epoch in range(done + 1, last + 1):
        with watch.paused():  # they are there for all students
            logits = logits_for(teacher, recipe, epoch - 1)
        images = data.stretch(epoch - 1, recipe.images)
        parts = torch.randperm(len(images), generator=generator).to(data.device).split(recipe.batch_size)
        batches = batches_of(data.viewed(epoch - 1, augment=recipe.augment), data.train_labels, images, parts, logits)
        if recipe.one_cycle:
            batches = cycled(batches, optimizer, recipe, epoch - 1, len(parts))
        loss = yield from _trained_once(network, optimizer, gradients, _reported(batches, epoch, len(parts)))
        done = epoch
        losses.append(loss / len(parts))
        if not math.isfinite(loss):
            if best is None or not best.weights:
                return Outcome(Score(0.0), epoch, DIVERGED)
            break
        accuracy = math.nan
        if best is not None:
            score = data.validation_score(network, bf16=bf16_validation)
            accuracy = score.accuracy
            if best.update(score):
                scale_learning_rate(optimizer, 1 / 3)
        elif epoch in recipe.milestones:
            scale_learning_rate(optimizer, 0.1)
        if on_epoch is not None:
            on_epoch(epoch, accuracy)
        if best is not None and best.since >= best.patience:
            break
        if file:
            kept, known = (best.weights, best.facts) if best is not None else ({}, None)
            facts = {"epoch": epoch, "best": known, "seconds": watch.seconds}
            file.write(network, optimizer, generator, kept, facts, at_once=epoch == until and epoch < recipe.epochs)
    if best is not None:
        network.load_state_dict(best.weights)
    score = data.validation_score(network, bf16=bf16_validation) if best is None else best.score
    return Outcome(score, done, loss=fmean(losses) if losses else math.nan)


def _by_itself(
    train: Callable[Concatenate[Network, ImageData, Recipe, Asked], Outcome],
) -> Callable[Concatenate[Network, ImageData, Recipe, Asked], Outcome]:
    @functools.wraps(train)
    def decided(network: Network, data: ImageData, recipe: Recipe, /, *rest: Asked.args, **options: Asked.kwargs) -> Outcome:
        with by_itself(data.device, network.architecture.macs, recipe.batch_size):
            return train(network, data, recipe, *rest, **options)

    return decided


train = _by_itself(without_pause(training))
"""Train a network in place, as `training` does, without a pause, `by_itself`."""


def logits_for(teacher: TeacherLogits | None, recipe: Recipe, epoch: int) -> Tensor | None:
    """The teacher's logits for an epoch's images, counted from 0; None if the recipe wants none."""
    if teacher is None or not recipe.soft:
        return None
    return teacher.of(epoch, augment=recipe.augment, images=recipe.images)


def batches_of(
    viewed: Batches, labels: Tensor, images: Tensor, parts: Sequence[Tensor], logits: Tensor | None
) -> Iterator[Batch]:
    """The batches of an epoch.

    Args:
        viewed: All images as a network reads them.
        labels: Of all.
        images: The indices of those in this epoch.
        parts: Of each step, which of them, shape (N,); of joined networks (networks, N).
        logits: The teacher's for those in this epoch; None without.
    """
    for part in parts:
        if part.shape[-1] > 1 or len(parts) == 1:  # else: batch statistics of a single image are no statistics
            indices = images[part]
            yield viewed[indices], labels[indices], None if logits is None else logits[part]


def _reported(batches: Iterable[Batch], epoch: int, steps: int) -> Iterator[Batch]:
    """The batches of an epoch; it is told how far it is."""
    for step, batch in enumerate(batches):
        report(f"{EPOCH} {epoch}, step", step, steps)
        yield batch


def cycled(
    batches: Iterable[Batch], optimizer: torch.optim.Optimizer, recipe: Recipe, done: int, steps: int
) -> Iterator[Batch]:
    """The batches of an epoch; before each, the learning rate is put where the cycle is after so many epochs."""
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate((done + (step + 0.5) / steps) / recipe.epochs)
        yield batch


def _trained_once(
    network: Network, optimizer: torch.optim.Optimizer, gradients: Gradients, batches: Iterable[Batch]
) -> Generator[None, None, float]:
    """Train on each batch once; returns the sum of their losses."""
    network.train()
    total = torch.zeros((), device=next(network.parameters()).device)
    for batch in batches:
        loss = gradients(batch)
        optimizer.step()
        total += loss
        yield
    return float(total)


def _identity(network: Network, data: ImageData, recipe: Recipe, teacher: TeacherLogits | None) -> dict[str, Any]:
    """What a training's end depends on."""
    return {
        "architecture": network.architecture.fingerprint,
        "weights": tensors_hash(network.state_dict()),
        "teacher": teacher and teacher.fingerprint,
        "data": data.dataset.fingerprint,
        "preprocessing": data.preprocessing.to_json(),
        "images": len(data.train_images),
        "recipe": recipe.to_json(),
        "device": data.device.type,
    }


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """What moves a network's weights by a recipe."""
    common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), **common)
    return torch.optim.SGD(network.parameters(), momentum=0.9, nesterov=recipe.optimizer == "nesterov", **common)


def scale_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Go on with the learning rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] *= factor
