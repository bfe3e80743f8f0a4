"""Generated networks and tasks: what they are made of, who is held out, and that a build goes on."""

import json
from collections import Counter

import numpy as np
import pytest

from agents.benchmark.large import LargeTask
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.networks.generated import FAMILIES, generated
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student
from n2n_gym.tables import transfer
from n2n_gym.tables.sample import Sample, draw_students
from n2n_gym.tables.transfer import TransferTask, build_transfer_task, transfer_tasks


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_networks_of_every_family_can_be_compressed(family, shape):
    rng = np.random.default_rng(0)
    made = [generated(family, rng, shape, 10) for _ in range(6)]
    assert len({each.fingerprint for each in made}) > 1
    for network in made:
        assert network.verdict().feasible
        assert network.shapes[-1] == (10, 1, 1)
        for stage in (RemovalStage(Student(network)), ShrinkStage(Student(network))):
            assert stage.feasible(stage.random_actions(rng))


def test_families_are_what_they_are_called():
    kinds = {
        name: {node.layer.kind for node in generated(name, np.random.default_rng(1), (1, 28, 28), 10).nodes}
        for name in FAMILIES
    }
    assert "add" in kinds["residual"] & kinds["bottleneck"]
    assert "depthwise" in kinds["depthwise"]
    assert "concat" in kinds["dense"]
    assert not {"add", "concat", "depthwise"} & kinds["chain"]
    with pytest.raises(InputError, match="Did you mean 'chain'"):
        generated("chains", np.random.default_rng(0), (1, 28, 28), 10)


def test_tasks():
    tasks = transfer_tasks()
    assert tasks == transfer_tasks() != transfer_tasks(1)
    assert len({task.name for task in tasks}) == 48
    learn, held_out = ([task for task in tasks if task.held_out is held] for held in (False, True))
    assert (len(learn), len(held_out)) == (32, 16)
    assert not any(task.family == "dense" or task.dataset == "cifar10" for task in learn)
    assert sum(task.family == "dense" for task in held_out) == 5
    assert sum(task.dataset == "cifar10" for task in held_out) == 5
    known = {(task.architecture.fingerprint, task.dataset, task.train_size, task.stage) for task in learn}
    assert not any((task.architecture.fingerprint, task.dataset, task.train_size, task.stage) in known for task in held_out)
    assert Counter(task.family for task in learn) == {"chain": 8, "residual": 8, "bottleneck": 8, "depthwise": 8}
    assert {task.stage for task in learn} == {"removal", "shrink"}
    assert max(task.train_size for task in tasks if task.dataset == "digits") == 1_000  # it has 1,078


@pytest.fixture
def task(toy_data):
    layers = [conv(8), relu(), max_pool(), conv(6), relu(), conv(6), relu(), max_pool(), linear(3)]
    network = Architecture.chain(layers, (1, 8, 8), 3)
    return TransferTask("toy-task", "chain", network, toy_data, 60, "removal", held_out=False)


def test_students_are_distinct_and_the_same_again(task):
    stage = RemovalStage(Student(task.architecture))
    found = draw_students(stage, 4)
    assert len({student.architecture.fingerprint for _, student in found}) == 4
    assert [actions for actions, _ in found] == [actions for actions, _ in draw_students(stage, 4)]
    assert 4 < len(draw_students(stage, 40)) < 40  # all that there are


def test_a_task_is_built_and_goes_on(task, tmp_path, monkeypatch):
    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_transfer_task(task, tmp_path, students=3, workers=0, on_progress=stop)
    assert not (tmp_path / "toy-task.json").exists()
    from n2n_gym.evaluators.distillation import DistillationEvaluator

    trained = []
    real = DistillationEvaluator.train_student
    monkeypatch.setattr(DistillationEvaluator, "train_student", lambda self, s: trained.append(self.seed) or real(self, s))
    sample = Sample.load(build_transfer_task(task, tmp_path, students=3, workers=0))
    assert trained == [1, 1, 1]  # seed 0's were kept
    assert (sample.family, sample.train_size, sample.teacher) == ("chain", 60, task.architecture)
    drawn = [actions for actions, _ in draw_students(sample.decisions, 3)]
    assert [student.episode for student in sample.students] == drawn
    assert all(len(student.accuracy) == len(student.test_accuracy) == 2 for student in sample.students)
    assert 0 < sample.val_accuracy <= 1
    with pytest.raises(InputError, match="needs 3 students"):
        build_transfer_task(task, tmp_path, students=0)


def test_the_command_says_what_there_is(tmp_path, capsys, monkeypatch, task):
    from agents.commands.main import main

    monkeypatch.setattr(transfer, "transfer_tasks", lambda _seed: [task] * 48)
    assert main(["table", "transfer", "--out", str(tmp_path), "--first", "60"]) == 2
    assert "tasks 0 to 47" in capsys.readouterr().err
    command = ["table", "transfer", "--out", str(tmp_path), "--first", "3", "--last", "4", "--students", "3", "--workers", "0"]
    assert main(command) == 0
    assert len(json.loads((tmp_path / "toy-task.json").read_text())["students"]) == 3


def test_a_sample_of_a_space_of_ones_own(tmp_path, capsys):
    """What the track `large` of the benchmark asks of: any teacher's students, trained as one says."""
    from agents.commands.main import main

    out = tmp_path / "mine.json"
    size = ["--students", "8", "--width", "0.1", "--train-size", "60", "--recipe", "fast", "--workers", "0"]
    assert main(["table", "sample", "--teacher", "conv2", "--dataset", "digits", *size, "--out", str(tmp_path / "mine")]) == 2
    assert "a sample is a .json file" in capsys.readouterr().err
    command = ["table", "sample", "--teacher", "conv2", "--dataset", "digits", "--stage", "shrink", *size, "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert '"students": 8' in said
    assert "r2" in said
    sample = Sample.load(out)
    assert (sample.name, sample.stage, len(sample.students), len(sample.students[0].accuracy)) == ("mine", "shrink", 8, 2)
    assert LargeTask(str(out)).space == "mine"
