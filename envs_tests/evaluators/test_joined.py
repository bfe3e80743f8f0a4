"""Trainings of a student that are joined end as trainings by themselves, but for how numbers are rounded."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs_tests.conftest import DEEPER_TOY
from n2n_gym.architecture import apply_removals
from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY
from n2n_gym.evaluators import distillation, joined, make_evaluator
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.joined import JoinedTrainings
from n2n_gym.models.build import Network
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.problem import Problem
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.student import Student
from n2n_gym.training.images import Score
from n2n_gym.training.joined import train_joined
from n2n_gym.training.loop import DIVERGED, Outcome

SEEDS = (0, 1, 4)


@pytest.fixture
def folder(toy_tables, monkeypatch):
    monkeypatch.setenv("N2N_HOME", str(toy_tables / "home"))
    return toy_tables


@pytest.fixture
def problem(folder):
    return Problem(str(folder / "removal.json"), str(folder / "toy.npz"))


@pytest.fixture
def trainings(problem):
    return JoinedTrainings(problem, SEEDS, "steady")


@pytest.fixture
def students():
    return [
        Student(apply_removals(DEEPER_TOY, actions))
        for actions in ((0, 0, 1, 0, 0, 0), (0, 0, 1, 1, 0, 0), (1, 0, 0, 0, 0, 0))
    ]


def counted(evaluations):
    return [(each.accuracy, each.test_accuracy, each.class_accuracy) for each in evaluations]


def test_each_ends_as_it_would_by_itself(trainings, students, problem):
    together = trainings.train(students[0])
    for seed, found in zip(SEEDS, together, strict=True):
        with make_evaluator(problem, recipe="steady", seed=seed, device="cpu", thorough=True) as evaluator:
            [alone] = evaluator.evaluate([students[0]])
        assert found.accuracy == pytest.approx(alone.accuracy, abs=0.02)
        assert found.test_accuracy == pytest.approx(alone.test_accuracy, abs=0.02)
        assert (found.parameters, found.macs, found.teacher_accuracy) == (alone.parameters, alone.macs, alone.teacher_accuracy)
        assert found.epoch_accuracy == (found.accuracy,)
        assert found.seconds > 0
    assert len({each.accuracy for each in together}) > 1, "equal trainings would show nothing"


def test_weights_go_where_they_go_by_themselves(trainings):
    """After one epoch by plain gradient descent, which rounding does not drive apart."""
    from n2n_gym.training.loop import train

    first = trainings.evaluators[0]
    recipe = replace(first.training_recipe, epochs=1, optimizer="sgd", learning_rate=0.05)
    apart = [Network(DEEPER_TOY, torch.Generator().manual_seed(seed)) for seed in SEEDS]
    together = JoinedNetwork(apart)
    assert train_joined(together, first.data, recipe, seeds=SEEDS, teacher=first.teacher_logits) == [""] * len(SEEDS)
    begun = [each.layers[0].weight.clone() for each in apart]
    for seed, network in zip(SEEDS, apart, strict=True):
        train(network, first.data, recipe, seed=seed, teacher=first.teacher_logits, bf16=False)
    for index, network in enumerate(apart):
        weights = together.layers[0].weight.unflatten(0, (len(SEEDS), -1))[index]
        torch.testing.assert_close(weights, network.layers[0].weight, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(weights, begun[index], atol=1e-3)


def test_joined_trainings_of_students_that_inherit_begin_where_each_would_by_itself(problem, monkeypatch):
    student = RemovalStage(Student(DEEPER_TOY)).student((0, 0, 1, 0, 0, 0))
    alone, together = [], []

    def untrained(network, *_, **__):
        alone.append(copy.deepcopy(network))
        yield
        return Outcome(Score(0.0), 1)

    monkeypatch.setattr(distillation, "training", untrained)
    monkeypatch.setattr(joined, "train_joined", lambda networks, *_, **__: together.append(networks) or [""] * len(SEEDS))
    for seed in SEEDS:
        DistillationEvaluator(problem, seed, recipe="inherit", device="cpu").train_student(student)
    JoinedTrainings(problem, SEEDS, "inherit").train(student)
    expected = JoinedNetwork(alone).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in together[0].state_dict().items())
    teacher = DistillationEvaluator(problem, device="cpu").trained_teacher.checkpoint.network
    assert torch.equal(alone[0].layers[0].weight, teacher.layers[0].weight)


def test_joined_trainings_refuse_to_stop_by_patience(trainings):
    first = trainings.evaluators[0]
    networks = JoinedNetwork([Network(DEEPER_TOY, torch.Generator().manual_seed(seed)) for seed in SEEDS])
    recipe = replace(first.training_recipe, patience=2)
    with pytest.raises(InputError, match="recipe 'steady' stops by patience, .*; leave joined out"):
        train_joined(networks, first.data, recipe, seeds=SEEDS, teacher=first.teacher_logits)


def test_one_that_diverges_leaves_the_others_alone(trainings):
    first = trainings.evaluators[0]
    networks = [Network(DEEPER_TOY, torch.Generator().manual_seed(seed)) for seed in SEEDS]
    spoilt, whole = JoinedNetwork(networks), JoinedNetwork(networks)
    with torch.no_grad():
        spoilt.layers[0].weight.unflatten(0, (len(SEEDS), -1))[1] = torch.nan
    arguments = {"seeds": SEEDS, "teacher": first.teacher_logits}
    assert train_joined(spoilt, first.data, first.training_recipe, **arguments) == ["", DIVERGED, ""]
    assert train_joined(whole, first.data, first.training_recipe, **arguments) == ["", "", ""]
    left = [spoilt.layers[0].weight, whole.layers[0].weight]
    for index, equal in enumerate((True, False, True)):
        here, there = (each.unflatten(0, (len(SEEDS), -1))[index] for each in left)
        assert torch.equal(here, there) == equal


def test_processes_change_nothing_and_what_is_kept_is_not_trained_again(trainings, students, tmp_path, monkeypatch):
    store = tmp_path / "kept.sqlite"
    alone = {index: counted(found) for index, found in trainings.stream(students)}
    assert sorted(alone) == [0, 1, 2]
    assert {index: counted(found) for index, found in trainings.stream(students[:2], 0, store)} == {0: alone[0], 1: alone[1]}
    calls = []
    real = JoinedTrainings.train
    monkeypatch.setattr(JoinedTrainings, "train", lambda self, student: calls.append(student) or real(self, student))
    assert {index: counted(found) for index, found in trainings.stream(students, 0, store)} == alone
    assert calls == [students[2]]
    (tmp_path / "kept.sqlite").unlink()
    assert {index: counted(found) for index, found in trainings.stream(students, 1, store)} == alone


def test_trainings_by_themselves_are_kept_apart(trainings, students, problem, tmp_path):
    store = tmp_path / "kept.sqlite"
    list(trainings.stream(students[:1], 0, store))
    with make_evaluator(problem, recipe="steady", device="cpu", thorough=True, store=store) as evaluator:
        [found] = evaluator.evaluate(students[:1])
    assert len(found.epoch_accuracy) == 5


def test_want_of_memory_is_the_machines_failure(trainings, students, tmp_path, monkeypatch):
    def too_much(_networks):
        raise MemoryError

    monkeypatch.setattr(joined, "JoinedNetwork", too_much)
    store = tmp_path / "kept.sqlite"
    [(_, found)] = trainings.stream(students[:1], 0, store)
    assert [each.reason for each in found] == [OUT_OF_MEMORY] * len(SEEDS)
    monkeypatch.undo()
    [(_, found)] = trainings.stream(students[:1], 0, store)
    assert [each.reason for each in found] == [""] * len(SEEDS)


def test_other_machines_are_refused(trainings, students):
    with pytest.raises(InputError, match="not for workers 'ray'"):
        list(trainings.stream(students, "ray"))


def test_a_table_of_joined_trainings(problem, folder, tmp_path, monkeypatch):
    from n2n_gym.tables import Table
    from n2n_gym.tables.build import build_table
    from n2n_gym.tables.check import retrain

    out = tmp_path / "joined.npz"
    seen = []

    def stop(done, trainings):
        seen.append((done, trainings))
        if done > trainings / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(problem, "removal", out, seeds=[0, 1, 2], joined=True, workers=0, on_progress=stop)
    calls = []
    real = JoinedTrainings.train
    monkeypatch.setattr(JoinedTrainings, "train", lambda self, student: calls.append(student) or real(self, student))
    table = build_table(problem, "removal", out, seeds=[0, 1, 2], joined=True, workers=0)
    apart = Table.load(str(folder / "removal.npz"))
    assert 0 < len(calls) < apart.feasible.sum(), "what was done before it was stopped is kept"
    assert seen[-1][1] == 3 * len(table)
    assert np.array_equal(table.columns["row_of"], apart.columns["row_of"])
    assert np.array_equal(table.columns["reason"] > 0, apart.columns["reason"] > 0)
    assert table.columns["correct"].shape == (len(table), 3, 1)
    few = 0.03 * apart.facts["validation_images"]
    assert np.abs(table.columns["correct"][..., -1].astype(int) - apart.columns["correct"][..., -1]).mean() < few
    assert (table.facts["joined"], apart.facts["joined"]) == (True, False)
    assert table.statistics().keys() == apart.statistics().keys()
    for again in retrain(Table.load(str(out)), 2, workers=0):
        assert again.points == 0
        assert again.same_sizes


def test_layers_that_cannot_be_joined_are_said_before_anything_is_trained(folder, tmp_path):
    from n2n_gym.architecture import IMAGE, Architecture, Node
    from n2n_gym.layers import concat, conv, linear, relu
    from n2n_gym.system.files import write_json
    from n2n_gym.tables.build import build_table

    branches = (
        Node(conv(4), (IMAGE,)),
        Node(conv(4), (IMAGE,)),
        Node(concat(), (0, 1)),
        Node(relu(), (2,)),
        Node(linear(3), (3,)),
    )
    write_json(tmp_path / "branches.json", Architecture(branches, (1, 8, 8), 3).to_json())
    problem = Problem(str(tmp_path / "branches.json"), str(folder / "toy.npz"))
    with pytest.raises(InputError, match="Concatenation of several networks cannot be joined; leave joined out"):
        build_table(problem, "removal", tmp_path / "out.npz", joined=True, workers=0)
    assert not list(tmp_path.glob("out*"))
