"""What a GPU trains in a second: float32 and bfloat16, CUDA graphs, several students in processes or in turns.

    python benchmarks/gpu_throughput.py [--networks resnet18 resnet20] [--many 12] [--out FILE]

Networks are trained by the package's own loop from labels, with augmentation. A CUDA graph takes the launching of forward and
backward pass from Python; processes share the GPU, one after the other; trainings in turns have streams of one
process, whose kernels run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from report import Report

from n2n_gym.models.build import Network
from n2n_gym.networks.hand_designed import HAND_DESIGNED, hand_designed
from n2n_gym.networks.zoo import network as zoo_network
from n2n_gym.problem import Problem
from n2n_gym.system.device import torch_device
from n2n_gym.system.pool import Pool
from n2n_gym.training import gradients
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import Outcome, training
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.turns import finished, in_turns

BATCH = 128


class Job(NamedTuple):
    """A training that is timed.

    Attributes:
        name: The network's.
        problem: Data.
        width: Factor on the filters of networks of the zoo.
        epochs: Of which the first warms up.
        device: Where.
        bf16: Whether in bfloat16.
        graph: Whether by a CUDA graph.
    """

    name: str
    problem: Problem
    width: float
    epochs: int
    device: str
    bf16: bool
    graph: bool


def main(
    networks: tuple[str, ...] = ("resnet18", "resnet20"),
    dataset: str = "cifar10",
    width: float = 0.5,
    train_size: int = 12_800,
    epochs: int = 3,
    many: int = 12,
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
        many: So many trainings side by side.
        device: Where.
        out: The JSON file.
    """
    report = Report("gpu_throughput", ("images_per_second", "milliseconds_a_step"), out)
    problem = Problem("conv4", dataset, 1.0, train_size)
    graphs = (False, True) if torch_device(device).type == "cuda" else (False,)
    for name in networks:
        for bf16 in (False, True):
            for graph in graphs:
                job = Job(name, problem, width, epochs, device, bf16, graph)
                case = f"{name}, {'bfloat16' if bf16 else 'float32'}{', CUDA graph' if graph else ''}"
                _add(report, f"{case}: alone", [_alone(job)])
                if bf16:
                    _add(report, f"{case}: {many} in turns", _in_turns(job, many))
                    if graph == graphs[-1]:
                        _add(report, f"{case}: {many} in processes", _in_processes(job, many))
    report.finish()


Timed = tuple[int, list[float]]
"""How many images an epoch has, and when each epoch ended."""


def _add(report: Report, case: str, trained: list[Timed]) -> None:
    """A row: the sum of the trainings' images a second."""
    rate = sum(count * (len(ends) - 1) / (ends[-1] - ends[0]) for count, ends in trained)
    report.add(case, images_per_second=[rate], milliseconds_a_step=[1000 * BATCH * len(trained) / rate])


def _alone(job: Job) -> Timed:
    return finished(_timed(job))


def _in_turns(job: Job, many: int) -> list[Timed]:
    return in_turns([_timed(job) for _ in range(many)], torch_device(job.device), at_once=many)


def _in_processes(job: Job, many: int) -> list[Timed]:
    with Pool(many) as pool:
        return list(pool.map(_alone, [job] * many))


def _timed(job: Job) -> Generator[None, None, Timed]:
    where = torch_device(job.device)
    torch.set_num_threads(1)
    gradients.GRAPH_STEPS = 1 if job.graph else 10**9
    data = ImageData.of(job.problem, where)
    shape, classes = job.problem.data.input_shape, job.problem.data.classes
    designed = job.name in HAND_DESIGNED
    architecture = (
        hand_designed(job.name, shape, classes) if designed else zoo_network(job.name, shape, classes, width=job.width)
    )
    built = Network(architecture, torch.Generator().manual_seed(0)).to(where)
    images = len(data.train_images)
    recipe = Recipe(name="throughput", epochs=job.epochs, batch_size=min(BATCH, images), learning_rate=1e-3, hard=1.0)
    ends: list[float] = []
    steps: Generator[None, None, Outcome] = training(
        built, data, recipe, seed=0, bf16=job.bf16, on_epoch=lambda *_: ends.append(time.time())
    )
    yield from steps
    return images, ends


if __name__ == "__main__":
    tyro.cli(main)
