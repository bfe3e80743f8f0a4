"""What a GPU trains in a second: float32 and bfloat16, CUDA graphs, several students at a time.

    python benchmarks/gpu_throughput.py [--networks resnet18 resnet20] [--processes 1 4 12] [--out FILE]

Networks are trained by the evaluator's own loop from a teacher's logits, with augmentation. A CUDA graph takes the launching
of the forward and the backward pass from Python; several processes share the GPU.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro
from report import Report

from n2n_gym.models.build import Network
from n2n_gym.networks.hand_designed import HAND_DESIGNED, hand_designed
from n2n_gym.networks.zoo import network as zoo_network
from n2n_gym.problem import Problem
from n2n_gym.system.device import torch_device
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import Recipe

BATCH = 128


def main(
    networks: tuple[str, ...] = ("resnet18", "resnet20"),
    dataset: str = "cifar10",
    width: float = 0.5,
    train_size: int = 12_800,
    epochs: int = 3,
    processes: tuple[int, ...] = (1, 4, 12),
    device: str = "auto",
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        networks: Of the zoo, or hand-designed.
        dataset: What they are trained on.
        width: Factor on the filters of networks of the zoo.
        train_size: Images an epoch.
        epochs: Of which the first warms up.
        processes: So many trainings side by side.
        device: Where.
        out: The JSON file.
    """
    report = Report("gpu_throughput", ("images_per_second", "milliseconds_a_step"), out)
    problem = Problem("conv4", dataset, 1.0, train_size)
    cuda = torch_device(device).type == "cuda"
    for name in networks:
        for bf16 in (False, True):
            for graph in (False, True) if cuda else (False,):
                count = processes if bf16 or not cuda else (1,)
                for many in count:
                    arithmetic = "bfloat16" if bf16 else "float32"
                    case = f"{name}: {arithmetic}{', CUDA graph' if graph else ''}, {many} at a time"
                    _add(report, case, many, (name, problem, width, epochs, device, bf16, graph))
    report.finish()


Job = tuple[str, Problem, float, int, str, bool, bool]


def _add(report: Report, case: str, many: int, job: Job) -> None:
    """A row of so many trainings side by side: the sum of their images a second."""
    if many == 1:
        trained = [_epoch_ends(*job)]
    else:
        with ProcessPoolExecutor(many, get_context("spawn")) as pool:
            trained = [future.result() for future in [pool.submit(_epoch_ends, *job) for _ in range(many)]]
    rates = [sum(count * (len(ends) - 1) / (ends[-1] - ends[0]) for count, ends in trained)]
    report.add(case, images_per_second=rates, milliseconds_a_step=[1000 * BATCH * many / rates[0]])


def _epoch_ends(
    name: str, problem: Problem, width: float, epochs: int, device: str, bf16: bool, graph: bool
) -> tuple[int, list[float]]:
    """How many images an epoch has, and when each epoch ended."""
    where = torch_device(device)
    torch.set_num_threads(1)
    data = ImageData.of(problem, where)
    shape, classes = problem.data.input_shape, problem.data.classes
    designed = name in HAND_DESIGNED
    architecture = hand_designed(name, shape, classes) if designed else zoo_network(name, shape, classes, width=width)
    built = Network(architecture, torch.Generator().manual_seed(0)).to(where).to(memory_format=torch.channels_last)
    images = len(data.train_images)
    if graph:
        sample = torch.rand(BATCH, *shape, device=where).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False):
            torch.cuda.make_graphed_callables(built.train(), (sample,))  # the network is graphed in place
    recipe = Recipe(name="throughput", epochs=epochs, batch_size=min(BATCH, images), learning_rate=1e-3, hard=1.0)
    ends: list[float] = []
    train(built, data, recipe, seed=0, bf16=bf16, on_epoch=lambda *_: ends.append(time.time()))
    return images, ends


if __name__ == "__main__":
    tyro.cli(main)
