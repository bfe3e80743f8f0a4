"""An evaluator of the user's own that does not keep the contract is told so in one line."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import n2n_gym  # noqa: F401  registers the environments
from envs_tests.conftest import DEEPER_TOY, FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import EVALUATORS, make_evaluator
from n2n_gym.problem import Problem
from n2n_gym.student import Student


class Own(FormulaEvaluator):
    """Its answers are the formula's, changed."""

    def __init__(self, change):
        super().__init__(DEEPER_TOY)
        self._change = change

    def stream(self, students):
        return self._change(list(super().stream(students)))


@pytest.fixture
def students():
    """The second one is the teacher, and so never gets as far as `stream`."""
    return [Student(DEEPER_TOY).removed(actions) for actions in ([0, 0, 1, 0, 0, 0], [0] * 6, [0, 1, 1, 1, 0, 0])]


def each(**facts):
    """The same for every student."""
    return lambda answers: ((index, replace(evaluation, **facts)) for index, evaluation in answers)


SHARES = [
    *({"accuracy": value} for value in (97.0, -0.1, float("nan"), float("inf"), None, "0.9", np.float32(0.9))),
    {"teacher_accuracy": 98.0},
    {"test_accuracy": float("nan")},
    {"rung_accuracy": 2},
    {"class_accuracy": (0.5, 50.0)},
    {"epoch_accuracy": [None]},
]


@pytest.mark.parametrize("facts", SHARES, ids=str)
def test_shares_lie_from_0_to_1(facts, students):
    [name] = facts
    with pytest.raises(InputError, match=rf"^evaluator Own: {name} must be a float from 0 to 1, not .*$"):
        Own(each(**facts)).evaluate(students)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda answers: answers[1:], "stream answered 1 of 2 students"),
        (lambda answers: [answers[0], answers[0]], "stream answered 1 of 2 students"),
        (lambda answers: [], "stream answered 0 of 2 students"),
        (lambda answers: None, "stream gives NoneType"),
        (lambda answers: [(index + 1, evaluation) for index, evaluation in answers], "index 2 where there are 2 students"),
        (lambda answers: [(-1, evaluation) for _, evaluation in answers], "index -1 where"),
        (lambda answers: [("a", evaluation) for _, evaluation in answers], "stream yields .'a', Evaluation"),
        (lambda answers: [evaluation for _, evaluation in answers], r"stream yields Evaluation\("),
        (lambda answers: [0.97, 0.98], r"stream yields 0\.97"),
        (lambda answers: [(0, 0.97), (1, 0.98)], r"stream yields \(0, 0\.97\)"),
    ],
)
def test_each_student_is_answered(change, what, students):
    with pytest.raises(InputError, match=rf"^evaluator Own: .*{what}.*; it must yield \(index, Evaluation\) once for each"):
        Own(change).evaluate(students)


def test_what_keeps_the_contract_passes(students):
    plain = Own(each()).evaluate(students)
    assert [e.accuracy > 0 for e in plain] == [True, False, True]
    exact = {"accuracy": np.float64(1.0), "teacher_accuracy": 1, "class_accuracy": (0, 1.0), "epoch_accuracy": [0.5]}
    assert [e.accuracy for e in Own(each(**exact)).evaluate(students)] == [1, 0, 1]
    by_numpy = Own(lambda answers: [(np.int64(index), evaluation) for index, evaluation in answers])
    assert by_numpy.evaluate(students) == plain


@pytest.fixture
def as_it_was(monkeypatch):
    """Whatever is registered is forgotten again."""
    for part in ("_things", "_arguments"):
        monkeypatch.setattr(EVALUATORS, part, dict(getattr(EVALUATORS, part)))


@pytest.mark.parametrize(
    ("maker", "what"),
    [
        (lambda settings: Own(each()), "too many positional arguments"),
        (lambda settings, order, more: Own(each()), "missing a required argument: 'more'"),
        (Own, "too many positional arguments"),
        (lambda settings, order: None, "it gives None"),
        (lambda settings, order: Own, "it gives <class "),
    ],
)
def test_a_maker_makes_an_evaluator(maker, what, as_it_was, deeper_toy_teacher, toy_data):
    EVALUATORS.register("own", maker, argument="X")
    with pytest.raises(InputError, match=rf"^evaluator own:x: what was registered is not a maker .*settings, order.*{what}"):
        make_evaluator(Problem(deeper_toy_teacher, toy_data), evaluator="own:x")


def test_a_rewards_evaluator_in_percent_is_refused_by_the_environment(deeper_toy_teacher, toy_data):
    env = gym.make("N2N/LayerRemoval-v0", teacher=deeper_toy_teacher, dataset=toy_data, evaluator=Own(each(accuracy=97.0)))
    env.reset(seed=0)
    for action in (0, 0, 1, 0, 0):
        env.step(action)
    with pytest.raises(InputError, match=r"accuracy must be a float from 0 to 1, not 97\.0"):
        env.step(0)


def test_a_failed_student_has_its_reason():
    student = Student(DEEPER_TOY).removed([0, 0, 1, 0, 0, 0])
    failed = Evaluation.failed(student.architecture, DEEPER_TOY, "out of luck")
    assert Own(lambda answers: [(0, failed)]).evaluate([student]) == [failed]
