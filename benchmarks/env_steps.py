"""Environment steps per second, against Gymnasium's CartPole in the same run; and how an episode grows with depth.

    python benchmarks/env_steps.py [--seconds 1] [--repeats 5] [--out FILE]

Students are not trained: the evaluator says the same of each. What is measured is the environments' own work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro
from report import Report

from agents.benchmark.tasks import Task
from n2n_gym.architecture import Architecture
from n2n_gym.evaluators.base import Evaluation, Evaluator
from n2n_gym.models.zoo import network
from n2n_gym.table import table_names

DEPTHS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


@dataclass
class Indifferent(Evaluator):
    """Says the same of every student."""

    architecture: Architecture

    @property
    def teacher(self) -> Architecture:
        return self.architecture

    def context(self) -> dict[str, str]:
        return {}

    def stream(self, students: Sequence[Architecture]) -> Iterator[tuple[int, Evaluation]]:
        for index, student in enumerate(students):
            yield index, Evaluation.of(student, self.teacher, accuracy=0.9, teacher_accuracy=0.95)


def settings(teacher: str) -> dict[str, object]:
    return {"teacher": teacher, "dataset": "cifar10", "evaluator": Indifferent(network(teacher))}


def single_rate(env: gym.Env, seconds: float, *, terminal: bool) -> float:
    """Steps per second; `terminal=False` leaves the steps that end episodes, and resets, out of count and time."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, env.action_space.n, 4096)
    steps, spent = 0, 0.0
    end = time.perf_counter() + seconds
    env.reset(seed=0)
    position = 0
    length = env.unwrapped.stage.decisions if hasattr(env.unwrapped, "stage") else None
    while time.perf_counter() < end:
        block = 16 if length is None or terminal else min(16, length - 1 - position)
        start = time.perf_counter()
        over = False
        for i in range(block):
            _, _, over, _, _ = env.step(actions[(steps + i) % 4096])
            if over:
                block = i + 1
                break
        spent += time.perf_counter() - start
        steps += block
        position += block
        if over or (length is not None and position >= length - 1):
            env.reset()
            position = 0
    return steps / spent


def vector_rate(envs: gym.vector.VectorEnv, length: int, seconds: float) -> float:
    """Steps of single environments per second, without those that end episodes."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, envs.single_action_space.n, (256, envs.num_envs))
    steps, spent = 0, 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        envs.reset(seed=0)
        block = length - 1
        start = time.perf_counter()
        for i in range(block):
            envs.step(actions[i % 256])
        spent += time.perf_counter() - start
        steps += block * envs.num_envs
    return steps / spent


def whole_rate(envs: gym.vector.VectorEnv, seconds: float) -> float:
    """Transitions of single environments per second, with rewards looked up in a table, episodes' ends and restarts."""
    length = envs.unwrapped.stage.decisions
    rng = np.random.default_rng(0)
    envs.reset(seed=0)
    transitions, spent = 0, 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        actions = rng.integers(0, envs.single_action_space.n, (length + 1, envs.num_envs))
        start = time.perf_counter()
        for each in actions:  # the last ones are ignored: that step starts the next episodes
            envs.step(each)
        spent += time.perf_counter() - start
        transitions += length * envs.num_envs
    return transitions / spent


def episode_seconds(teacher: str) -> float:
    """One whole removal episode without its evaluation."""
    env = gym.make("N2N/LayerRemoval-v0", **settings(teacher)).unwrapped
    start = time.perf_counter()
    env.reset(seed=0)
    over = False
    step = 0
    while not over:
        _, _, over, _, _ = env.step(step % 5 == 0)
        step += 1
    return time.perf_counter() - start


def main(seconds: float = 1.0, repeats: int = 5, out: Path | None = None) -> None:
    """Measure.

    Args:
        seconds: Length of one repetition.
        repeats: Repetitions.
        out: The JSON file.
    """
    report = Report("env_steps", ("steps_per_second", "times_cartpole", "times_single", "episode_ms", "ms_per_decision"), out)
    cartpole = gym.make("CartPole-v1").unwrapped
    makers: dict[str, Callable[[], gym.Env]] = {"CartPole-v1": lambda: cartpole}
    for stage in ("LayerRemoval", "LayerShrink"):
        env = gym.make(f"N2N/{stage}-v0", **settings("resnet18")).unwrapped
        makers[f"{stage}, resnet18"] = lambda env=env: env
    rates: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(repeats):  # in turn, so that a slow moment of the machine meets all of them
        for name, make in makers.items():
            rates[name].append(single_rate(make(), seconds, terminal=name.startswith("CartPole")))
    for name, values in rates.items():
        report.add(name, steps_per_second=values, times_cartpole=_ratios(values, rates["CartPole-v1"]))
    singles = rates["LayerRemoval, resnet18"]
    for count in (1, 8, 64, 256):
        envs = gym.make_vec("N2N/LayerRemoval-v0", num_envs=count, **settings("resnet18"))
        values = [vector_rate(envs, 45, seconds) for _ in range(repeats)]
        report.add(
            f"LayerRemoval, resnet18, vector of {count}",
            steps_per_second=values,
            times_cartpole=_ratios(values, rates["CartPole-v1"]),
            times_single=_ratios(values, singles),
        )
    for table in table_names():
        envs = Task(table).vector_env(256).envs
        values = [whole_rate(envs, seconds) for _ in range(repeats)]
        report.add(
            f"table {table}, whole episodes, vector of 256",
            steps_per_second=values,
            times_cartpole=_ratios(values, rates["CartPole-v1"]),
        )
    for teacher in DEPTHS:
        times = [1000 * episode_seconds(teacher) for _ in range(repeats * 3)]
        decisions = gym.make("N2N/LayerRemoval-v0", **settings(teacher)).unwrapped.stage.decisions
        report.add(
            f"episode, {teacher}, {decisions} decisions", episode_ms=times, ms_per_decision=[t / decisions for t in times]
        )
    report.finish()


def _ratios(values: list[float], others: list[float]) -> list[float]:
    return [a / b for a, b in zip(values, others, strict=True)]


if __name__ == "__main__":
    tyro.cli(main)
