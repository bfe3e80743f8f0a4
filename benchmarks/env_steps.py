"""Environment steps per second, against Gymnasium's CartPole in the same run; and how an episode grows with depth.

    python benchmarks/env_steps.py [--seconds 1] [--repeats 5] [--out FILE]

Students are not trained: the evaluator says the same of each. What is measured is the environments' own work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.spaces import flatdim
from report import Report
from students import random_episodes

from agents.benchmark.exhaustive import TableTask
from n2n_gym.architecture import Architecture
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.networks.zoo import network
from n2n_gym.student import Student
from n2n_gym.tables import SEARCH, Table, table_names
from n2n_gym.tables.evaluator import TableEvaluator

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

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        for index, student in enumerate(students):
            yield index, Evaluation.of(student.architecture, self.teacher, accuracy=0.9, teacher_accuracy=0.95)


def settings(teacher: str) -> dict[str, Any]:
    return {"teacher": teacher, "dataset": "cifar10", "evaluator": Indifferent(network(teacher))}


def single_rate(env: gym.Env, seconds: float, *, terminal: bool) -> float:
    """Steps per second; `terminal=False` leaves the steps that end episodes, and resets, out of count and time."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, flatdim(env.action_space), 4096)
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
    actions = rng.integers(0, flatdim(envs.single_action_space), (256, envs.num_envs))
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


def whole_rate(envs: CompressionVectorEnv, seconds: float) -> float:
    """Transitions of single environments per second, with rewards looked up in a table, episodes' ends and restarts."""
    length = envs.stage.decisions
    rng = np.random.default_rng(0)
    envs.reset(seed=0)
    transitions, spent = 0, 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        actions = rng.integers(0, flatdim(envs.single_action_space), (length + 1, envs.num_envs))
        start = time.perf_counter()
        for each in actions:  # the last ones are ignored: that step starts the next episodes
            envs.step(each)
        spent += time.perf_counter() - start
        transitions += length * envs.num_envs
    return transitions / spent


def episode_seconds(env: gym.Env, actions: list[int]) -> tuple[float, float]:
    """One whole removal episode without its evaluation: seconds of all steps but the last, and of everything."""
    start = time.perf_counter()
    env.reset(seed=0)
    for action in actions[:-1]:
        env.step(action)
    before_last = time.perf_counter()
    _, _, over, _, info = env.step(actions[-1])
    end = time.perf_counter()
    assert over
    assert not info["reason"]
    return before_last - start, end - start


def main(seconds: float = 1.0, repeats: int = 5, out: Path | None = None) -> None:
    """Measure.

    Args:
        seconds: Length of one repetition.
        repeats: Repetitions.
        out: The JSON file.
    """
    report = Report("env_steps", ("steps_per_second", "times_cartpole", "times_single", "episode_ms", "ms_per_decision"), out)
    environments: dict[str, gym.Env] = {"CartPole-v1": gym.make("CartPole-v1").unwrapped}
    for stage in ("LayerRemoval", "LayerShrink"):
        environments[f"{stage}, resnet18"] = gym.make(f"N2N/{stage}-v0", **settings("resnet18")).unwrapped
    rates: dict[str, list[float]] = {name: [] for name in environments}
    for _ in range(repeats):  # in turn, so that a slow moment of the machine meets all of them
        for name, env in environments.items():
            rates[name].append(single_rate(env, seconds, terminal=name.startswith("CartPole")))
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
        envs = TableTask(table).vector_env(256).envs
        values = [whole_rate(envs, seconds) for _ in range(repeats)]
        report.add(
            f"table {table}, whole episodes, vector of 256",
            steps_per_second=values,
            times_cartpole=_ratios(values, rates["CartPole-v1"]),
        )
    _depths(report, repeats)
    holds = {row["case"]: row for row in report.rows}
    for stage in ("LayerRemoval", "LayerShrink"):
        times = median(holds[f"{stage}, resnet18"]["times_cartpole"])
        report.claim(f"{stage}: non-terminal steps against CartPole's", times, at_least=1)
    report.claim(
        "a vector of 64 against single steps",
        median(holds["LayerRemoval, resnet18, vector of 64"]["times_single"]),
        at_least=10,
    )
    for name in table_names():
        rate = median(holds[f"table {name}, whole episodes, vector of 256"]["steps_per_second"])
        report.claim(f"table {name}: transitions a second of a vector of 256", rate, at_least=1e6)
        report.claim(f"table {name}: look-ups a second", look_ups(name, seconds), at_least=1e5)
        loading = [seconds_to_load(name) for _ in range(repeats)]
        report.add(f"table {name}, loading", seconds=loading)
        report.claim(f"table {name}: seconds to load", median(loading), at_most=0.1)
    report.finish()


def _depths(report: Report, repeats: int) -> None:
    """Episodes of students that are not degenerate, by the depth of their teacher."""
    lengths, milliseconds = [], []
    for teacher in DEPTHS:
        env: Any = gym.make("N2N/LayerRemoval-v0", **settings(teacher)).unwrapped
        episodes = random_episodes(env.stage, repeats * 3, share=0.1)
        times = [episode_seconds(env, actions) for actions in episodes]
        whole = [1000 * seconds for _, seconds in times]
        decisions = env.stage.decisions
        report.add(
            f"episode, {teacher}, {decisions} decisions",
            episode_ms=whole,
            ms_per_decision=[each / decisions for each in whole],
            steps_per_second=[(decisions - 1) / seconds for seconds, _ in times],
        )
        lengths.append(decisions)
        milliseconds.append(median(whole))
        if teacher == "resnet34":
            report.claim("a ResNet-34 removal episode without its evaluation, ms", milliseconds[-1], at_most=5)
    exponent = float(np.polyfit(np.log(lengths), np.log(milliseconds), 1)[0])
    report.facts["episode_ms_grows_with_decisions_to_the"] = exponent
    report.claim("growth of an episode's time with its decisions: exponent", exponent, at_most=1.15)


def seconds_to_load(name: str) -> float:
    """How long a table takes that this process did not read yet: a copy of its file."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"{name}.npz"
        Table.load(name).save(copy)
        start = time.perf_counter()
        Table.load(str(copy))
        return time.perf_counter() - start


def look_ups(name: str, seconds: float) -> float:
    """Students that a table's evaluator finds in a second, by their episodes."""
    evaluator = TableEvaluator(Table.load(name), SEARCH)
    rng = np.random.default_rng(0)
    episodes = [tuple(row) for row in rng.integers(0, evaluator.table.shape, (4096, len(evaluator.table.shape))).tolist()]
    found, end = 0, time.perf_counter() + seconds
    start = time.perf_counter()
    while time.perf_counter() < end:
        evaluator.evaluate_episodes(_no_student, episodes, ())
        found += len(episodes)
    return found / (time.perf_counter() - start)


def _no_student(_actions: Sequence[int]) -> Student:
    raise AssertionError("a table needs no student")


def _ratios(values: list[float], others: list[float]) -> list[float]:
    return [a / b for a, b in zip(values, others, strict=True)]


if __name__ == "__main__":
    tyro.cli(main)
