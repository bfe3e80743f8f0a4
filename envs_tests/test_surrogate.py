"""Samples of students as files, the model that predicts the others, and the environment over it."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import n2n_gym  # noqa: F401  registers the environments
from envs_tests.conftest import made_accuracy, made_sample
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import distillation
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.joined import JoinedTrainings
from n2n_gym.problem import Problem
from n2n_gym.stages import stage_by_name
from n2n_gym.student import Student
from n2n_gym.tables.sample import Sample, SampledStudent, build_sample, draw_students, shipped_samples
from n2n_gym.tables.surrogate import Surrogate, SurrogateEvaluator, surrogate_in
from n2n_gym.testing.evaluator import EvaluatorSuite
from n2n_gym.training.loop import DIVERGED

NO_NAMES = ("", "/tmp/evil", "../../evil", "..", ".hidden", "a:b", "a|b", "made\n", "a" * 300)


def student(actions, trainings=2):
    return {"actions": actions, "accuracy": [1] * trainings, "test_accuracy": [1] * trainings}


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
        ({"students": [student("012")] * 3}, "012 are no actions of an episode"),
        ({"students": [student("0a")] * 3}, r"no sample of students: .*matching regex .* `\$\.students\[0\]\.actions`"),
        (
            {"students": [student("01", trainings=1)] * 3},
            r"no sample of students: .*length >= 2 - at `\$\.students\[0\]\.a",
        ),
        *(({"name": name}, r"no sample of students: .*`\$\.name`") for name in NO_NAMES),
        (lambda data: {"students": data["students"][:2]}, r"no sample of students: .*length >= 3 - at `\$\.students`"),
        (lambda data: {"students": [each | {"actions": each["actions"] + "\n"} for each in data["students"]]}, r"\.actions`"),
    ],
)
def test_what_is_no_sample_is_refused(path, change, complaint):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **(change(data) if callable(change) else change)}))
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


def test_files_that_look_alike_from_elsewhere_are_not_mistaken(sample, tmp_path, monkeypatch):
    for folder, count in (("a", 80), ("b", 79)):
        (tmp_path / folder).mkdir()
        replace(sample, students=sample.students[:count]).save(tmp_path / folder / "made.json")
    for file in tmp_path.glob("*/made.json"):
        os.utime(file, (0, 0))

    def count():
        return len(surrogate_in(Path("made.json")).sample.students)

    monkeypatch.chdir(tmp_path / "a")
    assert count() == 80
    monkeypatch.chdir(tmp_path / "b")
    assert count() == 79
    Path("made.json").replace(tmp_path / "a" / "made.json")
    monkeypatch.chdir(tmp_path / "a")
    assert count() == 79
    assert surrogate_in(Path("made.json")) is surrogate_in(tmp_path / "a" / "made.json"), "it is not fitted again"


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
    drawn_by = (log_odds[0] - log_odds[3]) / surrogate.spread(np.array(found[3]))
    assert np.std(drawn_by) == pytest.approx(1, rel=0.3)


def test_noise_is_as_large_as_models_are_wrong_about_students_of_the_kind(sample):
    """Here larger students are better, and of the small ones that is less certain."""
    drawn = [sample.decisions.student(each.episode) for each in sample.students]
    size = np.argsort(np.argsort([student.architecture.parameters for student in drawn])) / len(drawn)
    shown = 1 / (1 + np.exp(-(3 * size - 1 + np.random.default_rng(0).normal(0, 1 - size))))
    students = tuple(replace(each, accuracy=(float(a), 0.5)) for each, a in zip(sample.students, shown, strict=True))
    surrogate = Surrogate(replace(sample, students=students))
    expected = surrogate.accuracies(drawn)
    worst, *_, best = order = np.argsort(expected)
    low, high, beyond = surrogate.spread(np.array([expected[worst], expected[best], 0.999]))
    assert low > 2 * high == 2 * beyond
    off = [
        np.log(each.accuracy / (1 - each.accuracy)) - np.log(share / (1 - share))
        for each, share in zip(SurrogateEvaluator(surrogate).evaluate(drawn), expected, strict=True)
    ]
    fifth = len(order) // 5
    assert np.std(np.array(off)[order[:fifth]]) > 1.5 * np.std(np.array(off)[order[-fifth:]])


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
        ({"recipe": "paper"}, r"made-shrink was made by recipe fast, not paper: .* recipe='fast' \(--recipe fast\)"),
        ({"constraints": "latency_ms<=1"}, "a surrogate says nothing of latency_ms"),
        ({"constraints": "class_accuracy[1]>=0.2"}, r"a surrogate says nothing of class_accuracy\[1\]"),
    ):
        with pytest.raises(InputError, match=complaint):
            gym.make("N2N/LayerShrink-v0", **settings | wrong)
    with pytest.raises(InputError, match="of stage shrink"):
        gym.make("N2N/LayerRemoval-v0", **settings)


def test_other_images_than_the_samples_are_refused(path, sample):
    settings = {"teacher": str(path), "dataset": "digits", "train_size": 60, "evaluator": "surrogate", "recipe": "fast"}
    for data, reading, fits in (("digits", {}, True), ("other", {}, False), ("digits", {"flip": True}, False)):
        replace(sample, data=data).save(path)
        other = pytest.raises(InputError, match="of other images than those of digits, or they were read with .*flip=False")
        with nullcontext() if fits else other:
            gym.make("N2N/LayerShrink-v0", **settings, **reading)


def test_an_imported_teacher_is_the_samples_own(imported_teacher, toy_data, tmp_path):
    file = build_sample("made", Problem(imported_teacher(0.25), toy_data), "shrink", tmp_path, students=3, workers=0)
    for teacher, fits in (("mean-0.25", True), (imported_teacher(0.75), False), (str(file), True)):
        other = pytest.raises(InputError, match=r"made is of a teacher of other weights, .* than mean-0\.75")
        with nullcontext() if fits else other:
            gym.make("N2N/LayerShrink-v0", teacher=teacher, dataset=toy_data, evaluator=f"surrogate:{file}", recipe="fast")


def test_a_sample_says_which_images_it_is_of(toy_problem, tmp_path):
    named = replace(toy_problem, flip=True)
    path = build_sample("made", named, "shrink", tmp_path, students=3, workers=0)
    made = Sample.load(path)
    assert made.data == named.data.identity != toy_problem.data.identity
    assert made.arguments == {
        "dataset": named.dataset,
        "train_size": None,
        "recipe": "fast",
        "flip": True,
        "crop_padding": None,
        "image_size": None,
        "validation": None,
    }
    assert abs(Surrogate(made).agreement.again) <= 1  # three students are enough


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("failing", [1, 3])
def test_a_student_that_failed_once_is_left_out_of_a_sample(joined, failing, toy_problem, tmp_path, monkeypatch):
    stage = stage_by_name("shrink", toy_problem.architecture)
    drawn = draw_students(stage, 5)
    failed = [student.architecture for _, student in drawn[1 : 1 + failing]]

    def trained(student, seed):
        if seed == 0 and student.architecture in failed:
            return Evaluation.failed(student.architecture, stage.teacher, DIVERGED)
        return Evaluation.of(student.architecture, stage.teacher, accuracy=0.9, teacher_accuracy=1.0, test_accuracy=0.8)

    monkeypatch.setattr(DistillationEvaluator, "train_student", lambda self, student: trained(student, self.seed))
    monkeypatch.setattr(JoinedTrainings, "train", lambda self, student: [trained(student, seed) for seed in self.seeds])

    def build():
        return Sample.load(build_sample("made", toy_problem, "shrink", tmp_path, students=5, joined=joined, workers=0))

    if failing > 2:
        with pytest.raises(
            InputError, match="trainings of 3 of 5 students failed, and a sample needs 3 or more whose go well"
        ):
            build()
        assert not (tmp_path / "made.json").exists()
        return
    made = build()
    left = [student.episode for student in made.students]
    assert left == [actions for actions, student in drawn if student.architecture not in failed]
    assert {(*each.accuracy, *each.test_accuracy) for each in made.students} == {(0.9, 0.9, 0.8, 0.8)}
    assert made.failed == 1


def test_a_sample_of_trainings_that_inherit_is_the_same_joined(toy_problem, tmp_path, monkeypatch):
    taken = []
    real = distillation.inherit
    monkeypatch.setattr(distillation, "inherit", lambda *given: taken.append(given) or real(*given))
    settings = {"students": 3, "recipe": "inherit", "workers": 0}
    apart, together = (
        Sample.load(build_sample(f"joined-{joined}", toy_problem, "shrink", tmp_path, joined=joined, **settings))
        for joined in (False, True)
    )
    assert len(taken) == 2 * 3 * 2
    for here, there in zip(apart.students, together.students, strict=True):
        assert here.accuracy == pytest.approx(there.accuracy, abs=0.02)


def test_what_can_be_no_sample_is_said_before_anything_is_trained(toy_problem, tmp_path):
    def build(name="made", students=3):
        too_late = partial(pytest.fail, "something is trained")
        build_sample(name, toy_problem, "removal", tmp_path, students=students, workers=0, prepare=too_late)

    with pytest.raises(InputError, match="3 students and 2 trainings of each, or more, not 2 and 2"):
        build(students=2)
    for name in NO_NAMES:
        with pytest.raises(InputError, match=r"no table or sample can be called .*; choose another"):
            build(name)
    with pytest.raises(
        InputError, match="removal leads to 0 students that can be trained, and a sample needs 3 or more; take"
    ):
        build()


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
