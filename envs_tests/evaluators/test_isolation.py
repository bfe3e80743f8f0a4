"""An evaluation never depends on what else the process does: threads that train, draw and set numbers of threads meanwhile."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from agents.search.student import FinalTraining, Training, load_student
from envs_tests.conftest import toy_arrays
from n2n_gym.architecture import Architecture, apply_shrinkages
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.latency import LatencyEvaluator
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.system.device import one_thread
from n2n_gym.system.files import write_json
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.recipes import final_recipe

TEACHER = Architecture.chain([conv(40, bias=True), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
STUDENTS = [Student(apply_shrinkages(TEACHER, [9, 9, filters])) for filters in range(2, 9)]
ASKED = 6
"""Students that each of the threads asks for."""


@pytest.fixture
def problem(tmp_path):
    np.savez(tmp_path / "toy.npz", **toy_arrays(images=150, brightness=12))  # hard enough to tell students apart
    write_json(tmp_path / "toy.json", TEACHER.to_json())
    return Problem(str(tmp_path / "toy.json"), str(tmp_path / "toy.npz"))


@contextmanager
def noise():
    """A thread that seeds torch, draws from it and sets its number of threads all the time."""
    over = threading.Event()

    def disturb():
        count = 0
        while not over.is_set():
            count += 1
            torch.manual_seed(count)
            torch.rand(3)
            torch.set_num_threads(1 + count % 2)
            time.sleep(0.0005)  # else the others hardly ever have Python's lock

    thread = threading.Thread(target=disturb)
    thread.start()
    yield
    over.set()
    thread.join()
    torch.set_num_threads(1)


def answers(problem, first):
    """What an evaluator of its own says of some of the students, asked for one after the other."""
    evaluator = LatencyEvaluator(DistillationEvaluator(problem, device="cpu"), device="cpu")
    students = [STUDENTS[(first + i) % len(STUDENTS)] for i in range(ASKED)]
    return {s.lineage: (e.accuracy, e.class_accuracy) for s in students for e in evaluator.evaluate([s])}


def test_threads_that_train_and_one_that_disturbs_change_nothing(problem):
    alone = answers(problem, 0) | answers(problem, 4)
    assert len(set(alone.values())) > 3
    with noise(), ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda first: answers(problem, first), range(8)))
    assert together == [{name: alone[name] for name in each} for each in together]


def test_torch_draws_for_others_as_if_nothing_was_trained(problem, tmp_path):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with (
        mock.patch.object(torch, "manual_seed", side_effect=AssertionError),
        mock.patch.object(torch, "set_rng_state", side_effect=AssertionError),
    ):  # not even for a while: another thread may draw just then
        answers(problem, 0)
        teacher = ready_teacher(problem, device=torch.device("cpu"))
        recipe = replace(final_recipe(problem.data), epochs=1)
        training = FinalTraining(problem, teacher, recipe, device="cpu")
        training.run([Training(STUDENTS[0].architecture, tmp_path / "final", seed=0)])
        load_student(tmp_path / "final")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_one_trains_at_a_time():
    """Whoever wants to train meanwhile waits, and a thread that trains may begin another training."""
    order = []
    entered = threading.Event()

    def late():
        entered.wait()
        with one_thread(torch.device("cpu")):
            order.append("late")

    other = threading.Thread(target=late)
    other.start()
    with one_thread(torch.device("cpu")), one_thread(torch.device("cpu")):
        entered.set()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "late"]


def test_a_forked_child_need_not_wait_for_its_parents_training():
    child = multiprocessing.get_context("fork").Process(target=_take_a_turn)
    with one_thread(torch.device("cpu")):
        forking = threading.Thread(target=child.start)  # in the child the thread that trains is no more
        forking.start()
        forking.join()
        child.join(20)
    child.kill()
    assert child.exitcode == 0


def _take_a_turn():
    with one_thread(torch.device("cpu")):
        pass
