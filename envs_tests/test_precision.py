"""When a network is trained in bfloat16."""

import math
from dataclasses import replace

import pytest
import torch

from envs_tests.families import FAMILIES
from n2n_gym.models.build import Network
from n2n_gym.networks import zoo
from n2n_gym.problem import Problem
from n2n_gym.system.files import home
from n2n_gym.training import precision
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.precision import has_bf16, pays_in_bf16
from n2n_gym.training.recipes import Recipe

CPU = torch.device("cpu")


def test_bfloat16_is_for_networks_large_enough():
    assert pays_in_bf16(zoo.network("conv4", (1, 28, 28)), CPU)
    assert not pays_in_bf16(zoo.network("conv4", (1, 8, 8)), CPU)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnext"])
def test_divided_convolutions_are_slower_in_bfloat16_on_a_cpu(name, monkeypatch):
    monkeypatch.setattr(precision, "BF16_MACS", 1)
    assert not pays_in_bf16(FAMILIES[name](), CPU)
    assert pays_in_bf16(FAMILIES[name](), torch.device("cuda"))


@pytest.mark.parametrize("answer", [True, False])
def test_the_processors_instructions_decide_and_nothing_else(answer, monkeypatch):
    """How fast it is here and now does not: it would differ from one moment to the next, and results with it."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: answer)
    monkeypatch.setattr("time.perf_counter", lambda: pytest.fail("a clock was read"))
    assert has_bf16(CPU) is answer
    assert not list(home().glob("*"))


def test_a_torch_that_does_not_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not has_bf16(CPU)


def test_a_network_learns_in_both(toy_data, toy_teacher, monkeypatch):
    monkeypatch.setattr(precision, "BF16_MACS", 1)
    data = ImageData.of(Problem(toy_teacher, toy_data), CPU)
    recipe = Recipe(name="test", epochs=8, batch_size=20, learning_rate=5e-3, hard=1.0, augment=False)
    weights, accuracies = [], []
    for bf16 in (False, True):
        network = Network(Problem(toy_teacher, toy_data).architecture, torch.Generator().manual_seed(0))
        accuracies.append(train(network, data, replace(recipe), seed=0, bf16=bf16).score.accuracy)
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert min(accuracies) > 0.6  # guessing gets a third
    assert math.isclose(*map(float, map(torch.norm, weights)), rel_tol=0.05)
    assert not torch.equal(*weights)
