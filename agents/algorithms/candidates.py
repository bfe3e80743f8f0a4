"""Students that may be trained next, and the choice among them by a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agents.algorithms.known import Drawn, KnownStudents
from agents.algorithms.plans import Plan, Plans, neighbours, plan_by_depth, random_plans
from agents.algorithms.surrogate import AccuracyModel, choose
from n2n_gym.stages.base import Stage

DRAWN = 100
"""Random candidates of an update."""

CENTRES = 4
"""Of so many of the best students the neighbours are candidates too."""

AROUND = 50
"""Neighbours of one student, at most; a random part of them if it has more."""


def drawn_plans(stage: Stage, rng: np.random.Generator) -> Iterator[Plan]:
    """Random candidates, and the episodes that are likely to end with the smallest students: limits may leave no others."""
    yield from (np.array(ending) for ending in stage.endings)
    yield from random_plans(stage, rng, DRAWN // 2)
    yield from (plan_by_depth(stage, rng) for _ in range(DRAWN - DRAWN // 2))


def some_neighbours(stage: Stage, centre: Plan, rng: np.random.Generator) -> Plans:
    """Episodes that differ in one decision: all of them, or `AROUND` at random."""
    around: Plans = rng.permutation(neighbours(stage, centre))[:AROUND]
    return around


def of_all_sizes(candidates: dict[str, Drawn], count: int, rng: np.random.Generator) -> list[Plan]:
    """At most so many of the candidates' episodes, at random among students of each size: a model has to know them all."""
    by_size = sorted(candidates.values(), key=lambda drawn: drawn[1].parameters)
    strata = [part for part in np.array_split(np.arange(len(by_size)), count) if len(part)]
    return [by_size[int(rng.choice(part))][0] for part in strata]


def fitted(kind: type[AccuracyModel], known: KnownStudents, rng: np.random.Generator) -> AccuracyModel:
    """A model of all students that were trained."""
    features = known.described([known.look(plan) for plan in known.plans])
    return kind(known.overall_columns).fit(features, known.accuracies, rng)


def chosen(model: AccuracyModel, known: KnownStudents, candidates: list[Drawn], count: int) -> list[Plan]:
    """At most so many of the candidates' episodes, by `choose`; none where there are no candidates."""
    if not candidates:
        return []
    students = [student for _, student in candidates]
    features = known.described(students)
    return [candidates[index][0] for index in choose(model, features, known.prospects(students), known.best, count)]
