"""Teacher + random actions: the student is degenerate with a reason, or torch agrees with every number of it."""

from collections.abc import Hashable
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from n2n_gym.architecture import (
    IMAGE,
    REMOVE,
    Architecture,
    Node,
    apply_removals,
    apply_shrinkages,
    removal_decisions,
    shrink_decisions,
)
from n2n_gym.layers import Verdict, add, avg_pool, batch_norm, conv, linear, relu
from n2n_gym.models.build import Network, initialise
from n2n_gym.networks.zoo import ZOO, network

EXAMPLES = {"conv4": 200, "vgg11": 100, "vgg13": 50, "vgg16": 50, "vgg19": 60, "resnet18": 100, "resnet34": 50}
"""Episodes per network and stage; 25 for the deep ones."""


@torch.no_grad()
def assert_torch_agrees(student: Architecture) -> None:
    """Builds the student without memory for its weights and lets torch count."""
    with torch.device("meta"):
        module = Network(student).eval()
    assert sum(p.numel() for p in module.parameters()) == student.parameters
    assert sum(t.numel() * t.element_size() for t in module.state_dict().values()) == student.model_bytes
    module.layers = nn.ModuleList(map(Measured, module.layers, student.nodes))
    logits = module(torch.empty(2, *student.input_shape, device="meta"))
    assert logits.shape == (2, student.classes)
    assert [layer.shape for layer in module.layers] == list(student.shapes)
    assert sum(layer.flops for layer in module.layers) == 2 * 2 * student.macs


class Measured(nn.Module):
    """A layer that torch runs once on maps of each shape, for all students that have an equal one."""

    known: ClassVar[dict[Hashable, tuple[Tensor, int]]] = {}

    def __init__(self, layer: nn.Module, node: Node) -> None:
        super().__init__()
        self.layer = layer
        self.equal = node.layer, repr(layer)

    def forward(self, *inputs: Tensor) -> Tensor:
        asked = (*self.equal, *(values.shape for values in inputs))
        if asked not in self.known:
            with FlopCounterMode(display=False) as counter:
                self.known[asked] = self.layer(*inputs), counter.get_total_flops()
        output, self.flops = self.known[asked]
        self.shape = tuple(output.shape[1:])
        return output


def judge(student: Architecture, teacher: Architecture) -> Verdict:
    verdict = student.verdict(teacher)
    assert isinstance(verdict, Verdict)
    if verdict in (Verdict.FEASIBLE, Verdict.NOT_SMALLER, Verdict.FC_TOO_LARGE):  # the last two are judged beside the teacher
        assert_torch_agrees(student)
    else:
        assert str(verdict)
        with pytest.raises(ValueError, match="degenerate"):
            Network(student)
    return verdict


def random_student(
    teacher: Architecture, seed: int, removal: float, *, shrinks: bool
) -> tuple[Architecture, list[int], list[int]]:
    rng = np.random.default_rng(seed)
    removals = (rng.random(len(removal_decisions(teacher))) < removal).astype(int) * REMOVE
    student = apply_removals(teacher, removals.tolist())
    if not shrinks:
        return student, removals.tolist(), []
    shrinkages = rng.integers(0, 10, len(shrink_decisions(student))).tolist()
    return apply_shrinkages(student, shrinkages), removals.tolist(), shrinkages


@pytest.mark.parametrize("shrinks", [False, True], ids=["removal", "removal+shrinkage"])
@pytest.mark.parametrize("name", ZOO)
def test_every_reachable_student(name, shrinks):
    teacher = network(name, width=0.5)
    seen = set()

    @settings(max_examples=EXAMPLES.get(name, 25), deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32), st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.5, 0.8]))
    def episode(seed, removal):
        student, removals, shrinkages = random_student(teacher, seed, removal, shrinks=shrinks)
        seen.add(judge(student, teacher))
        again = apply_removals(teacher, removals)
        assert (apply_shrinkages(again, shrinkages) if shrinks else again) == student

    episode()
    assert Verdict.FEASIBLE in seen


@pytest.mark.parametrize("name", ZOO)
def test_students_run_on_real_numbers(name):
    teacher = network(name, (1, 8, 8), width=0.1)
    ran = 0
    for seed in range(20):
        student, _, _ = random_student(teacher, seed, 0.05, shrinks=seed % 2 == 1)
        if student.verdict().feasible:
            torch.manual_seed(seed)
            logits = Network(student)(torch.rand(2, *student.input_shape))
            assert logits.shape == (2, 10)
            assert logits.isfinite().all()
            ran += 1
    assert ran >= 4


@pytest.mark.parametrize("name", ZOO)
def test_weights_from_a_generator_are_those_that_torch_draws_itself(name):
    """Students with and without biases, to the bit; torch's own generator is left alone."""
    teacher = network(name, (1, 8, 8), width=0.1)
    built = 0
    for seed in range(6):
        student, _, _ = random_student(teacher, seed, 0.02 * seed, shrinks=seed % 2 == 1)
        if student.verdict().feasible:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                expected = Network(student).state_dict()
            before = torch.get_rng_state()
            drawn = Network(student, torch.Generator().manual_seed(seed)).state_dict()
            assert torch.equal(torch.get_rng_state(), before)
            assert list(drawn) == list(expected)
            assert all(torch.equal(drawn[key], expected[key]) and drawn[key].dtype == expected[key].dtype for key in expected)
            built += 1
    assert built


def test_a_layer_whose_weights_are_not_known_how_to_draw():
    with pytest.raises(TypeError, match="Bilinear"):
        initialise(torch.nn.Sequential(torch.nn.Bilinear(2, 2, 2)), torch.Generator())


def test_whatever_may_follow_a_linear_layer():
    layers = [linear(12), batch_norm(), relu(), conv(4, 1), linear(3)]
    assert_torch_agrees(Architecture.chain(layers, (2, 5, 5), 3))
    nodes = (Node(avg_pool(), (IMAGE,)), Node(linear(3), (IMAGE,)), Node(add(), (0, 1)), Node(linear(2), (2,)))
    assert_torch_agrees(Architecture(nodes, (3, 6, 6), 2))


def test_all_reasons_are_reachable():
    vgg, chain = network("vgg11"), network("conv4", (1, 8, 8))
    pools = [node.layer.kind == "max_pool" for node in vgg.nodes]
    assert apply_removals(vgg, [int(pool) for pool in pools]).verdict(vgg) is Verdict.FC_TOO_LARGE
    paddings = [0 if d.variable.name == "PADDING" else 9 for d in shrink_decisions(chain)]
    assert apply_shrinkages(chain, paddings).verdict(chain) is Verdict.SPATIAL_COLLAPSE
    assert apply_removals(vgg, [0] * 30).verdict(vgg) is Verdict.NOT_SMALLER


def test_activation_bytes_are_the_most_that_is_held_at_once():
    chain = Architecture.chain([conv(4), relu(), conv(2, stride=2), linear(3)], (1, 8, 8), 3)
    assert chain.activation_bytes == 4 * (4 * 64 + 4 * 64)  # while the rectifier runs
    block = (
        Node(conv(4), (IMAGE,)),
        Node(conv(8, 1), (0,)),
        Node(conv(4, 1), (1,)),
        Node(add(), (2, 0)),
        Node(linear(3), (3,)),
    )
    residual = Architecture(block, (1, 8, 8), 3)
    assert residual.activation_bytes == 4 * 64 * (4 + 8 + 4)  # the shortcut is held while the branch runs


def test_narrow_strided_shortcuts_get_the_right_gradients():
    """On some CPUs oneDNN's own gradient of such a convolution is wrong, or ruins the heap."""
    narrow = Architecture.chain([conv(3), conv(6, 1, stride=2, padding=0), avg_pool(), linear(4)], (1, 8, 8), 4)
    torch.manual_seed(0)
    exact = Network(narrow).double()
    quick = Network(narrow).to(memory_format=torch.channels_last)
    quick.load_state_dict(exact.state_dict())
    images = torch.randn(16, 1, 8, 8)
    for _ in range(20):
        exact.zero_grad()
        quick.zero_grad()
        exact(images.double()).square().sum().backward()
        quick(images.contiguous(memory_format=torch.channels_last)).square().sum().backward()
        for (name, there), here in zip(exact.named_parameters(), quick.parameters(), strict=True):
            torch.testing.assert_close(here.grad.double(), there.grad, rtol=1e-4, atol=1e-4, msg=name)
