"""Settings of the algorithms, chosen on the tables that are there to choose settings on, for all with the same budget.

    python benchmarks/tune.py [--agents dyna ppo ...] [--trials 12] [--seeds 2] [--again 5] [--workers 2]

Optuna's TPE sampler proposes settings of an algorithm; a trial is the mean share of the gap to random search that is closed
after 10, 25, 50 and 100 students, over tables and seeds (100, 101, ...) of the track `reward`. Whoever tries often is lucky
once: the best trial and the settings of the package run again, with seeds that no trial had, and only if the former is known
to be better there (95%) is it chosen. Algorithms whose settings were published (the paper's `reinforce` and `actor-critic`,
`architecture-compression`) and those without any (`random`, `local-search`, `tpe`) are not tuned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import tyro
from report import Report

from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.metrics import gaps_closed
from agents.benchmark.runs import BUDGETS, Run, run
from agents.benchmark.tasks import Task
from agents.interval import Interval
from n2n_gym.errors import by_name
from n2n_gym.system.files import write_json
from n2n_gym.system.pool import Pool

Space = Callable[[optuna.Trial], dict[str, Any]]


def _bayesian(trial: optuna.Trial) -> dict[str, Any]:
    return {"warm_up": trial.suggest_int("warm_up", 3, 20)}


def _evolution(trial: optuna.Trial) -> dict[str, Any]:
    population = trial.suggest_int("population_size", 5, 50)
    return {"population_size": population, "sample_size": trial.suggest_int("sample_size", 1, min(population, 10))}


def _cross_entropy(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "warm_up": trial.suggest_int("warm_up", 5, 25),
        "elite_size": trial.suggest_int("elite_size", 2, 10),
        "step_size": trial.suggest_float("step_size", 0.2, 1.0),
        "least": trial.suggest_float("least", 0.01, 0.5, log=True),
    }


def _actor_critic(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "ent_coef": trial.suggest_float("ent_coef", 1e-4, 0.3, log=True),
    }


def _proximal(trial: optuna.Trial) -> dict[str, Any]:
    return {
        **_actor_critic(trial),
        "n_epochs": trial.suggest_int("n_epochs", 1, 20),
        "clip_range": trial.suggest_float("clip_range", 0.1, 0.4),
    }


def _imitating(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "ent_coef": trial.suggest_float("ent_coef", 0.03, 3.0, log=True),
        "n_epochs": trial.suggest_int("n_epochs", 1, 10),
        "elite_coef": trial.suggest_float("elite_coef", 0.01, 1.0, log=True),
    }


def _dyna(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "warm_up": trial.suggest_int("warm_up", 3, 20),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "ent_coef": trial.suggest_float("ent_coef", 0.005, 0.5, log=True),
        "imagined_updates": trial.suggest_int("imagined_updates", 2, 20),
        "optimism": trial.suggest_float("optimism", 0.0, 2.0),
    }


SPACES: dict[str, Space] = {
    "cross-entropy": _cross_entropy,
    "evolution": _evolution,
    "informed-evolution": _evolution,
    "gaussian-process": _bayesian,
    "random-forest": _bayesian,
    "a2c": _actor_critic,
    "ppo": _proximal,
    "maskable-ppo": _proximal,
    "reinforce-imitating": _imitating,
    "actor-critic-imitating": _imitating,
    "dyna": _dyna,
    "recurrent-ppo": _proximal,
}
"""What may be chosen of each; the quickest first."""

TRIAL_SEED, FRESH_SEED = 100, 200
"""The first of the seeds of a trial's runs, and of those that judge the best trial."""


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes:
        agent: The algorithm.
        task: The task.
        seed: Of the run.
        settings: What is other than the package's.
    """

    agent: str
    task: Task
    seed: int
    settings: Mapping[str, Any]

    def file(self, folder: Path) -> Path:
        """Where its run is kept."""
        told = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]
        return folder / f"{self.agent}-{self.task.space}-s{self.seed}-{told}.json"


def _done(job: Job) -> Run:
    return run(job.agent, job.task, job.seed, BUDGETS, job.settings)


@dataclass(frozen=True)
class Tuner:
    """Runs an algorithm with settings on tasks.

    Attributes:
        agent: The algorithm.
        tasks: The tasks.
        pool: Makes the runs.
        runs: A folder that keeps them.
    """

    agent: str
    tasks: Sequence[Task]
    pool: Pool
    runs: Path

    def closed(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The gap closed, mean over budgets, shape (tasks, seeds)."""
        jobs = [Job(self.agent, task, seed, settings) for task in self.tasks for seed in seeds]
        missing = [job for job in jobs if not job.file(self.runs).exists()]
        for index, made in self.pool.each(_done, missing):
            write_json(missing[index].file(self.runs), made.to_json())
        found = np.empty((len(self.tasks), len(seeds)))
        for job in jobs:
            made = Run(**json.loads(job.file(self.runs).read_text()))
            place = self.tasks.index(job.task), seeds.index(job.seed)
            found[place] = gaps_closed([made], job.task, BUDGETS).mean()
        return found


def main(
    agents: tuple[str, ...] = tuple(SPACES),
    tasks: tuple[str, ...] = ("development",),
    trials: int = 12,
    seeds: int = 2,
    again: int = 5,
    workers: int = 2,
    kept: Path = Path("runs/tune"),
    out: Path | None = None,
) -> None:
    """Tune.

    Args:
        agents: Some of `SPACES`.
        tasks: Tables.
        trials: Of each study.
        seeds: Runs of a trial on each table.
        again: Runs of the best trial and of the package's settings on each table, with other seeds.
        workers: Processes.
        kept: A folder for runs: the same call goes on where it was. Use another one for other code.
        out: The JSON file.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = tasks_by_name(tasks, ("reward",))
    report = Report("tune", ("gap closed", "settings", "chosen"), out)
    report.facts |= {"tables": [task.space for task in chosen], "trials": trials, "seeds": seeds, "again": again}
    with Pool(workers) as pool:
        for agent in agents:
            tune(Tuner(agent, chosen, pool, kept), trials, seeds, again, report)
    report.finish()


def tune(tuner: Tuner, trials: int, seeds: int, again: int, report: Report) -> None:
    """One study, and its best trial judged by fresh runs."""
    space = by_name("agent that is tuned", tuner.agent, SPACES)
    drawn = range(TRIAL_SEED, TRIAL_SEED + seeds)

    def objective(trial: optuna.Trial) -> float:
        settings = space(trial)
        closed = tuner.closed(settings, drawn)
        shown = {name: float(f"{value:.4g}") for name, value in settings.items()}
        report.add(
            f"{tuner.agent}, trial {trial.number}", **{"gap closed": closed.mean(1).tolist()}, settings=json.dumps(shown)
        )
        return float(closed.mean())

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5))
    study.optimize(objective, n_trials=trials)
    best = space(study.best_trial)  # type: ignore[arg-type]  # a finished trial answers as it was asked
    fresh = range(FRESH_SEED, FRESH_SEED + again)
    found, own = tuner.closed(best, fresh), tuner.closed({}, fresh)
    ahead = Interval.of((found - own).mean(0).tolist())
    for name, closed in (("best trial", found), ("the package's", own)):
        report.add(f"{tuner.agent}, {name}, fresh runs", **{"gap closed": closed.mean(1).tolist()})
    report.add(
        f"{tuner.agent}, best trial above the package's (95%)",
        **{"gap closed": str(ahead)},
        settings=json.dumps(best),
        chosen=bool(ahead.low > 0),
    )


if __name__ == "__main__":
    tyro.cli(main)
