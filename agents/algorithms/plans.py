"""Whole episodes as plans: how they are drawn, and what lies beside one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from n2n_gym.stages.base import Stage

Plan = npt.NDArray[np.int64]
"""One whole episode's actions, shape (decisions,)."""

Plans = npt.NDArray[np.int64]
"""Whole episodes' actions, shape (episodes, decisions)."""

TRIES = 20
"""Draws in search of a feasible student, before another way is taken."""


def random_plans(stage: Stage, rng: np.random.Generator, count: int) -> Plans:
    """Episodes drawn uniformly among all that have an effect, shape (count, decisions)."""
    plans: Plans = np.where(stage.masks, rng.random((count, *stage.masks.shape)), -1.0).argmax(2)
    return plans


def uniform_plans(stage: Stage, rng: np.random.Generator, count: int) -> Plans:
    """The same; where masks look ahead, only those of feasible students, and where these are rare, decision by decision."""
    plans = random_plans(stage, rng, count)
    if stage.lookahead:
        for plan in plans:
            for _ in range(TRIES):
                if stage.feasible(plan.tolist()):
                    break
                plan[:] = random_plans(stage, rng, 1)[0]
            else:
                plan[:] = _guided(stage, rng)
    return plans


def plan_by_depth(stage: Stage, rng: np.random.Generator) -> Plan:
    """An episode that treats layers by depth (`Stage.trend`): random ones cripple most students somewhere."""
    return np.array(stage.trend(rng), dtype=np.int64)


def start_plan(stage: Stage, rng: np.random.Generator) -> Plan:
    """An episode to begin with: half of them are uniformly random, the others treat layers by depth."""
    return uniform_plans(stage, rng, 1)[0] if rng.random() < 0.5 else plan_by_depth(stage, rng)


def neighbours(stage: Stage, plan: Plan) -> Plans:
    """All episodes that differ in one decision and have an effect, shape (episodes, decisions)."""
    places, actions = np.nonzero(stage.masks)
    differ = actions != plan[places]
    around = np.repeat(plan[None], int(differ.sum()), 0)
    around[np.arange(len(around)), places[differ]] = actions[differ]
    return around


def _guided(stage: Stage, rng: np.random.Generator) -> list[int]:
    """An episode drawn decision by decision among what can still become a feasible student.

    It has a share of its own of decisions that leave things as they are: with the same for all, their students would all
    be nearly as large as they may be.
    """
    share = rng.random()
    plan: list[int] = []
    for _ in range(stage.decisions):
        useful = np.flatnonzero(stage.mask(plan))
        others = useful[useful != stage.keep]
        keeps = len(others) < len(useful) and (not len(others) or rng.random() < share)
        plan.append(stage.keep if keeps else int(rng.choice(others)))
    return plan
