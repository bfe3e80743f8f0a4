"""How fast networks are, side by side: they take turns, so that whatever else the machine does slows them all."""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.export.forms import ONNX_PACKAGES, onnx_bytes
from n2n_gym.registry import Registry
from n2n_gym.system.device import alone, threads
from n2n_gym.system.machine import cores

_log = logging.getLogger("n2n_gym")

BATCHES = (1, 64)
"""Images in a pass."""

WARM_UP = 3
FEWEST, MOST = 9, 51
"""Rounds in which each network has one pass: at least and at most so many, as `SECONDS` allows."""

SECONDS = 1.0
"""For the rounds of one setting, after the fewest."""


@dataclass(frozen=True)
class Timing:
    """Passes of one network in milliseconds: the median and the quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """From the passes' seconds, two at least."""
        lower, median, upper = statistics.quantiles([1000 * each for each in seconds], method="inclusive")
        return cls(median, lower, upper)


@dataclass(frozen=True)
class Setting:
    """How networks are run.

    Attributes:
        engine: One of `ENGINES`.
        device: `cpu`, or torch's name of a GPU.
        threads: On the CPU.
        batch: Images in a pass.
    """

    engine: str
    device: str
    threads: int
    batch: int


Pass = Callable[[], object]
"""One forward pass, which returns when it is over."""


Engine = Callable[[Tensor, Setting], Pass]
"""What runs one network: it is given a batch of images, as the network reads them, and how they are to be run."""


def _torch(network: Network) -> Engine:
    def prepare(images: Tensor, setting: Setting) -> Pass:
        place = torch.device(setting.device)
        ours = network.to(place).to(memory_format=torch.channels_last)
        batch = images.to(place).contiguous(memory_format=torch.channels_last)

        def run() -> None:
            ours(batch)
            if place.type == "cuda":
                torch.cuda.synchronize(place)

        return run

    return prepare


def _onnxruntime(network: Network) -> Engine:
    import onnxruntime

    model = onnx_bytes(network)

    def prepare(images: Tensor, setting: Setting) -> Pass:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads rest while others have a turn
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        batch: np.ndarray = images.numpy()
        return lambda: session.run(None, {"images": batch})

    return prepare


ENGINES: Registry[Callable[[Network], Engine]] = Registry("engine")
"""What networks are run by, by name; each is made for one network."""
ENGINES.register("torch", _torch)
ENGINES.register("onnxruntime", _onnxruntime)


def settings(device: str = "cpu") -> list[Setting]:
    """How networks are timed here: all engines that are installed, one thread and all, the batches in `BATCHES`.

    Args:
        device: A GPU is timed besides the CPU, in torch.
    """
    installed = [name for name in ENGINES if name == "torch" or all(map(find_spec, ONNX_PACKAGES))]
    threads = dict.fromkeys((1, cores()))
    found = [Setting(name, "cpu", *pair) for name in installed for pair in itertools.product(threads, BATCHES)]
    return found if device == "cpu" else [*found, *(Setting("torch", device, 1, batch) for batch in BATCHES)]


@torch.no_grad()
def compare_speed(networks: Mapping[str, Network], device: str = "cpu") -> list[dict[str, Any]]:
    """Time forward passes of networks in every setting, in turn.

    Args:
        networks: By name; they are left in evaluation mode, on the device that was timed last.
        device: A GPU is timed besides the CPU.

    Returns:
        For each of `settings` whose engine can run them all, as JSON data: its fields, and under each network's name the
        `Timing` in milliseconds.
    """
    generator = torch.Generator().manual_seed(0)
    todo = settings(device)
    engines: dict[str, dict[str, Engine]] = {}
    for engine in dict.fromkeys(setting.engine for setting in todo):
        try:
            engines[engine] = {name: ENGINES[engine](network.eval()) for name, network in networks.items()}
        except InputError as error:
            _log.warning("no speed in %s: %s", engine, error)
    rows = []
    for setting in todo:
        if setting.engine not in engines:
            continue
        with alone(), threads(setting.threads):
            passes = {}
            for name, network in networks.items():
                images = torch.randn(setting.batch, *network.architecture.input_shape, generator=generator)
                passes[name] = engines[setting.engine][name](images, setting)
            times = _in_turn(passes)
        rows.append({**asdict(setting), **{name: asdict(Timing.of(seconds)) for name, seconds in times.items()}})
    return rows


def _in_turn(passes: Mapping[str, Pass]) -> dict[str, list[float]]:
    """Seconds of each one's passes, in rounds in which each has one; who was first is last in the next."""
    times: dict[str, list[float]] = {name: [] for name in passes}
    order = list(passes)
    begun = time.perf_counter()
    for done in range(-WARM_UP, MOST):
        if done >= FEWEST and time.perf_counter() - begun > SECONDS:
            break
        for name in order:
            start = time.perf_counter()
            passes[name]()
            if done >= 0:
                times[name].append(time.perf_counter() - start)
        order.reverse()
        begun = time.perf_counter() if done < 0 else begun
    return times
