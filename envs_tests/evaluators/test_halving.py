"""Successive halving: who is trained on, that nothing is trained twice, and what is said of those that were stopped."""

import copy
import dataclasses
import gc
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from n2n_gym.errors import InputError
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.contract import Rung
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.halving import HalvingEvaluator
from n2n_gym.rewards import accuracy_reward, paper_reward
from n2n_gym.stages import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.training import loop, turns
from n2n_gym.training.logits import TeacherLogits


def without_seconds(evaluations):
    return [dataclasses.replace(each, seconds=0.0) for each in evaluations]


@pytest.fixture
def students(toy_problem):
    stage = ShrinkStage(Student(toy_problem.architecture))
    return [stage.student(actions) for actions in ((9, 0, 9), (9, 9, 0), (9, 9, 8), (4, 9, 9))]


@pytest.fixture
def epochs_trained(monkeypatch):
    counted = []
    once = loop._trained_once

    def counting(network, *rest):
        counted.append(network.architecture.fingerprint)
        return once(network, *rest)

    monkeypatch.setattr(loop, "_trained_once", counting)
    return counted


def made(problem, **changes):
    return make_evaluator(problem, evaluator="halving", device="cpu", recipe="paper", **changes)


def test_the_better_half_goes_on_and_nothing_is_trained_twice(toy_problem, students, epochs_trained):
    plain = make_evaluator(toy_problem, device="cpu", recipe="paper").evaluate(students)
    del epochs_trained[:]
    with made(toy_problem) as halving:
        assert halving.rungs == (1, 2, 4)
        found = halving.evaluate(students)
    assert len(epochs_trained) == 4 + 2 + 2 * 1 + 1  # until 1, from 1 to 2, from 2 to 4, and the last one
    assert sorted(each.rung for each in found) == [0, 1, 1, 2]
    [whole] = [index for index, each in enumerate(found) if not each.rung]
    assert without_seconds([found[whole]]) == without_seconds([plain[whole]])  # though it was stopped three times
    assert found[whole].rung_accuracy is None


def test_who_goes_on_has_the_higher_reward_at_the_rung(toy_problem, students, tmp_path):
    inner = make_evaluator(toy_problem, device="cpu", recipe="paper")
    for reward in (paper_reward, accuracy_reward):
        at_rung = inner.until(Rung(1, tmp_path)).evaluate(students)
        with HalvingEvaluator(inner, reward) as halving:
            found = halving.evaluate(students)
        stopped = [index for index, each in enumerate(found) if each.rung == 1]
        assert [found[index].rung_accuracy for index in stopped] == [at_rung[index].accuracy for index in stopped]
        others = [index for index in range(4) if index not in stopped]
        assert max(reward(at_rung[index]) for index in stopped) <= min(reward(at_rung[index]) for index in others)


def test_a_prediction_has_the_gain_of_those_that_went_on_and_is_not_above_the_best(toy_problem, students):
    with made(toy_problem) as halving:
        found = halving.evaluate(students)
    [best] = [each.accuracy for each in found if not each.rung]
    for each in found:
        if each.rung:
            assert each.rung_accuracy <= each.accuracy <= best or each.accuracy == best


def test_equal_batches_get_equal_evaluations_whoever_trains_them(toy_problem, students):
    found = []
    for workers in (0, 2, 0):
        with made(toy_problem, workers=workers) as halving:
            found.append(without_seconds(halving.evaluate(students)))
    assert found[0] == found[1] == found[2]


def test_a_student_asked_for_again_goes_on_from_where_it_was_stopped(toy_problem, students, epochs_trained, tmp_path):
    with made(toy_problem, store=tmp_path / "store.sqlite") as halving:
        first = halving.evaluate(students)
        stopped = next(student for student, each in zip(students, first, strict=True) if each.rung == 2)
        del epochs_trained[:]
        [again] = halving.evaluate([stopped])
    assert again.rung == 0
    assert len(epochs_trained) == 5 - 2


def test_the_store_knows_rungs(toy_problem, students, epochs_trained, tmp_path):
    with made(toy_problem, store=tmp_path / "store.sqlite") as halving:
        first = halving.evaluate(students)
    del epochs_trained[:]
    with made(toy_problem, store=tmp_path / "store.sqlite") as halving:
        assert halving.evaluate(students) == first
    assert not epochs_trained
    whole = make_evaluator(toy_problem, device="cpu", recipe="paper", store=tmp_path / "store.sqlite").evaluate(students)
    assert len(epochs_trained) == 3 * 5  # the one that was trained whole is known to all
    assert [each for each in first if not each.rung] == [a for a, b in zip(whole, first, strict=True) if not b.rung]


@pytest.fixture
def slow(monkeypatch):
    """An epoch takes 100 seconds, and the teacher's logits 1,000, of a clock of their own."""
    clock = [0.0]
    once, computed = loop._trained_once, TeacherLogits._computed

    def slowly(*arguments):
        loss = yield from once(*arguments)
        clock[0] += 100
        return loss

    def slowly_computed(self, *arguments):
        clock[0] += 1_000
        return computed(self, *arguments)

    monkeypatch.setattr(loop, "_trained_once", slowly)
    monkeypatch.setattr(TeacherLogits, "_computed", slowly_computed)
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: clock[0]))


@pytest.mark.parametrize("at_once", [1, 4])
def test_seconds_are_ones_own_in_turns_too(toy_problem, students, slow, monkeypatch, at_once):
    monkeypatch.setattr(DistillationEvaluator, "at_once", at_once)
    with made(toy_problem) as halving:
        found = halving.evaluate(students)
    assert [each.seconds for each in found] == [100.0 * (each.rung or 5) for each in found]


def test_a_timeout_is_of_the_whole_training(toy_problem, students, slow):
    """But not of the teacher's logits, for which no student pays."""
    plain = make_evaluator(toy_problem, device="cpu", recipe="paper", timeout=350.0).evaluate(students)
    assert {(each.reason, each.seconds) for each in plain} == {("timeout", 400.0)}
    with made(toy_problem, timeout=350.0) as halving:
        found = halving.evaluate(students)
    assert sorted((each.reason, each.seconds) for each in found) == [("", 100.0), ("", 100.0), ("", 200.0), ("timeout", 400.0)]


def test_seconds_are_those_of_the_whole_training(toy_problem, students):
    with made(toy_problem) as halving:
        found = halving.evaluate(students)
    [whole] = [each.seconds for each in found if not each.rung]
    assert whole > max(each.seconds for each in found if each.rung == 1)


def test_a_degenerate_student_competes_with_nobody(toy_problem, students):
    stage = ShrinkStage(Student(toy_problem.architecture))
    degenerate = stage.student([9] * stage.decisions)  # the teacher itself: not smaller
    with made(toy_problem) as halving:
        with_it, without = halving.evaluate([degenerate, *students]), halving.evaluate(students)
    assert with_it[0].reason
    assert not with_it[0].rung
    assert [each.rung for each in without] == [each.rung for each in with_it[1:]]


def test_failed_trainings_are_said_once_and_not_predicted(toy_problem, students):
    with made(toy_problem, timeout=1e-9) as halving:
        found = halving.evaluate(students)
    assert {each.reason for each in found} == {"timeout"}
    assert {each.rung for each in found} == {0}


def test_ray_and_tables_cannot_stop_on_the_way(toy_problem, toy_tables):
    from n2n_gym.tables import Table
    from n2n_gym.tables.evaluator import TableEvaluator

    with pytest.raises(InputError, match="on the way"):
        HalvingEvaluator(TableEvaluator(Table.load(str(toy_tables / "shrink.npz")), "mean"), paper_reward)


def folders(place):
    return sorted(place.glob("n2n-halving-*"))


def test_stopped_trainings_go_with_who_holds_them(toy_problem, students, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    halving, students = made(toy_problem), students[:2]
    first = without_seconds(halving.evaluate(students))
    [folder] = folders(tmp_path)
    for copied in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        other = copied(halving)
        assert without_seconds(other.evaluate(students)) == first
        assert len(folders(tmp_path)) == 2
        del other
        gc.collect()
        assert folders(tmp_path) == [folder]  # a copy had a folder of its own
    halving.close()
    assert folders(tmp_path) == []
    assert without_seconds(halving.evaluate(students)) == first
    del halving
    gc.collect()
    assert folders(tmp_path) == []


def test_stopped_trainings_go_with_the_process_that_made_them_and_no_other(tmp_path):
    program = """
import os
from n2n_gym.system.files import OwnFolder
folder = OwnFolder("halving")
if os.fork() == 0:
    del folder
    os._exit(0)
os.wait()
assert folder.path.is_dir()
print(folder.path)
"""
    environment = {"TMPDIR": str(tmp_path), "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert Path(ran.stdout.strip()).parent == tmp_path
    assert folders(tmp_path) == []
