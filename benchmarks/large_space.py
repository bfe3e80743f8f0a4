"""A space too large to train whole: algorithms side by side with real trainings, at equal numbers of students.

    python benchmarks/large_space.py [--teacher resnet18 --width 0.25 --dataset digits] [--seeds 3] [--store FILE] [--out FILE]

Stage 1 of a ResNet-18 has 45 decisions. Each algorithm looks at as many students as the others; of each search are reported
the best student, the area under the curve of the best so far, the mean of the last 50, and the final policy: the mean of 100
episodes that it draws, and its most probable one. A student's reward is the same whoever finds it, and with `--store` it is
trained once for all: so a program that was stopped, and is started again with the same store, soon is where it was.

The best of so many students also had luck in its training. `best_again` and `greedy_again` are the mean rewards of the best
and of the policy's most probable student in `--again` further trainings with other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from report import Report
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms.planned import PlannedSearch
from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import NEVER, BatchedVecEnv, PolicyUpdates
from agents.benchmark.tasks import SIDE_BY_SIDE
from agents.interval import Interval
from n2n_gym.envs.info import Finished
from n2n_gym.envs.judge import Judge
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student

COLUMNS = ("best", "area", "last_50", "policy_mean", "policy_greedy", "best_again", "greedy_again", "distinct")


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem("resnet18", "digits", 0.25),  # noqa: B008  it cannot be changed
    agents: tuple[str, ...] = ("reinforce-imitating", "recurrent-ppo", "maskable-ppo", "evolution", "random"),
    seeds: int = 3,
    first_seed: int = 0,
    evaluations: int = 500,
    recipe: str = "paper",
    again: int = 5,
    policy_episodes: int = 100,
    store: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        agents: Algorithms of this package.
        seeds: Searches of each.
        first_seed: Of the algorithms' seeds.
        evaluations: Students of each search.
        recipe: How students are trained.
        again: Further trainings of each search's best student and of its policy's most probable one.
        policy_episodes: Episodes that a final policy is judged by.
        store: File to keep their evaluations in; by default they are forgotten at the end.
        device: Where.
        workers: Worker processes.
        out: The JSON file.
    """
    torch.set_num_threads(1)  # the cores are the workers'
    report = Report(f"large_space-{problem.name}", COLUMNS, out)
    stage = RemovalStage(Student(problem.architecture))
    found: dict[str, dict[str, list[float]]] = {agent: {column: [] for column in COLUMNS} for agent in agents}
    curves: dict[str, list[list[float]]] = {agent: [] for agent in agents}
    with ExitStack() as opened:
        store = store or Path(opened.enter_context(TemporaryDirectory())) / "store.sqlite"  # a student is trained once
        evaluator = opened.enter_context(make_evaluator(problem, recipe=recipe, device=device, workers=workers, store=store))
        others = [
            opened.enter_context(make_evaluator(problem, recipe=recipe, seed=seed, device=device, store=store))
            for seed in range(1, again + 1)
        ]
        settings = Settings(**asdict(problem), recipe=recipe, evaluator=evaluator)
        for seed in range(first_seed, first_seed + seeds):
            for agent in agents:
                envs = BatchedVecEnv(CompressionVectorEnv(SIDE_BY_SIDE, stage, settings))
                episodes, sampled, greedy = search(agent, envs, seed, evaluations, policy_episodes)
                seen = rewards(evaluator, stage, episodes)
                best = np.maximum.accumulate(seen)
                measured = {
                    "best": best[-1],
                    "area": np.maximum(best, 0.0).mean(),
                    "last_50": seen[-50:].mean(),
                    "policy_mean": rewards(evaluator, stage, sampled).mean(),
                    "policy_greedy": rewards(evaluator, stage, [greedy])[0],
                    "best_again": rewards_again(others, stage, episodes[int(seen.argmax())]),
                    "greedy_again": rewards_again(others, stage, greedy),
                    "distinct": len({stage.student(actions).architecture.fingerprint for actions in episodes}),
                }
                for column, value in measured.items():
                    found[agent][column].append(float(value))
                curves[agent].append(seen.tolist())
                print(f"seed {seed}, {agent}: " + ", ".join(f"{k} {v:.4g}" for k, v in measured.items()), flush=True)
        report.facts["context"] = evaluator.context()
    report.facts |= {"seeds": list(range(first_seed, first_seed + seeds)), "rewards": curves}
    for agent, columns in found.items():
        report.add(agent, **columns)
    if "random" in found and seeds > 1:
        baseline = found["random"]
        compared = ("best", "best_again", "area", "policy_mean")
        for agent in agents:
            pairs = {name: zip(found[agent][name], baseline[name], strict=True) for name in compared}
            gains = {name: str(Interval.of([ours - theirs for ours, theirs in each])) for name, each in pairs.items()}
            report.add(f"{agent} above random search, mean (95%), paired by seed", **gains)
    report.finish()


Played = tuple[list[tuple[int, ...]], list[tuple[int, ...]], tuple[int, ...]]
"""Episodes of a search, of its final policy, and that policy's most probable one."""


def search(name: str, envs: BatchedVecEnv, seed: int, evaluations: int, policy_episodes: int) -> Played:
    """Let an algorithm look at so many students of stage 1; then draw from what it has learned."""
    agent = algorithm(name).make(envs, stage=1, seed=seed)
    agent.set_logger(Logger(None, []))  # without one, Stable-Baselines3 leaves an empty folder in the temporary files
    played: list[tuple[int, ...]] = []

    def finish(judge: Judge, episodes: Sequence[Sequence[int]], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        played.extend(tuple(map(int, actions)) for actions in episodes)
        return judge.evaluated(episodes, rngs)

    with envs.envs.judge.overseen(finish):
        agent.learn(evaluations * envs.envs.stage.decisions, callback=PolicyUpdates(), log_interval=NEVER)
    batches = range(policy_episodes // SIDE_BY_SIDE)
    if isinstance(agent, PlannedSearch):  # it has no policy: what it would look at next stands for one
        sampled = [tuple(map(int, plan)) for _ in batches for plan in agent.propose(SIDE_BY_SIDE)]
    else:
        sampled = [episode for _ in batches for episode in play(agent, greedy=False)]
    return played, sampled, play(agent, greedy=True)[0]


def play(agent: BaseAlgorithm, *, greedy: bool) -> list[tuple[int, ...]]:
    """One episode of a policy in each of its environments, side by side; greedy ones take the most probable actions."""
    envs = agent.get_env()
    assert isinstance(envs, VecEnv)
    observation = envs.reset()
    state = None
    starts = np.ones(envs.num_envs, dtype=np.bool_)
    while True:
        masks: dict[str, Any] = {}
        if isinstance(agent, MaskablePPO):
            masks["action_masks"] = np.stack(envs.env_method("action_masks"))
        actions, state = agent.predict(observation, state, starts, deterministic=greedy, **masks)  # type: ignore[arg-type]
        observation, _, dones, _ = envs.step(actions)
        starts = dones
        if dones.all():
            return [finished.actions for finished in envs.get_attr("finished")]


def rewards(evaluator: Evaluator, stage: RemovalStage, episodes: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """The rewards that episodes end with."""
    return np.array([paper_reward(each) for each in evaluator.evaluate([stage.student(actions) for actions in episodes])])


def rewards_again(evaluators: Sequence[Evaluator], stage: RemovalStage, actions: Sequence[int]) -> float:
    """The mean reward of one student in other trainings."""
    return float(np.mean([rewards(evaluator, stage, [actions])[0] for evaluator in evaluators])) if evaluators else np.nan


if __name__ == "__main__":
    tyro.cli(main)
