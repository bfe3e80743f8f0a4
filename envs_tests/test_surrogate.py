"""Samples of students as files, the model that predicts the others, and the environment over it."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import n2n_gym  # noqa: F401  registers the environments
from envs_tests.conftest import made_accuracy, made_sample
from n2n_gym.errors import InputError
from n2n_gym.student import Student
from n2n_gym.tables.sample import Sample, SampledStudent, draw_students, shipped_samples
from n2n_gym.tables.surrogate import Surrogate, SurrogateEvaluator
from n2n_gym.testing.evaluator import EvaluatorSuite


@pytest.fixture(scope="module")
def sample():
    return made_sample("shrink", 80)


@pytest.fixture
def path(sample, tmp_path):
    sample.save(tmp_path / "made.json")
    return tmp_path / "made.json"


def test_a_sample_is_read_as_it_was_written(sample, path):
    assert Sample.load(path) == sample


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 7}, "no sample of students of format 1"),
        ({"stage": "shrinkage"}, "unknown stage 'shrinkage'"),
        ({"students": []}, "no sample of students"),
        ({"architecture": {}}, "build it again"),
        ({"val_accuracy": 2}, "<= 1"),
        ({"students": [{"actions": "012", "accuracy": [1, 1], "test_accuracy": [1, 1]}]}, "012 are no actions of an episode"),
        ({"students": [{"actions": "0a", "accuracy": [1, 1], "test_accuracy": [1, 1]}]}, "no sample of students"),
        ({"students": [{"actions": "01", "accuracy": [1], "test_accuracy": [1]}]}, "no sample of students"),
    ],
)
def test_what_is_no_sample_is_refused(path, change, complaint):
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=complaint):
        Sample.load(path)


def test_it_predicts_students_that_it_has_not_seen(sample):
    surrogate = Surrogate(sample)
    agreement = surrogate.agreement
    assert agreement.r2 > 0.8
    assert agreement.tau > 0.7
    assert agreement.again > 0.9
    others = [student for _, student in draw_students(sample.decisions, 160)[80:]]
    true = np.array([made_accuracy(student) for student in others])
    assert np.corrcoef(surrogate.accuracies(others), true)[0, 1] > 0.9
    assert np.array_equal(surrogate.accuracies(others), Surrogate(sample).accuracies(others))


def test_search_and_truth_are_told_from_different_trainings(sample):
    students = [replace(each, accuracy=(0.2, 0.9), test_accuracy=(0.5, 0.6)) for each in sample.students]
    apart = replace(sample, students=tuple(students))
    drawn = [apart.decisions.student(apart.students[0].episode)]
    assert Surrogate(apart).accuracies(drawn) == pytest.approx(0.2)
    assert Surrogate(apart, truth=True).accuracies(drawn) == pytest.approx(0.6)


def test_noise_is_a_students_own(sample):
    drawn = [student for _, student in draw_students(sample.decisions, 60)]
    noise = np.random.default_rng(0).normal(0, 0.3, len(sample.students))
    noisy = replace(
        sample,
        students=tuple(
            replace(each, accuracy=(float(np.clip(each.accuracy[0] + lot, 0, 1)), 0.5))
            for each, lot in zip(sample.students, noise, strict=True)
        ),
    )
    surrogate = Surrogate(noisy)
    one, again, other, none = (SurrogateEvaluator(surrogate, seed) for seed in (0, 0, 1, None))
    found = [[each.accuracy for each in e.evaluate(drawn)] for e in (one, again, other, none)]
    assert found[0] == found[1] != found[2]
    assert found[0][:5] == [each.accuracy for each in one.evaluate(drawn[:5])]
    assert found[3] == pytest.approx(surrogate.accuracies(drawn).tolist())
    log_odds = [np.log(np.array(each) / (1 - np.array(each))) for each in found]
    assert np.std(log_odds[0] - log_odds[3]) == pytest.approx(surrogate.spread, rel=0.3)


def test_an_environment_over_it(path, sample):
    settings = {"teacher": str(path), "dataset": "digits", "train_size": 60, "evaluator": "surrogate", "recipe": "fast"}
    env = gym.make("N2N/LayerShrink-v0", **settings)
    env.reset(seed=0)
    done = False
    while not done:
        _, reward, done, _, _ = env.step(5)
    assert -1 <= reward < 1
    assert env.unwrapped.judge.evaluator.teacher == sample.teacher
    for wrong, complaint in (
        ({"dataset": "digits", "train_size": 50}, "is of another teacher, or of dataset='digits', train_size=60"),
        ({"seed": "draw"}, "seed must be a number"),
    ):
        with pytest.raises(InputError, match=complaint):
            _ = gym.make("N2N/LayerShrink-v0", **settings | wrong).unwrapped.judge.evaluator
    with pytest.raises(InputError, match="of stage shrink"):
        _ = gym.make("N2N/LayerRemoval-v0", **settings).unwrapped.judge.evaluator


class TestContract(EvaluatorSuite):
    """It keeps what every evaluator promises."""

    @pytest.fixture
    def evaluator(self, sample):
        return SurrogateEvaluator(Surrogate(sample))

    @pytest.fixture
    def students(self, sample):
        one, two, three, four = (student for _, student in draw_students(sample.decisions, 4))
        return [one, Student(sample.teacher), two, three, one, four]


def test_the_package_has_samples_that_can_be_read():
    for path in shipped_samples():
        assert len(Sample.load(path).students) >= 50


def test_a_student_has_numbers_of_all_trainings():
    assert SampledStudent(actions="0190", accuracy=(0.1, 0.2), test_accuracy=(0.3, 0.4)).episode == (0, 1, 9, 0)
