"""The evaluator that trains students, several in turns."""

import dataclasses

import numpy as np
import pytest

from n2n_gym.evaluation import OUT_OF_MEMORY
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.problem import Problem
from n2n_gym.stages import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.training import loop


@pytest.fixture
def evaluator(deeper_toy_teacher, toy_data):
    return DistillationEvaluator(Problem(deeper_toy_teacher, toy_data), thorough=True, device="cpu", recipe="paper")


@pytest.fixture
def students(evaluator):
    stage, rng = ShrinkStage(Student(evaluator.teacher)), np.random.default_rng(0)
    drawn = [stage.student(stage.random_actions(rng)) for _ in range(10)]
    return list({each.architecture.fingerprint: each for each in drawn}.values())[:3]


def without_seconds(evaluations):
    return [dataclasses.replace(each, seconds=0.0) for each in evaluations]


def test_students_in_turns_are_worth_what_they_are_alone(evaluator, students, monkeypatch):
    alone = evaluator.evaluate(students)
    assert len({each.epoch_accuracy for each in alone}) == 3
    monkeypatch.setattr(DistillationEvaluator, "at_once", 2)
    together = evaluator.evaluate(students)
    assert without_seconds(together) == without_seconds(alone)
    assert all(each.seconds > 0 for each in together)


def test_a_student_that_lacks_memory_beside_others_is_tried_by_itself(evaluator, students, monkeypatch):
    expected = without_seconds(evaluator.evaluate(students))
    running, refused = [], []
    build = loop.training

    def crowded(network, *rest, **options):
        if running:
            refused.append(network.architecture.fingerprint)
            raise MemoryError
        running.append(network)
        try:
            return (yield from build(network, *rest, **options))
        finally:
            running.remove(network)

    monkeypatch.setattr("n2n_gym.evaluators.distillation.training", crowded)
    monkeypatch.setattr(DistillationEvaluator, "at_once", 3)
    found = evaluator.evaluate(students)
    assert len(refused) == 2
    assert OUT_OF_MEMORY not in {each.reason for each in found}
    assert without_seconds(found) == expected
