"""Measures how long a student's forward pass takes, for limits on latency (section 3.3.1)."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY, Evaluation
from n2n_gym.evaluators.contract import Evaluator, WrappingEvaluator
from n2n_gym.models.build import Network
from n2n_gym.student import Student
from n2n_gym.system.device import one_thread, torch_device
from n2n_gym.system.memory import is_out_of_memory

WARM_UP = 5
REPEATS = 21


class LatencyEvaluator(WrappingEvaluator):
    """Adds `latency_ms` to another evaluator's evaluations: the median time of some warm forward passes.

    Students are timed before they are trained, so that no training disturbs the clock. One architecture is timed once;
    to have it timed once for all runs on a machine, put a store around this evaluator.

    Args:
        inner: Trains the students.
        batch_size: Images in a pass.
        device: Where the pass runs: `auto`, `cpu`, `cuda`, ...

    Raises:
        InputError: If the batch size is below 1.
    """

    def __init__(self, inner: Evaluator, *, batch_size: int = 1, device: str = "auto") -> None:
        if batch_size < 1:
            raise InputError(f"the batch size that latency is measured at must be at least 1, not {batch_size}")
        self.inner = inner
        self.batch_size = batch_size
        self.device = device
        self._known: dict[str, float] = {}

    def context(self) -> dict[str, Any]:
        machine = f"{platform.node()} {platform.machine()}"
        return {
            **super().context(),
            "latency": {"batch_size": self.batch_size, "device": self.device, "machine": machine},
        }

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        latencies: dict[int, float] = {}
        for index, student in enumerate(students):
            try:
                latencies[index] = self.latency_ms(student.architecture)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                yield index, Evaluation.failed(student.architecture, self.teacher, OUT_OF_MEMORY)
        timed = list(latencies)
        for position, evaluation in self.inner.stream([students[i] for i in timed]):
            yield timed[position], replace(evaluation, latency_ms=latencies[timed[position]])

    def latency_ms(self, architecture: Architecture) -> float:
        """The student's `measured_latency`, measured once."""
        known = self._known
        if architecture.fingerprint not in known:
            known[architecture.fingerprint] = measured_latency(architecture, batch_size=self.batch_size, device=self.device)
        return known[architecture.fingerprint]


def measured_latency(architecture: Architecture, *, batch_size: int = 1, device: str = "auto") -> float:
    """Median time of warm forward passes in milliseconds, on the CPU with one thread.

    Args:
        architecture: A feasible one.
        batch_size: Images in a pass.
        device: Where it runs.
    """
    place = torch_device(device)
    with one_thread(place), torch.no_grad():
        network = Network(architecture, torch.Generator()).eval().to(place).to(memory_format=torch.channels_last)
        images = torch.zeros(batch_size, *architecture.input_shape, device=place)
        images = images.contiguous(memory_format=torch.channels_last)
        times = []
        for _ in range(WARM_UP + REPEATS):
            start = time.perf_counter()
            network(images)
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:])
