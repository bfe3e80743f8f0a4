"""Trains several networks of one architecture at once, each from its own weights and in its own order of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.models.preprocessing import Batches
from n2n_gym.training.gradients import Batch
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import DIVERGED, batches_of, cycled, logits_for, optimizer_for, scale_learning_rate
from n2n_gym.training.recipes import Recipe


def check_joined(architecture: Architecture) -> None:
    """Refuse to join the trainings of a network's students if it has layers of which that is not known.

    Raises:
        InputError: If it has.
    """
    try:
        JoinedNetwork([Network(architecture, torch.Generator().manual_seed(0))] * 2)
    except TypeError as error:
        raise InputError(f"{error}; leave joined out") from None


def train_joined(
    networks: JoinedNetwork,
    data: ImageData,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    teacher: TeacherLogits | None = None,
) -> list[str]:
    """Train joined networks in place, each as `train` does one in float32, but for the order in which numbers are summed.

    Args:
        networks: On the data's device.
        data: Training images.
        recipe: How; one without `patience`.
        seeds: Of the order of the images, one for each network.
        teacher: Source of the soft labels; needed if the recipe's `soft` is not 0.

    Returns:
        Why each network's training failed, or "".

    Raises:
        InputError: If the recipe has `patience`: each network would stop elsewhere.
    """
    if recipe.patience:
        raise InputError(f"recipe {recipe.name!r} stops by patience, where joined trainings go on; leave joined out")
    networks.to(memory_format=torch.channels_last)
    networks.train()
    optimizer = optimizer_for(networks, recipe)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    failures = [""] * len(seeds)
    for epoch in range(1, recipe.epochs + 1):
        images = data.stretch(epoch - 1, recipe.images)
        orders = torch.stack([torch.randperm(len(images), generator=each) for each in generators]).to(data.device)
        parts = orders.split(recipe.batch_size, dim=1)
        logits = logits_for(teacher, recipe, epoch - 1)
        viewed = JoinedImages(data.viewed(epoch - 1, augment=recipe.augment))
        batches = batches_of(viewed, data.train_labels, images, parts, logits)
        if recipe.one_cycle:
            batches = cycled(batches, optimizer, recipe, epoch - 1, len(parts))
        total = torch.zeros(len(seeds), device=data.device)
        for batch in batches:
            losses = joined_losses(networks, batch, recipe)
            optimizer.zero_grad()
            losses.sum().backward()  # no network's loss depends on another's weights
            optimizer.step()
            total += losses.detach()
        for index in torch.nonzero(~total.isfinite()).flatten().tolist():
            failures[index] = DIVERGED
        if epoch in recipe.milestones:
            scale_learning_rate(optimizer, 0.1)
    return failures


@dataclass(frozen=True)
class JoinedImages:
    """Images for joined networks to read, each its own: by indices of shape (networks, N).

    Attributes:
        images: Where they are.
    """

    images: Batches

    def __getitem__(self, indices: Tensor) -> Tensor:
        by_network: Tensor = self.images[indices.flatten()].unflatten(0, indices.shape)
        return by_network.transpose(0, 1).flatten(1, 2)


def joined_losses(networks: JoinedNetwork, batch: Batch, recipe: Recipe) -> Tensor:
    """What each network minimises, shape (networks,).

    Args:
        networks: They.
        batch: Images (`JoinedImages`); labels and logits with the networks first.
        recipe: The losses' weights.
    """
    images, labels, logits = batch
    outputs = networks(images)
    losses = torch.zeros(len(outputs), device=outputs.device)
    if recipe.hard:
        losses = losses + recipe.hard * F.cross_entropy(outputs.flatten(0, 1), labels.flatten(), reduction="none").view(
            labels.shape
        ).mean(1)
    if logits is not None:
        losses = losses + recipe.soft * F.mse_loss(outputs, logits, reduction="none").mean((1, 2))
    return losses
