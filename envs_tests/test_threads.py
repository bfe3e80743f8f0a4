"""No result depends on how many threads or cores there are, and who waits sleeps."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from agents.search.compress import compress
from envs_tests.agents.conftest import timeless
from n2n_gym.networks.zoo import network
from n2n_gym.system import device
from n2n_gym.system.device import MANY, by_itself, one_thread, threads, threads_for
from n2n_gym.system.files import teachers_folder
from n2n_gym.teachers import saved
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.recipes import teacher_recipe

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def machine(request):
    """One whose torch would use so many threads."""
    with threads(request.param):
        yield request.param


def test_the_problem_decides():
    assert threads_for(network("conv4", (1, 28, 28)).macs, 64) == 1
    assert threads_for(network("resnet18", width=0.25).macs, 128) == 1
    assert threads_for(network("resnet18").macs, 128) == MANY


def test_a_network_is_trained_by_as_many_threads_on_every_machine(machine):
    for macs, count in ((10**6, 1), (10**9, MANY)):
        with by_itself(CPU, macs, 128) as told:
            assert told == torch.get_num_threads() == count
            with by_itself(CPU, 1, 1) as within:
                assert within == count
        assert torch.get_num_threads() == machine
    with one_thread(CPU):
        with by_itself(CPU, 10**9, 128) as within:
            assert within == torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == machine


def test_a_teacher_is_the_same_on_every_machine(toy_problem, untrained, monkeypatch):
    found = {}
    monkeypatch.setattr(saved, "teacher_recipe", lambda *of: replace(teacher_recipe(*of), epochs=5))
    for large in (1e9, 1.0):
        monkeypatch.setattr(device, "LARGE", large)
        for count in (1, 2):
            shutil.rmtree(teachers_folder(), ignore_errors=True)
            with threads(count):
                teacher = ready_teacher(toy_problem, device=CPU).checkpoint
            found.setdefault(teacher.facts["threads"], set()).add(teacher.fingerprint)
    assert {count: len(weights) for count, weights in found.items()} == {1: 1, MANY: 1}


def test_a_run_is_the_same_on_every_machine(settings_of_a_run, tmp_path):
    results = []
    for count in (1, 2):
        with threads(count):
            results.append(timeless(compress(**settings_of_a_run, out=str(tmp_path / f"{count}"))))
    assert results[0] == results[1]
    assert results[0]["threads"] == 1


@pytest.fixture
def settings_of_a_run(deeper_toy_teacher, toy_data):
    few = {"iterations": 2, "rollouts": 2, "workers": 0, "final_trainings": 1, "final_epochs": 3, "finalists": 2}
    return {"teacher": deeper_toy_teacher, "dataset": toy_data, "device": "cpu", "beside": (), "speed": False, **few}


@pytest.mark.parametrize("given", [None, "active"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given):
    program = "import n2n_gym, os; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'])"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_"))}
    environment = plain | ({"OMP_WAIT_POLICY": given} if given else {})
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [given or "passive", "0"]
