"""Ways to make a CPU's step, or its look at held-out images, cheaper: what does each give, on one core?

    python benchmarks/step_ways.py [--networks resnet20 ...] [--batch 128] [--images 1280] [--repeats 3] [--out FILE]

Training: the package's own step (bfloat16 where that pays), the other precision, twice and four times the batch,
`torch.compile` (whose compiling is told apart), and five trainings of one architecture joined to one network's, in float32
(`JoinedNetwork`), each with images of its own. Evaluation: as it is, and with batch norms folded into convolutions. The
images are noise: nothing depends on what they show. Ways take turns; a figure is images a core second.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from report import Report
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.networks.beside import network_beside
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.problem import Problem
from n2n_gym.training.gradients import PlainGradients
from n2n_gym.training.joined import JoinedImages, check_joined, joined_losses
from n2n_gym.training.precision import has_bf16, pays_in_bf16
from n2n_gym.training.recipes import Recipe

CPU = torch.device("cpu")
JOINED = 5
"""Trainings of one architecture that are joined: a table's."""

RECIPE = Recipe(name="steps", epochs=1, batch_size=128, optimizer="nesterov", learning_rate=0.01, hard=1.0, soft=1.0)


@dataclass(frozen=True)
class _Data:
    images: Tensor
    labels: Tensor
    logits: Tensor

    @classmethod
    def drawn(cls, architecture: Architecture, count: int) -> _Data:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(count, *architecture.input_shape, generator=generator)
        return cls(
            images.contiguous(memory_format=torch.channels_last),
            torch.randint(architecture.classes, (count,), generator=generator),
            torch.randn(count, architecture.classes, generator=generator),
        )


def main(
    networks: tuple[str, ...] = ("resnet20", "width-scaled"),
    batch: int = 128,
    images: int = 1280,
    repeats: int = 3,
    compiled: bool = True,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        networks: Names of the zoo, a quarter as wide, or of `network_beside`, beside a ResNet-18 x 0.5 on CIFAR-10.
        batch: Images of a step.
        images: That a repetition sees.
        repeats: Of every way.
        compiled: Whether `torch.compile` is among them, which needs a C++ compiler.
        out: The JSON file.
    """
    torch.set_num_threads(1)
    report = Report("step_ways", ("images_a_core_second", "times"), out)
    teacher = Problem("resnet18", "cifar10", 0.5).architecture
    for name in networks:
        architecture = network(name, width=0.25) if name in ZOO else network_beside(name, teacher, 270_000)
        data = _Data.drawn(architecture, images)
        bf16 = has_bf16(CPU) and pays_in_bf16(architecture, CPU)
        report.facts[f"{name}: bfloat16 pays"] = bf16
        for what, ways in (
            ("training", _training(architecture, data, batch, bf16, report, name, compiled=compiled)),
            ("evaluation", _looks(architecture, data, bf16)),
        ):
            for run in ways.values():
                run()  # libraries choose their algorithms
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(repeats):
                for way, run in ways.items():
                    start = time.process_time()
                    seen = run()
                    taken[way].append(seen / (time.process_time() - start))
            plain = median(next(iter(taken.values())))
            for way, speeds in taken.items():
                report.add(f"{name}, {what}: {way}", images_a_core_second=speeds, times=median(speeds) / plain)
    report.finish()


def _network(architecture: Architecture, seed: int = 0) -> Network:
    return Network(architecture, torch.Generator().manual_seed(seed)).to(memory_format=torch.channels_last)


def _training(
    architecture: Architecture, data: _Data, batch: int, bf16: bool, report: Report, name: str, *, compiled: bool
) -> dict[str, Callable[[], int]]:
    """Ways to train on all images once, each returns how many it trained on."""
    ways = {
        "as it is": _epoch(_network(architecture), data, batch, bf16),
        "float32" if bf16 else "bfloat16": _epoch(_network(architecture), data, batch, not bf16),
        "twice the batch": _epoch(_network(architecture), data, 2 * batch, bf16),
        "four times the batch": _epoch(_network(architecture), data, 4 * batch, bf16),
    }
    with suppress(InputError):  # some kinds of layer cannot be joined
        check_joined(architecture)
        ways[f"{JOINED} trainings joined, float32"] = _joined(architecture, data, batch)
    if compiled:
        faster: Any = torch.compile(_network(architecture))
        ways["torch.compile"] = _epoch(faster, data, batch, bf16)
        start = time.perf_counter()
        ways["torch.compile"]()
        report.facts[f"{name}: seconds of compiling"] = time.perf_counter() - start
    return ways


def _epoch(trained: nn.Module, data: _Data, batch: int, bf16: bool) -> Callable[[], int]:
    gradients = PlainGradients(trained, RECIPE, bf16=bf16)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)

    def run() -> int:
        trained.train()
        for part in torch.arange(len(data.images)).split(batch):
            gradients((data.images[part], data.labels[part], data.logits[part]))
            optimizer.step()
        return len(data.images)

    return run


def _joined(architecture: Architecture, data: _Data, batch: int) -> Callable[[], int]:
    networks = JoinedNetwork([_network(architecture, seed) for seed in range(JOINED)]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(networks.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    generator = torch.Generator().manual_seed(0)

    def run() -> int:
        networks.train()
        orders = torch.stack([torch.randperm(len(data.images), generator=generator) for _ in range(JOINED)])
        for part in orders.split(batch, dim=1):
            losses = joined_losses(networks, (JoinedImages(data.images)[part], data.labels[part], data.logits[part]), RECIPE)
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
        return JOINED * len(data.images)

    return run


@torch.no_grad()
def _looks(architecture: Architecture, data: _Data, bf16: bool) -> dict[str, Callable[[], int]]:
    plain = _network(architecture).eval()
    return {"as it is": _look(plain, data, bf16), "batch norms folded": _look(_folded(copy.deepcopy(plain)), data, bf16)}


def _look(network: nn.Module, data: _Data, bf16: bool) -> Callable[[], int]:
    @torch.no_grad()
    def run() -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for part in torch.arange(len(data.images)).split(125):
                network(data.images[part])
        return len(data.images)

    return run


def _folded(network: Network) -> Network:
    """Each batch norm that follows a convolution alone becomes part of it."""
    nodes = network.architecture.nodes
    modules = network.layers
    for index, node in enumerate(nodes):
        module = modules[index]
        if isinstance(module, nn.BatchNorm2d) and len(node.inputs) == 1 and node.inputs[0] >= 0:
            before = modules[node.inputs[0]]
            if isinstance(before, nn.Conv2d) and sum(node.inputs[0] in other.inputs for other in nodes) == 1:
                modules[node.inputs[0]] = fuse_conv_bn_eval(before, module)
                modules[index] = nn.Identity()
    return network


if __name__ == "__main__":
    tyro.cli(main)
