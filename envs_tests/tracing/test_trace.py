import copy
import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from envs_tests.models.test_build import judge
from envs_tests.tracing.networks import (
    Attention,
    Auxiliary,
    Copied,
    Dictionary,
    EarlyExit,
    Gated,
    GatedAnew,
    Indexed,
    InPlace,
    Mixing,
    Pooled,
    Random,
    Residual,
    ResNet20,
    Rows,
    Scaled,
    ScaledFirst,
    Shared,
    Shuffled,
    ShuffledInPlace,
    Standardised,
    TwoInputs,
    UNet,
)
from n2n_gym.errors import InputError
from n2n_gym.layers import Verdict
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.networks.zoo import network
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student
from n2n_gym.tracing import trace

SMALL = (Residual, Indexed, Gated, GatedAnew, Shuffled, InPlace, ShuffledInPlace, Rows, Scaled, ScaledFirst)
PUBLISHED = ("squeezenet1_1", "mobilenet_v2", "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_y_400mf", "efficientnet_b0")


def trained(module):
    """The module with weights and statistics of no particular value, none of them a new module's."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn(
            parameter.shape, generator=generator
        ) * parameter.data.std().nan_to_num(1)
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data + 0.2 * torch.rand(buffer.shape, generator=generator)
        elif name.endswith("num_batches_tracked"):
            buffer += 17
    return module


def settled(module, images):
    """The module with the statistics of these images: without, a deep one's logits hardly depend on what it is shown."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module


def assert_equal(module, traced):
    images = torch.randn(3, *traced.architecture.input_shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected, found = copy.deepcopy(module).eval()(images), traced.network(images)
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert float((expected - expected[0]).abs().max()) > 1e-3 * float(expected.abs().max())  # or it would prove nothing
    assert sum(p.numel() for p in traced.network.parameters()) == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("kind", SMALL)
def test_hand_written_networks(kind):
    module = trained(kind())
    assert_equal(module, trace(module, (1, 8, 8)))


POOLINGS = (
    lambda x: x.mean(3).mean(2),
    lambda x: x.mean(2).mean(-1),
    lambda x: x.mean(-1, keepdim=True).mean(-2, keepdim=True).flatten(1),
    lambda x: x.flatten(2).mean(2),
    lambda x: x.view(len(x), x.size(1), -1).mean(dim=-1),
    lambda x: x.amax(3).amax(2),
    lambda x: x.flatten(2).amax(-1),
)
"""A whole map at once, as people write it."""


@pytest.mark.parametrize("pooling", POOLINGS)
def test_whole_maps_are_pooled_in_many_ways(pooling):
    module = trained(Pooled(pooling))
    assert_equal(module, trace(module, (1, 8, 8)))


@pytest.mark.parametrize(
    ("pooling", "why"),
    [
        (lambda x: x.mean(3).amax(2), "mean at .*: it is over other axes than height and width together"),
        (lambda x: x.flatten(2).mean(1)[:, :6], "mean at .*: it is over other axes than height and width together"),
        (lambda x: F.relu(x.flatten(2)).mean(2), "orders numbers as no layer can read them"),
        (
            lambda x: F.dropout(x).mean((2, 3)),
            r"dropout at .*: it leaves out numbers in evaluation, too; give F.dropout training=",
        ),
        (lambda x: torch.softmax(x.flatten(2), 2)[:, :, 0], "softmax"),
        (lambda x: F.layer_norm(x.flatten(2), (64,)).mean(2), "orders numbers as no layer can read them"),
    ],
)
def test_other_ways_are_refused(pooling, why):
    with pytest.raises(InputError, match=why):
        trace(trained(Pooled(pooling)), (1, 8, 8))


COPIES = (
    torch.clone,
    torch.Tensor.contiguous,  # none is made
    lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    lambda x: x.reshape(len(x), -1).view_as(x),  # nor here
    lambda x: x.permute(0, 2, 3, 1).reshape(len(x), 64, -1).transpose(1, 2).unflatten(2, (8, 8)),
    lambda x: x.transpose(2, 3).flatten(2).unflatten(2, (8, 8)).transpose(2, 3),
    lambda x: x.to(torch.float32, copy=True),
    lambda x: x.to(torch.float32),
)


@pytest.mark.parametrize("changed", ["original", "copy"])
@pytest.mark.parametrize("copy", COPIES)
def test_what_is_changed_in_place(copy, changed):
    """Whatever shares its memory is changed, too; what was copied before is not."""
    module = trained(Copied(copy, changed))
    assert_equal(module, trace(module, (1, 8, 8)))


def test_option_a_shortcuts():
    module = trained(ResNet20())
    assert_equal(module, trace(module, (3, 32, 32)))


@cache
def published(name):
    torch.manual_seed(0)
    module = trained(models.get_model(name, weights=None, num_classes=7))
    module = settled(module, torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    return module, trace(module, (3, 64, 64), name=name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(name):
    module, traced = published(name)
    assert traced.architecture.classes == 7
    assert_equal(module, traced)


def test_whole_files_of_torchvision_are_named():
    traced = trace(models.resnet18(num_classes=5), (3, 32, 32))
    [place] = [place for place in traced.places if place.module == "layer1.0.conv2"]
    assert place.file == "torchvision/models/resnet.py"
    assert traced.operators[traced.places.index(place)] == "conv2d"
    source = inspect.getsource(inspect.getmodule(models.resnet18)).splitlines()
    assert "self.conv2" in source[place.line - 1]


def test_the_order_of_operands_makes_no_difference():
    one, two = (trace(Residual(swapped), (1, 8, 8)).architecture for swapped in (False, True))
    assert one.fingerprint == two.fingerprint


def test_a_network_of_the_zoo_is_read_as_itself():
    for name in ("conv4", "vgg11"):
        architecture = network(name, (1, 8, 8), width=0.1)
        assert trace(Network(architecture), architecture.input_shape).architecture == architecture


def test_the_module_stays_as_it_is():
    module = trained(Rows()).train()
    module.one.eval()
    modes = [part.training for part in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    traced = trace(module, (1, 8, 8))
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    traced.network.layers[0].weight.data += 1
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_batches_that_were_counted_are_kept():
    module = trained(Residual())
    assert any(
        int(value) == 17 for name, value in trace(module, (1, 8, 8)).network.state_dict().items() if "num_batches" in name
    )


def line(kind, text):
    """The line of a class's file that holds a text."""
    lines, first = inspect.getsourcelines(kind)
    return first + next(i for i, content in enumerate(lines) if text in content)


FILE = "envs_tests/tracing/networks.py"


def test_all_operators_that_stand_in_the_way_are_said_at_once():
    with pytest.raises(InputError) as refusal:
        trace(UNet(), (1, 8, 8))
    said = str(refusal.value)
    assert "for 3 reasons" in said
    assert f"conv_transpose2d at up ({FILE}:{line(UNet, 'self.up(')}): transposed convolutions are not supported" in said
    assert f"upsample_nearest2d at {FILE}:{line(UNet, 'interpolate')}" in said
    assert f"softmax at {FILE}:{line(UNet, 'softmax')}: let the network return the logits" in said
    assert "Supported: " in said
    assert "conv2d" in said.split("Supported: ")[1]


def test_attention_is_said_to_be_missing():
    with pytest.raises(InputError, match="attention is not supported"):
        trace(Attention(), (1, 8, 8))


def test_values_that_decide(capfd):
    with pytest.raises(InputError, match="depends on the values of its images") as refusal:
        trace(EarlyExit(), (1, 8, 8))
    assert f"{FILE}:{line(EarlyExit, 'if self.stem')}" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert capfd.readouterr().err == ""  # torch prints the whole program


def test_shared_weights_are_refused_with_both_places():
    with pytest.raises(InputError) as refusal:
        trace(Shared(), (1, 8, 8))
    first = line(Shared, "self.conv(x)")
    assert f"{FILE}:{first}" in str(refusal.value)
    assert f"{FILE}:{first + 1}" in str(refusal.value)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (TwoInputs(), r"takes 2 inputs \(x, mask\)"),
        (Dictionary(), r"puts out a dict \(logits\)"),
        (Auxiliary(), r"nothing reads its auxiliary.weight, auxiliary.bias"),
        (Random(), "cannot be imported"),
        (Mixing(), "mixes the images of a batch"),
        (Residual(channels=3), "cannot run on images of 1 x 8 x 8"),
        (Residual().double(), "stem.weight is float64"),
        (Standardised(1, 3, 3), "batch_norm at .*: it computes with weights alone"),
        (nn.Identity(), "has no weights"),
        (nn.Sequential(nn.LazyConv2d(3, 3)), "has no shape yet"),
        (Residual, "a class: call it"),
        (nn.Sequential(nn.Conv2d(1, 3, 3)), r"shape \(2, 3, 6, 6\)"),
        (nn.Sequential(nn.Conv2d(1, 3, 3, 1, 1, padding_mode="circular"), nn.Flatten(), nn.Linear(192, 3)), "circular"),
    ],
)
def test_what_cannot_be_imported(module, said):
    with pytest.raises(InputError, match=said):
        trace(module, (1, 8, 8))


def test_numbers_that_are_not_finite():
    module = Residual()
    module.head.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="head.weight holds numbers that are not finite"):
        trace(module, (1, 8, 8))


def test_logits_that_are_always_the_same_prove_nothing():
    module = Residual()
    nn.init.zeros_(module.head.weight)
    with pytest.raises(
        InputError, match="the same logits whatever the image, .* give it the weights that it was trained with"
    ):
        trace(module, (1, 8, 8))


def test_what_is_read_wrongly_is_refused(monkeypatch):
    """The last word have the numbers: parameters, multiply-accumulates and logits."""
    from n2n_gym.layers import Relu
    from n2n_gym.layers.reading import Reading

    monkeypatch.setattr(Relu, "read", classmethod(lambda cls, call: Reading(None)))
    with pytest.raises(InputError, match="puts out other logits"):
        trace(Residual(), (1, 8, 8))


@pytest.mark.parametrize("name", PUBLISHED)
def test_students_of_published_networks(name):
    """Layers removed, and what is left shrunk, as the masks have it: torch agrees with every number of each student."""
    module, traced = published(name)
    teacher = traced.architecture
    rng = np.random.default_rng(0)
    removal = RemovalStage(Student(teacher))
    removed = removal.student(removal.random_actions(rng))
    shrink = ShrinkStage(removed)
    for student in (removed, shrink.student(shrink.random_actions(rng))):
        assert judge(student.architecture, teacher) is Verdict.FEASIBLE
    unedited = Network(teacher, torch.Generator().manual_seed(1))
    assert inherit(unedited, Student(teacher), traced.network) == sum(map(torch.numel, traced.network.state_dict().values()))
    assert_equal(module, replace(traced, network=unedited.eval()))


def test_a_mean_over_all_batches_becomes_a_moving_one():
    """torch hands `momentum=None` on as 0, with which the statistics of students would never move."""
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    traced = trace(nn.Sequential(*layers, nn.Linear(4, 10)), (1, 8, 8))
    [norm] = [node.layer for node in traced.architecture.nodes if node.layer.kind == "batch_norm"]
    assert norm.momentum == 0.1
