"""The Ray evaluator on a real cluster of several nodes on this machine."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from envs_tests.conftest import toy_arrays
from n2n_gym import teachers
from n2n_gym.architecture import Architecture, apply_shrinkages
from n2n_gym.errors import InputError
from n2n_gym.evaluation import WORKER_DIED
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.problem import Problem
from n2n_gym.stages import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.system.files import write_json

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

WIDER_TOY = Architecture.chain([conv(40, bias=True), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
STUDENTS = [Student(apply_shrinkages(WIDER_TOY, [9, 9, filters])) for filters in range(2, 9)]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("problem")
    np.savez(folder / "toy.npz", **toy_arrays(images=400, brightness=12))
    write_json(folder / "toy.json", WIDER_TOY.to_json())
    return Problem(str(folder / "toy.json"), str(folder / "toy.npz")), folder / "home"


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes with one core each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(autouse=True)
def _home(problem, monkeypatch):
    monkeypatch.setenv("N2N_HOME", str(problem[1]))


def facts(evaluations):
    return [(e.accuracy, e.class_accuracy, e.parameters, e.macs, e.reason) for e in evaluations]


def test_bit_equal_to_training_in_process_and_kept_in_the_store(problem, cluster, tmp_path):
    with make_evaluator(problem[0], device="cpu") as evaluator:
        expected = facts(evaluator.evaluate(STUDENTS))
    store = tmp_path / "store.sqlite"
    with make_evaluator(problem[0], device="cpu", workers=f"ray:{cluster.address}", store=store) as evaluator:
        assert facts(evaluator.evaluate(STUDENTS)) == expected
    assert len(EvaluationStore(store)) == len(STUDENTS)
    assert len({accuracy for accuracy, *_ in expected}) > 3


class Slow(DistillationEvaluator):
    """Says where it trains and takes its time, so that a node can be killed meanwhile; dies for good at one student."""

    def train_student(self, student):
        node = ray.get_runtime_context().get_node_id()
        (Path(self.problem.teacher).parent / node).touch()
        time.sleep(0.3)
        if student == STUDENTS[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_student(student)


def test_a_node_that_is_killed_costs_no_student_and_a_deadly_student_only_itself(problem, cluster):
    from n2n_gym.evaluators.ray import RayEvaluator

    ray.cloudpickle.register_pickle_by_value(__import__(Slow.__module__, fromlist=["Slow"]))
    expected = facts(DistillationEvaluator(problem[0], device="cpu").evaluate(STUDENTS))
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    with RayEvaluator(Slow(problem[0], device="cpu"), cluster.address) as evaluator:
        killed = threading.Event()

        def kill_while_it_trains():
            while not (problem[1].parent / lost.node_id).exists():
                time.sleep(0.05)
            cluster.remove_node(lost, allow_graceful=False)
            killed.set()

        killer = threading.Thread(target=kill_while_it_trains, daemon=True)
        killer.start()
        answers = facts(evaluator.evaluate(STUDENTS))
        assert killed.is_set()
        killer.join()
        until = time.monotonic() + 60
        while sum(node["Alive"] for node in ray.nodes()) > 3 and time.monotonic() < until:
            time.sleep(0.2)
        assert sum(node["Alive"] for node in ray.nodes()) == 3
    assert answers[2][-1] == WORKER_DIED
    assert answers[:2] + answers[3:] == expected[:2] + expected[3:]


def test_nodes_need_no_files_even_for_tables(problem, cluster):
    with make_evaluator(problem[0], device="cpu", thorough=True, workers=f"ray:{cluster.address}") as evaluator:
        evaluator._connected()
        _, shipment = evaluator._ship()
        shipped = ray.get(shipment)
    assert len(shipped.data.dataset.__dict__["test"][0]) > 0
    assert shipped.evaluator.device == "cpu"


def test_one_cluster_at_a_time_and_equal_versions(problem, cluster, monkeypatch):
    with make_evaluator(problem[0], device="cpu", workers=f"ray:{cluster.address}") as evaluator:
        evaluator.evaluate(STUDENTS[:1])
        host, _, port = cluster.address.rpartition(":")
        with pytest.raises(InputError, match="is on the Ray cluster at .* already"):
            make_evaluator(problem[0], device="cpu", workers=f"ray:{host}:{int(port) + 1}").evaluate(STUDENTS[:1])
        monkeypatch.setattr("n2n_gym.evaluators.ray.library_versions", lambda: {"torch": "0"})
        evaluator._shipped = None
        with pytest.raises(InputError, match="a node of the Ray cluster has .*, this machine {'torch': '0'}"):
            evaluator.evaluate(STUDENTS[1:2])


def test_what_cannot_be(problem, monkeypatch):
    with pytest.raises(InputError, match="there is no Ray cluster at 127.0.0.1:1"):
        make_evaluator(problem[0], device="cpu", workers="ray:127.0.0.1:1").evaluate(STUDENTS[:1])
    with monkeypatch.context() as patch:
        patch.setattr(ray, "init", lambda *_, **__: (_ for _ in ()).throw(Exception("timed out during startup\nor so")))
        with pytest.raises(InputError, match=r"Ray does not start \(timed out during startup\); is the machine too busy\?"):
            make_evaluator(problem[0], device="cpu", workers="ray").evaluate(STUDENTS[:1])
    with pytest.raises(InputError, match=r"unknown workers 'rya'\. Did you mean 'ray'\? Known: ray, ray:ADDRESS, a number"):
        make_evaluator(problem[0], workers="rya")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'n2n-gym\[ray\]'"):
        make_evaluator(problem[0], workers="ray")


def test_students_of_an_imported_teacher_need_none_of_its_files(problem, cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("N2N_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    module = nn.Sequential(*layers, nn.Linear(32, 3))
    arrays = np.load(problem[0].dataset)
    images = torch.tensor(arrays["x_train"].transpose(0, 3, 1, 2) / 255, dtype=torch.float32)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(60):  # a network that does not say the same of every image
        loss = nn.functional.cross_entropy(module((images - 0.25) / 0.5), torch.tensor(arrays["y_train"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    name = teachers.add(module, name="mine", dataset=problem[0].dataset, mean=(0.25,), std=(0.5,), device="cpu")
    imported = Problem(name, problem[0].dataset)
    stage = ShrinkStage(Student(imported.architecture))
    students = [stage.student([factor] * stage.decisions) for factor in (4, 6, 8)]
    with make_evaluator(imported, device="cpu") as evaluator:
        expected = facts(evaluator.evaluate(students))
    with make_evaluator(imported, device="cpu", workers=f"ray:{cluster.address}") as evaluator:
        evaluator._connected()
        evaluator._ship()
        shutil.move(tmp_path / "home", tmp_path / "elsewhere")
        assert facts(evaluator.evaluate(students)) == expected
    assert {reason for *_, reason in expected} == {""}
    assert len({accuracy for accuracy, *_ in expected}) > 1
