"""The paper's pruning baseline: filters with the least influence on the loss go, the rest is fine-tuned (section 4.4.1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import Channels
from n2n_gym.models.build import Network
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.seeds import training_seed

GRADIENT_BATCHES = 10
"""Batches that a filter's influence is estimated on."""

BETWEEN = Recipe(name="fine-tune", epochs=1, batch_size=64, learning_rate=1e-3, weight_decay=0.0, hard=1.0)
"""Fine-tuning between two prunings."""

PATIENCE = 5
"""Prunings in a row that may end below the accuracy asked for: one epoch's weights are a point better or worse by chance."""

ENOUGH_IMAGES, MOST_EPOCHS = 10_000, 10
"""Fewer training images are seen several times between two prunings: 16 steps on 1,000 heal no network. The learning rate then
falls twice, lest accuracy is lost before any filter is missed (docs/settings.md)."""


@dataclass(frozen=True)
class Limits:
    """When to stop (section 4.4.1): before accuracy, for good, or parameters fall below these.

    Attributes:
        accuracy: Validation accuracy after fine-tuning; the paper stops 1 point below its own student's.
        parameters: The paper's own student's.
    """

    accuracy: float
    parameters: int


def prune(
    teacher: Network,
    data: ImageData,
    limits: Limits,
    *,
    seed: int,
    steps: int = 40,
    between: Recipe | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Network:
    """Prune a trained network's filters, a few at a time wherever they matter least, after Molchanov et al. (2016).

    A filter's influence is the first-order Taylor estimate of what the loss changes without it, |sum of weight * gradient|
    over its weights, normalised within its layer. (Molchanov et al. sum activation * gradient over its feature map; this is
    the form for weights.) Filters of layers that meet in a sum go together.

    Args:
        teacher: The trained network; it is left as it is.
        data: Images to estimate influence on, to fine-tune on and to validate on.
        limits: When to stop.
        seed: Of the batches and their order.
        steps: Into how many steps the way to (nearly) nothing is divided.
        between: Fine-tuning after each step; by default `BETWEEN`, for more epochs where there are fewer images.
        on_step: Told the steps done, the parameters left and the validation accuracy.

    Returns:
        The smallest network on the way that was within the limits; the teacher's copy if none was.

    Raises:
        InputError: If `torch-pruning` is not installed.
    """
    check_installed()
    import torch_pruning

    if between is None:
        between = _between(len(data.train_images))
    network = copy.deepcopy(teacher)
    best = copy.deepcopy(teacher)
    example = data.batch(data.view(0, augment=False), torch.arange(2, device=data.device))
    importance = torch_pruning.importance.GroupTaylorImportance(multivariable=True)
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example,
        importance,
        global_pruning=True,
        pruning_ratio=0.99,
        iterative_steps=steps,
        ignored_layers=[_classifier(network)],
    )
    generator = torch.Generator().manual_seed(seed)
    below = 0
    for step in range(1, steps + 1):
        _accumulate_gradients(network, data, between.batch_size, generator)
        pruner.step()
        network.zero_grad(set_to_none=True)
        network.architecture = described = described_by(network)
        score = train(network, data, between, seed=training_seed(seed, step)).score
        if on_step is not None:
            on_step(step, described.parameters, score.accuracy)
        if described.parameters < limits.parameters:
            break
        if score.accuracy >= limits.accuracy:
            best, below = rebuilt(network), 0
        else:
            below += 1
            if below == PATIENCE:
                break
    return best


def _between(images: int) -> Recipe:
    epochs = min(MOST_EPOCHS, math.ceil(ENOUGH_IMAGES / images))
    return replace(BETWEEN, epochs=epochs, milestones=(epochs // 2, epochs * 4 // 5))


def check_installed() -> None:
    """Refuse to prune without torch-pruning.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import torch_pruning  # noqa: F401
    except ImportError:
        raise InputError("pruning needs torch-pruning: pip install 'n2n-gym[baselines]'") from None


def described_by(network: Network) -> Architecture:
    """The architecture that a network has after its filters were pruned: its own, with the filters that are left."""
    nodes = []
    for node, module in zip(network.architecture.nodes, network.layers, strict=True):
        layer = node.layer
        if layer.channels is Channels.FREE:  # filters or connections are the rows of the weights
            weights = next(value for name, value in module.state_dict().items() if name.endswith("weight"))
            layer = layer.giving(len(weights))
        nodes.append(replace(node, layer=layer))
    return Architecture(tuple(nodes), network.architecture.input_shape, network.architecture.classes)


def rebuilt(network: Network) -> Network:
    """A network of its own with the weights of a pruned one: what is written and read again is what was pruned."""
    copied = Network(described_by(network), torch.Generator())
    copied.load_state_dict(network.state_dict())
    return copied.to(next(network.parameters()).device)


def _classifier(network: Network) -> nn.Module:
    """The layer whose outputs are the classes: the last that has filters or connections."""
    pairs = zip(network.architecture.nodes, network.layers, strict=True)
    return [module for node, module in pairs if node.layer.channels is Channels.FREE][-1]


def _accumulate_gradients(network: Network, data: ImageData, batch_size: int, generator: torch.Generator) -> None:
    network.train()
    network.zero_grad(set_to_none=True)
    order = torch.randperm(len(data.train_images), generator=generator).to(data.device)
    view = data.view(0, augment=False)
    for indices in order.split(batch_size)[:GRADIENT_BATCHES]:
        F.cross_entropy(network(data.batch(view, indices)), data.train_labels[indices]).backward()
