"""One run: an algorithm looks at so many students of a task; then its policy is played."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms.planned import PlannedSearch
from agents.algorithms.registry import ALGORITHMS, algorithm
from agents.algorithms.sb3 import BatchedVecEnv, PolicyUpdates
from agents.benchmark.tasks import SIDE_BY_SIDE, Task
from n2n_gym.envs.info import Finished
from n2n_gym.envs.judge import Judge
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.documents import Count, Duration, Finite
from n2n_gym.system.versions import library_versions
from n2n_gym.tables import Table

POLICY_EPISODES = 100
"""Episodes that a final policy is judged by."""

NEVER = 10**9

Act = Callable[[dict[str, Any], bool], int]
"""A final policy of one's own: from an observation, and whether it is to take the most probable action, to an action."""


@dataclass(frozen=True)
class Run:
    """What an algorithm did with one seed. Episodes are numbers: their actions read as digits, the first one highest.

    Attributes:
        agent: Its name.
        task: The table.
        seed: Of the algorithm.
        episodes: Every student that it looked at, in order.
        sampled: Episodes of its final policy; empty if it has none.
        greedy: The final policy's most probable episode; None if it has no policy.
        seconds: How long it took.
        best: Reward of the best student that it looked at.
        policy_mean: Mean reward of `sampled`.
        policy_greedy: Reward of `greedy`.
    """

    agent: str
    task: str
    seed: Count
    episodes: tuple[Count, ...]
    sampled: tuple[Count, ...]
    greedy: Count | None
    seconds: Duration
    best: Finite
    policy_mean: Finite | None
    policy_greedy: Finite | None

    def to_json(self) -> dict[str, Any]:
        """The run as JSON data."""
        return asdict(self)


def run(agent: str, task_name: str, seed: int, evaluations: int) -> Run:
    """Let an algorithm search.

    Args:
        agent: One of `ALGORITHMS`, or the `.py` file of an algorithm of one's own.
        task_name: A table.
        seed: Of the algorithm.
        evaluations: How many students it may look at.

    Raises:
        InputError: If there is no such algorithm or table, or the algorithm does not keep to the rules.
    """
    torch.set_num_threads(1)
    task = Task(task_name)
    start = time.perf_counter()
    if agent.endswith(".py"):
        name, episodes, sampled, greedy = _run_own(Path(agent), task, seed, evaluations)
    else:
        name, envs = agent, task.vector_env()
        episodes, sampled, greedy = search(agent, envs, stage=task.policy_stage, seed=seed, evaluations=evaluations)
    seconds = time.perf_counter() - start
    codes = [encode(task.table, each) for each in (episodes, sampled, [greedy] if greedy else [])]
    measured = measure(task.table, *codes)
    return Run(
        agent=name,
        task=task.table.name,
        seed=seed,
        episodes=codes[0],
        sampled=codes[1],
        greedy=codes[2][0] if greedy else None,
        seconds=round(seconds, 3),
        **measured,
    )


def encode(table: Table, episodes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Episodes as numbers."""
    if not episodes:
        return ()
    return tuple(int(code) for code in np.ravel_multi_index(tuple(np.array(episodes).T), table.shape))


def rewards(table: Table, codes: Sequence[int]) -> npt.NDArray[np.float64]:
    """The rewards of episodes that are given as numbers."""
    values: npt.NDArray[np.float64] = table.values()[table.columns["row_of"][list(codes)]]
    return values


def measure(table: Table, episodes: Sequence[int], sampled: Sequence[int], greedy: Sequence[int]) -> dict[str, Any]:
    """What follows from a run's episodes: its best student and its policy's worth."""
    return {
        "best": float(rewards(table, episodes).max()),
        "policy_mean": float(rewards(table, sampled).mean()) if sampled else None,
        "policy_greedy": float(rewards(table, greedy)[0]) if greedy else None,
    }


def name_of(agent: str) -> str:
    """What an algorithm is called in results.

    Raises:
        InputError: If there is no such algorithm.
    """
    if agent.endswith(".py"):
        return str(_load(Path(agent)).NAME)
    if agent not in ALGORITHMS:
        raise unknown("agent", agent, (*ALGORITHMS, "a .py file of your own"))
    return agent


Played = tuple[list[tuple[int, ...]], list[tuple[int, ...]], tuple[int, ...] | None]
"""Episodes of a search, of its final policy, and that policy's most probable one."""


def search(name: str, envs: BatchedVecEnv, *, stage: int, seed: int, evaluations: int) -> Played:
    """Let an algorithm of this package look at so many students; then draw from what it has learned.

    Args:
        name: One of `ALGORITHMS`.
        envs: Episodes side by side.
        stage: 1 for removal, 2 for shrinkage.
        seed: Of the algorithm.
        evaluations: How many students it may look at.

    Returns:
        The actions of the episodes that it played, of `POLICY_EPISODES` of its final policy, and of the policy's most probable
        one.
    """
    agent = algorithm(name).make(envs, stage=stage, seed=seed)
    agent.set_logger(Logger(None, []))  # without one, Stable-Baselines3 leaves an empty folder in the temporary files
    with _counted(envs.envs.judge, evaluations) as played:
        agent.learn(evaluations * envs.envs.stage.decisions, callback=PolicyUpdates(), log_interval=NEVER)
    if isinstance(agent, PlannedSearch):  # it has no policy: what it would look at next stands for one
        proposed = (plan for _ in range(POLICY_EPISODES // SIDE_BY_SIDE) for plan in agent.propose(SIDE_BY_SIDE))
        sampled = [tuple(map(int, plan)) for plan in proposed]
    else:
        sampled = [episode for _ in range(POLICY_EPISODES // SIDE_BY_SIDE) for episode in play(agent, greedy=False)]
    return played, sampled, play(agent, greedy=True)[0]


def play(agent: BaseAlgorithm, *, greedy: bool) -> list[tuple[int, ...]]:
    """One episode of a policy in each of its environments, side by side.

    Args:
        agent: It.
        greedy: Whether it takes the most probable actions, or draws.
    """
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


@contextlib.contextmanager
def _counted(judge: Judge, budget: int) -> Iterator[list[tuple[int, ...]]]:
    """Writes down the actions of every episode that an environment's judge finishes, and refuses those beyond the budget.

    An algorithm runs in this process, so it could look at the table itself; who submits one is trusted not to, and its file
    is read.

    Args:
        judge: The environment's.
        budget: How many episodes there may be.
    """
    played: list[tuple[int, ...]] = []

    def finish(episodes: Sequence[Sequence[int]], rngs: Sequence[np.random.Generator]) -> list[Finished]:
        if len(played) + len(episodes) > budget:
            raise InputError(
                f"the algorithm looks at more than its {budget} students; a learner of Stable-Baselines3 stops in time "
                f"with n_steps that divide them, or with StopTrainingOnMaxEpisodes({budget})"
            )
        finished = Judge.finish(judge, episodes, rngs)
        played.extend(each.actions for each in finished)
        return finished

    judge.finish = finish  # type: ignore[method-assign]
    try:
        yield played
    finally:
        del judge.finish


def _load(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"there is no algorithm's file at {path}")
    spec = importlib.util.spec_from_file_location(f"n2n_submission_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not isinstance(getattr(module, "NAME", None), str) or not callable(getattr(module, "search", None)):
        raise InputError(f"{path} needs NAME = '...' and search(env, evaluations, seed), which returns a policy or None")
    if not re.fullmatch(r"[\w.+-]+", module.NAME):
        raise InputError(f"{path}: NAME names a file, so it is made of letters, digits and . + - _, unlike {module.NAME!r}")
    if module.NAME in ALGORITHMS:
        raise InputError(f"{path}: {module.NAME!r} is the name of an algorithm of this package; choose another")
    return module


def _run_own(path: Path, task: Task, seed: int, evaluations: int) -> tuple[str, *Played]:
    module = _load(path)
    env = task.env()
    set_random_seed(seed)
    with _counted(env.unwrapped.judge, evaluations) as played:  # type: ignore[attr-defined]
        act: Act | None = module.search(env, evaluations, seed)
        if len(played) != evaluations:
            raise InputError(f"{path}: looked at {len(played)} students of {task.name}, not at {evaluations}")
        judged = [] if act is None else _judged(act, task.env(), seed)
    return module.NAME, played, judged[:-1], judged[-1] if judged else None


def _judged(act: Act, env: gym.Env[Any, Any], seed: int) -> list[tuple[int, ...]]:
    """Episodes of a policy of one's own: `POLICY_EPISODES` that it draws, and its most probable one."""
    judged: list[tuple[int, ...]] = []
    for episode in range(POLICY_EPISODES + 1):
        observation, info = env.reset(seed=seed if episode == 0 else None)
        over = False
        while not over:
            observation, _, over, _, info = env.step(act(observation, episode == POLICY_EPISODES))
        judged.append(tuple(info["actions"].tolist()))
    return judged


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that a run depends on."""
    return library_versions("gymnasium", "stable-baselines3", "sb3-contrib", "numpy")
