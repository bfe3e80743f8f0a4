"""One run: an algorithm searches a task until its budget is spent."""

from __future__ import annotations

import contextlib
import importlib.util
import operator
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gymnasium as gym
from stable_baselines3.common.utils import set_random_seed

from agents.algorithms.registry import ALGORITHMS, algorithm
from agents.benchmark.account import Account, BudgetSpentError, chosen, spend
from agents.benchmark.tasks import Task
from n2n_gym.envs.wrappers import OwnMethods
from n2n_gym.errors import InputError, unknown
from n2n_gym.student import Actions
from n2n_gym.system.device import threads
from n2n_gym.system.documents import Count, Duration, Finite
from n2n_gym.system.memory import is_out_of_memory
from n2n_gym.system.versions import library_versions
from n2n_gym.tables.files import NAMES

BUDGETS = (10, 25, 50, 100)
"""Numbers of distinct feasible students after which a search is judged."""


class AlgorithmError(InputError):
    """An algorithm of one's own failed; the message says which, on what and how.

    Attributes:
        where: The traceback, as Python shows it.
    """

    where = ""


@dataclass(frozen=True)
class Run:
    """What an algorithm did with one seed. Episodes are numbers: their actions read as digits, the first one highest.

    Attributes:
        agent: Its name.
        task: The task.
        seed: Of the algorithm.
        students: An episode of each student that it paid for, in order.
        reports: What it said it would choose, and after how many students; empty if it left that to the benchmark.
        looks: Episodes that it played.
        seconds: How long it took.
        worth: What its choice is worth after each of the budgets, by the trainings that no search sees.
    """

    agent: str
    task: str
    seed: Count
    students: tuple[int, ...]
    reports: tuple[tuple[Count, int], ...]
    looks: Count
    seconds: Duration
    worth: tuple[Finite, ...]

    def to_json(self) -> dict[str, Any]:
        """The run as JSON data."""
        return asdict(self)


def run(
    agent: str,
    task: Task,
    seed: int,
    budgets: Sequence[int] = BUDGETS,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Run:
    """Let an algorithm search until it has paid for the largest budget; it is judged after each.

    Args:
        agent: One of `ALGORITHMS`, or the `.py` file of an algorithm of one's own.
        task: What it searches.
        seed: Of the algorithm.
        budgets: Numbers of students, ascending.
        settings: Of one of `ALGORITHMS`, arguments of its class that are to be others than the package's.

    Raises:
        InputError: If there is no such algorithm or table, or the algorithm does not keep to the rules.
        AlgorithmError: If it fails, and is a file of one's own.
    """
    account = Account(task, seed, budgets[-1])
    start = time.perf_counter()
    with threads(1):
        if agent.endswith(".py"):
            _search_own(Path(agent), task, account)
        else:
            made = algorithm(agent).changed(settings)
            try:
                spend(made.make(task.vector_env(), stage=task.policy_stage, seed=seed), account)
            except Exception as error:
                error.add_note(f"{agent} on {task.name}, seed {seed}")
                raise
    seconds = time.perf_counter() - start
    students, reports = tuple(account.students), tuple(account.reports)
    return Run(
        agent=name_of(agent),
        task=task.name,
        seed=seed,
        students=students,
        reports=reports,
        looks=account.looks,
        seconds=round(seconds, 3),
        worth=worth(task, seed, students, reports, budgets),
    )


def worth(
    task: Task, seed: int, students: Sequence[int], reports: Sequence[tuple[int, int]], budgets: Sequence[int]
) -> tuple[float, ...]:
    """What a run's choices are worth after each of the budgets; without any student, as much as the worst one."""
    codes = [chosen(task, seed, students, reports, budget) for budget in budgets]
    found = iter(task.worths([code for code in codes if code is not None]).tolist())
    return tuple(task.least if code is None else next(found) for code in codes)


def name_of(agent: str) -> str:
    """What an algorithm is called in results.

    Raises:
        InputError: If there is no such algorithm.
    """
    if agent.endswith(".py"):
        with _beside(Path(agent)):
            return str(_load(Path(agent)).NAME)
    if agent not in ALGORITHMS:
        raise unknown("agent", agent, (*ALGORITHMS.spellings, "a .py file of your own"))
    return agent


class ReportingEnv(OwnMethods):
    """The environment of a task, to which an algorithm can say what it would choose.

    Args:
        env: The environment.
        account: Counts what is looked at.
    """

    def __init__(self, env: gym.Env[Any, Any], account: Account) -> None:
        super().__init__(env)
        self._account = account

    @property
    def spec(self) -> None:  # type: ignore[override]
        """None: what `gym.make` made of it would not be counted."""
        return

    def report(self, actions: Actions) -> None:
        """From now on the search would choose this student, one that it has looked at.

        Without a report, the choice is the most rewarded student so far.

        Args:
            actions: An episode that leads to it.

        Raises:
            InputError: If it was not looked at, or cost nothing.
        """
        try:
            episode = [operator.index(action) for action in actions]
        except TypeError:
            raise InputError(f"report() takes an episode's actions, whole numbers, not {actions!r}") from None
        self._account.report(episode)


def _search_own(path: Path, task: Task, account: Account) -> None:
    with _beside(path):
        module = _load(path)
        env = ReportingEnv(task.env(), account)
        set_random_seed(account.seed)
        with (
            env.unwrapped.judge.overseen(account.finish),  # type: ignore[attr-defined]
            _blamed_on(f"{path} on {task.name}, seed {account.seed}"),
            contextlib.suppress(BudgetSpentError),
        ):
            module.search(env, account.budget, account.seed)
    if not account.over:  # whatever it says: that error is to be had for the asking
        raise InputError(
            f"{path} on {task.name}, seed {account.seed}: ended after {len(account.students)} of {account.budget} students; "
            "search until the environment ends it"
        )


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Lets an algorithm's file import its neighbours, as a program that Python is called with."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # it may have tidied up itself
            sys.path.remove(folder)


@contextlib.contextmanager
def _blamed_on(what: str) -> Iterator[None]:
    """Tells of whatever an algorithm of one's own raises whose it is."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and is_out_of_memory(error):
            raise  # the worker's matter, who tries again
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        blamed = AlgorithmError(f"{what}: {kind}{error}")
        blamed.where = "".join(traceback.format_exception(error))
        raise blamed from error


def _load(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"there is no algorithm's file at {path}")
    spec = importlib.util.spec_from_file_location(f"n2n_submission_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for what annotations name
    with _blamed_on(str(path)):
        spec.loader.exec_module(module)
    if not isinstance(getattr(module, "NAME", None), str) or not callable(getattr(module, "search", None)):
        raise InputError(
            f"{path} needs NAME = '...' and search(env, budget, seed), which searches until the environment ends it"
        )
    if not re.fullmatch(NAMES, module.NAME):
        raise InputError(f"{path}: NAME names a file, so it is made of letters, digits and . + - _, unlike {module.NAME!r}")
    if module.NAME in ALGORITHMS:
        raise InputError(f"{path}: {module.NAME!r} is the name of an algorithm of this package; choose another")
    return module


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that a run depends on."""
    return library_versions("gymnasium", "stable-baselines3", "sb3-contrib", "numpy", "scipy", "scikit-learn", "optuna")
