"""What the field reports of runs: interquartile means with stratified bootstrap intervals (Agarwal et al., 2021), regret.

rliable, the library for these, does not import beside current versions of its own dependencies (arch, pandas); the few
lines are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.benchmark.runs import Run, rewards
from agents.benchmark.tasks import Task
from agents.interval import Interval

Numbers = npt.NDArray[np.float64]

RESAMPLES = 2_000


@dataclass(frozen=True)
class Scores:
    """An algorithm's runs on one task, as numbers; one per seed.

    Attributes:
        regret: Reward of the task's best student minus that of the best one seen, after each evaluation: (seeds, evaluations).
        optimum: Reward of the task's best student.
        policy_mean: Mean reward of the final policy's episodes; NaN without one.
        policy_greedy: Reward of its most probable episode; NaN without one.
        seconds: How long the algorithm took.
    """

    regret: Numbers
    optimum: float
    policy_mean: Numbers
    policy_greedy: Numbers
    seconds: Numbers

    @classmethod
    def of(cls, runs: Sequence[Run], task: Task) -> Scores:
        """The scores of one algorithm's runs on a task."""
        optimum = task.table.best().value
        seen = np.array([np.maximum.accumulate(rewards(task.table, run.episodes)) for run in runs])

        def of_policies(name: str) -> Numbers:
            return np.array([np.nan if getattr(run, name) is None else getattr(run, name) for run in runs])

        return cls(
            regret=optimum - seen,
            optimum=optimum,
            policy_mean=of_policies("policy_mean"),
            policy_greedy=of_policies("policy_greedy"),
            seconds=np.array([run.seconds for run in runs]),
        )

    @property
    def best(self) -> Numbers:
        """The best student's reward as a share of the optimum."""
        return 1.0 - self.regret[:, -1] / self.optimum

    @property
    def area(self) -> Numbers:
        """Area under the curve of the best student so far, as a share of the optimum's; degenerate students count as 0."""
        return np.maximum(1.0 - self.regret / self.optimum, 0.0).mean(1)  # type: ignore[no-any-return]

    def evaluations_to(self, share: float) -> Numbers:
        """Evaluations until a share of the optimum was reached; infinite where it never was."""
        reached = 1.0 - self.regret / self.optimum >= share
        return np.where(reached.any(1), reached.argmax(1) + 1.0, np.inf)


def interquartile_mean(values: Numbers) -> float:
    """The mean of the middle half."""
    ordered = np.sort(values, axis=None)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def bootstrap(by_task: Sequence[Numbers]) -> Interval:
    """The interquartile mean over all runs with its 95% interval, by resampling runs within each task.

    Args:
        by_task: The runs' scores on each task. With fewer than 10 runs on a task the interval is too narrow; with a single
            one there is none.
    """
    return _resampled(by_task, lambda samples: interquartile_mean(np.concatenate(samples)))


def difference(values: Numbers, others: Numbers) -> Interval:
    """How much more one mean is than another, with a 95% bootstrap interval.

    Args:
        values: Scores of one algorithm's runs.
        others: Of another one's.
    """
    return _resampled([values, others], lambda samples: float(samples[0].mean() - samples[1].mean()))


def _resampled(groups: Sequence[Numbers], statistic: Callable[[Sequence[Numbers]], float]) -> Interval:
    """A statistic of some groups of runs, with the interval that resampling within each group gives."""
    values = tuple(np.concatenate(groups).tolist())
    if min(map(len, groups)) < 2:
        return Interval(statistic(groups), np.nan, np.nan, values)
    rng = np.random.default_rng(0)
    draws = [statistic([rng.choice(group, len(group)) for group in groups]) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(statistic(groups), float(low), float(high), values)


def profile(by_task: Sequence[Numbers], shares: Numbers) -> Numbers:
    """A performance profile: the share of runs that reach each score (at least: the optimum counts); tasks count the same."""
    return np.mean([(values[:, None] >= shares).mean(0) for values in by_task], axis=0)  # type: ignore[no-any-return]


def median_evaluations(values: Numbers) -> float:
    """Half of the runs were there after so many evaluations; infinite if fewer than half ever were."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))
