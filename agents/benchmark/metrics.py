"""What the field reports of runs (Agarwal et al., 2021), of the share of the gap to random search that they closed.

rliable, the library for these, does not import beside current versions of its own dependencies (arch, pandas); the few
lines are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from agents.benchmark.fronts import Fronts
from agents.benchmark.runs import Run
from agents.benchmark.tasks import Task
from agents.interval import Interval

Numbers = npt.NDArray[np.float64]

RESAMPLES = 2_000

NARROW = 0.001
"""Of what choices are worth: no gap that anybody could close."""

EXACT = 1e-5
"""Of what choices are worth: how exactly random search's expectation is known."""


def gaps_closed(runs: Sequence[Run], task: Task, budgets: Sequence[int]) -> Numbers:
    """Shares of the gap between random search's expectation and the optimum, shape (runs, budgets): 0 as it, 1 the best.

    See `bounded_random_search`: no share is below -1, and random search's own are 0 on average. Where the gap is less than
    `NARROW`, random search has found the best, and the share is 0.
    """
    shares = np.zeros((len(runs), len(budgets)))
    for index, each in enumerate(runs):
        for place, budget in enumerate(budgets):
            random = bounded_random_search(task, each.seed, budget)
            if (gap := task.optimum - random) >= NARROW:
                shares[index, place] = max((each.worth[place] - random) / gap, -1.0)
    return shares


def bounded_random_search(task: Task, seed: int, budget: int) -> float:
    """What random search's choice is worth on average, if one that is farther below that than the best is above counts as far.

    Else one run in a thousand, which ends with a broken student, would decide an algorithm's mean, and random search's own.
    The expectation is the fixed point of its definition, approached from the plain one.
    """
    random = float(task.random_search(seed, budget)[-1])
    while (gap := task.optimum - random) >= NARROW:
        before, random = random, float(task.random_search(seed, budget, random - gap)[-1])
        if random - before < EXACT:
            break
    return random


def fronts_closed(runs: Sequence[Run], fronts: Fronts, budgets: Sequence[int]) -> Numbers:
    """The same of the fronts of size and accuracy that the runs found, by hypervolume, shape (runs, budgets)."""
    found = np.array([[fronts.volume(each.students[:budget]) for budget in budgets] for each in runs])
    random = np.array([fronts.random_search(budget) for budget in budgets])
    gap = np.broadcast_to(fronts.whole - random, found.shape)
    return np.divide(found - random, gap, out=np.zeros_like(found), where=gap > 1e-9)  # type: ignore[no-any-return]


def interquartile_mean(values: Numbers) -> float:
    """The mean of the middle half."""
    ordered = np.sort(values, axis=None)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def mean_of_tasks(by_task: Sequence[Numbers]) -> Interval:
    """The mean over tasks of the means over runs, with the 95% interval that resampling runs within each task gives."""
    return resampled(by_task, lambda samples: float(np.mean([sample.mean() for sample in samples])))


def interquartile(by_task: Sequence[Numbers]) -> Interval:
    """The interquartile mean over all runs, each the mean over its budgets."""
    return resampled(by_task, lambda samples: interquartile_mean(np.concatenate([sample.mean(1) for sample in samples])))


def optimality_gap(by_task: Sequence[Numbers]) -> Interval:
    """By how much runs, each the mean over its budgets, fall short of the optimum, on average."""
    return resampled(
        by_task, lambda samples: float(np.mean([np.maximum(1.0 - sample.mean(1), 0.0).mean() for sample in samples]))
    )


def probability_of_improvement(by_task: Sequence[Numbers], others: Sequence[Numbers]) -> float:
    """How probable it is that a run, the mean over its budgets, is better than another algorithm's on the same task.

    Equal ones count half.
    """
    pairs = zip(by_task, others, strict=True)
    return float(np.mean([(np.sign(a.mean(1)[:, None] - b.mean(1)) / 2 + 0.5).mean() for a, b in pairs]))


def improvement(by_task: Sequence[Numbers], others: Sequence[Numbers]) -> Interval:
    """The same with its interval."""
    tasks = len(by_task)
    return resampled([*by_task, *others], lambda samples: probability_of_improvement(samples[:tasks], samples[tasks:]))


def difference(by_task: Sequence[Numbers], others: Sequence[Numbers]) -> Interval:
    """How much more one algorithm's mean of tasks is than another's, task by task."""

    def more(samples: Sequence[Numbers]) -> float:
        pairs = zip(samples[: len(by_task)], samples[len(by_task) :], strict=True)
        return float(np.mean([a.mean() - b.mean() for a, b in pairs]))

    return resampled([*by_task, *others], more)


def resampled(groups: Sequence[Numbers], statistic: Callable[[Sequence[Numbers]], float]) -> Interval:
    """A statistic of some groups of runs, with the 95% interval of the stratified bootstrap: resampling within each group.

    Args:
        groups: Each of one algorithm on one task. With fewer than 10 runs the interval is too narrow; with a single one there
            is none.
        statistic: Of such groups.
    """
    values = tuple(np.concatenate([group.ravel() for group in groups]).tolist())
    if min(map(len, groups)) < 2:
        return Interval(statistic(groups), np.nan, np.nan, values)
    rng = np.random.default_rng(0)
    draws = [statistic([group[rng.integers(len(group), size=len(group))] for group in groups]) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(statistic(groups), float(low), float(high), values)


def mean_ranks(scores: Sequence[Sequence[Numbers]]) -> list[Interval]:
    """The mean over tasks of each algorithm's rank by the mean over its runs: 1 is the best, equals share theirs.

    Args:
        scores: Of each algorithm, its runs' scores on each task.
    """

    def ranks(samples: Sequence[Sequence[Numbers]]) -> Numbers:
        means = np.array([[sample.mean() for sample in of_agent] for of_agent in samples])
        return rankdata(-means, axis=0).mean(1)  # type: ignore[no-any-return]

    found = ranks(scores)
    if min(len(sample) for of_agent in scores for sample in of_agent) < 2:
        return [Interval(float(rank), np.nan, np.nan, ()) for rank in found]
    rng = np.random.default_rng(0)
    draws = [
        ranks([[sample[rng.integers(len(sample), size=len(sample))] for sample in of_agent] for of_agent in scores])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return [Interval(float(rank), float(a), float(b), ()) for rank, a, b in zip(found, low, high, strict=True)]


def profile(by_task: Sequence[Numbers], shares: Numbers) -> Numbers:
    """A performance profile: the share of runs that reach each score; tasks count the same."""
    return np.mean([(values[:, None] >= shares).mean(0) for values in by_task], axis=0)  # type: ignore[no-any-return]
