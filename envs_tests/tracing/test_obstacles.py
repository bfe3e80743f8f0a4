"""What stands in an import's way is said in one line: what it is, where, and what to do about it."""

import json
import threading
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from envs_tests.tracing.networks import Residual
from envs_tests.tracing.test_trace import line
from n2n_gym.errors import InputError
from n2n_gym.tracing import trace
from n2n_gym.tracing.layout import Value

FILE = "envs_tests/tracing/test_obstacles.py"


def refusal(module):
    with pytest.raises(InputError) as refused:
        trace(module, (1, 8, 8))
    [said] = str(refused.value).splitlines()
    return said


def sequence(*more, filters=4):
    layers = (nn.Conv2d(1, filters, 3, padding=1), *more, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, 3))
    return nn.Sequential(*layers)


class Net(nn.Module):
    """A small network with something more."""

    def __init__(self, **more):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 3)
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


# Copies


def counting():
    yield 1


@pytest.mark.parametrize("make", [threading.Lock, counting, Path(__file__).open, lambda: {"of": [threading.Lock()]}])
def test_what_cannot_be_copied_is_no_hindrance(make):
    module = Net(state=make())
    module.features.state = make()
    traced = trace(module, (1, 8, 8))
    assert traced.module.head.weight is not module.head.weight
    assert traced.architecture.classes == 3


def test_what_was_computed_from_weights_is_copied_as_it_is():
    module = Net()
    module.last = module.features(torch.rand(2, 1, 8, 8))
    module.head.register_buffer("doubled", module.head.weight * 2)
    assert module.last.requires_grad
    traced = trace(module, (1, 8, 8))
    assert traced.module.head.doubled is not module.head.doubled


def test_a_module_that_will_not_be_copied():
    class Single(Net):
        def __deepcopy__(self, memo):
            raise RuntimeError("there is only one")

    said = refusal(Single())
    assert "Single cannot be copied" in said
    assert f"{FILE}:{line(Single, 'there is only one')}" in said
    assert "RuntimeError: there is only one" in said


# How it fails


class Broken(Net):
    def forward(self, x):
        return super().forward(x.nosuch())


class Lacking(Net):
    def forward(self, x):
        import nosuchpackage

        return super().forward(nosuchpackage.read(x))


class Ending(Net):
    def forward(self, x):
        raise SystemExit(3)


class Parsing(Net):
    def forward(self, x):
        return super().forward(x * json.loads("{"))


class Elsewhere(Net):
    def forward(self, x):
        return super().forward(x.to("meta"))


class Halved(Net):
    def forward(self, x):
        return super().forward(x.half())


@pytest.mark.parametrize(
    ("kind", "where", "said"),
    [
        (Broken, "x.nosuch()", "'Tensor' object has no attribute 'nosuch'; it must run on torch.rand(2, 1, 8, 8)"),
        (Lacking, "import nosuchpackage", "No module named 'nosuchpackage'; install it"),
        (Ending, "raise SystemExit", "it ends the process"),
        (Parsing, "json.loads", "JSONDecodeError"),
        (Elsewhere, "self.head(", "on the CPU"),
        (Halved, "self.head(", "float32 throughout"),
    ],
)
def test_a_failure_is_said_with_its_line_and_not_put_down_to_the_size(kind, where, said):
    message = refusal(kind())
    assert said in message
    assert f"{FILE}:{line(Net if where == 'self.head(' else kind, where)}" in message
    assert "right size" not in message


class Leaving(Net):
    def forward(self, x):
        return super().forward(torch.from_numpy(x.numpy() * 2))


def test_what_torch_cannot_trace():
    said = refusal(Leaving())
    assert f"at {FILE}:{line(Leaving, 'x.numpy()')}, torch.export cannot trace it" in said
    assert "write it with torch's own operators" in said


class Sized(Net):
    def forward(self, x):
        assert x.shape[-1] == 32
        return super().forward(x)


@pytest.mark.parametrize("make", [Sized, lambda: Residual(channels=3), lambda: nn.Sequential(nn.Conv2d(1, 3, 11))])
def test_a_wrong_size_is_said_to_be_one(make):
    message = refusal(make())
    assert "cannot run on images of 1 x 8 x 8" in message
    assert "say the right size" in message


def test_where_there_is_no_line_of_the_users_the_module_is_named():
    assert "at module 2;" in refusal(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(5, 3)))
    assert "hardshrink at module 1:" in refusal(sequence(nn.Hardshrink()))


class OneByOne(Net):
    def forward(self, x):
        if len(x) != 1:
            raise ValueError("one at a time")
        return super().forward(x)


class TwoByTwo(Net):
    def forward(self, x):
        assert x.shape[0] == 2, "two at a time"
        return super().forward(x)


def test_how_many_images_it_takes_is_no_matter_of_size():
    said = refusal(OneByOne())
    assert "one at a time" in said
    assert f"{FILE}:{line(OneByOne, 'raise ValueError')}" in said
    assert "it runs on 1 image and not on 2; let forward take any number of images" in said
    assert "size" not in said
    assert "two at a time; it runs on 2 images and not on 1; let forward take any number" in refusal(TwoByTwo())


# Modules of another kind


def quantised():
    stubbed = nn.Sequential(torch.ao.quantization.QuantStub(), sequence(), torch.ao.quantization.DeQuantStub()).eval()
    stubbed.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(stubbed)
    prepared(torch.rand(2, 1, 8, 8))
    return torch.ao.quantization.convert(prepared)


def to_be_quantised():
    net = sequence().train()
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(net)


def in_part_on_meta():
    return Net(head=nn.Linear(4, 3, device="meta"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (quantised, "0 is quantised; import the float network"),
        (to_be_quantised, "quantised; import the float network"),
        (lambda: torch.ao.quantization.quantize_dynamic(Net(), {nn.Linear}), "head is quantised; import the float network"),
        (lambda: torch.jit.trace(Net(), torch.rand(2, 1, 8, 8)), "TorchScript; import the Python module"),
        (in_part_on_meta, "head.weight is on the meta device, without numbers; make the network on the CPU"),
        (lambda: Net().to("meta"), "is on the meta device"),
    ],
)
def test_modules_of_another_kind(make, said):
    assert said in refusal(make())


def test_a_buffer_whose_numbers_cannot_be_looked_at():
    module = Net()
    module.register_buffer("links", torch.eye(3).to_sparse())
    assert "links is sparse" in refusal(module)


# Numbers that no layer has


class Divided(Net):
    def __init__(self, by):
        super().__init__(by=by)

    def forward(self, x):
        return super().forward(x / self.by)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Divided(0), "division by zero"),
        (Divided(0.0), "division by zero"),
        (Divided(float("nan")), "must be a finite number, not nan"),
        (sequence(nn.BatchNorm2d(4, momentum=1.5)), "batch_norm at module 1: "),
        (sequence(nn.BatchNorm2d(4, momentum=-0.1)), "momentum must be a finite number, least 0, most 1, not -0.1"),
        (sequence(nn.BatchNorm2d(4, eps=float("nan"))), "eps must be a finite number"),
    ],
)
def test_numbers_that_no_layer_has(module, said):
    assert said in refusal(module)


def test_what_overflows():
    assert "puts out numbers that are not finite" in refusal(Divided(1e-39))


# Flattened maps


class Pyramid(Net):
    """Maps pooled to several sizes, side by side."""

    def __init__(self):
        super().__init__(head=nn.Linear(4 * (1 + 4), 3))

    def forward(self, x):
        maps = self.features(x)
        return self.head(torch.cat([F.adaptive_avg_pool2d(maps, side).flatten(1) for side in (1, 2)], 1))


class Flattened(Net):
    """Something that has weights for each of the numbers that it reads, or none, behind a map that is flattened."""

    def __init__(self, layer):
        super().__init__(layer=layer, head=nn.Linear(256, 3))

    def forward(self, x):
        return self.head(self.layer(self.features(x).flatten(1)))


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(256), nn.LayerNorm(256), nn.LayerNorm(256, elementwise_affine=False), nn.PReLU(256)]
)
def test_what_has_numbers_for_channels_is_no_matter_of_pixels(layer):
    said = refusal(Flattened(layer))
    assert f"{FILE}:{line(Flattened, 'self.layer(')}" in said
    assert "it reads a flattened map, 64 numbers of each channel" in said
    assert "put it before flatten, or behind a linear layer" in said


def test_flattened_maps_of_several_sizes():
    assert "a concatenation of flattened maps of different sizes; pool them to one size before flatten" in refusal(Pyramid())


class Lonely(Net):
    """Something else is computed for one image than for several."""

    def forward(self, x):
        return super().forward(x if len(x) > 1 else 2 * x)


def test_one_image_is_computed_like_several():
    assert "compute something else for another number of images?" in refusal(Lonely())


# Arithmetic with tensors of the module


class Normalising(Net):
    def __init__(self, kept):
        super().__init__()
        for name, value in (("mean", 0.5), ("std", 0.25)):
            tensor = torch.full((1, 1, 1), value)
            if kept:
                self.register_buffer(name, tensor)
            else:
                setattr(self, name, tensor)

    def forward(self, x):
        return super().forward((x - self.mean) / self.std)


class Positioned(Net):
    def __init__(self):
        super().__init__(position=nn.Parameter(torch.randn(4, 8, 8)))

    def forward(self, x):
        return self.head((self.features(x) + self.position).mean((2, 3)))


class PositionedInPlace(Positioned):
    def forward(self, x):
        x = self.features(x)
        x += self.position
        return self.head(x.mean((2, 3)))


class Moved(Positioned):
    def forward(self, x):
        return self.head((self.features(x) - self.position).mean((2, 3)))


@pytest.mark.parametrize("kept", [True, False])
def test_normalisation_belongs_beside_the_network(kept):
    said = refusal(Normalising(kept))
    assert f"{FILE}:{line(Normalising, 'x - self.mean')}" in said
    assert "leave it out of forward and give mean and std (--mean, --std) instead" in said


@pytest.mark.parametrize("kind", [Positioned, PositionedInPlace, Moved])
def test_a_learned_position(kind):
    said = refusal(kind())
    assert f"{FILE}:{line(kind, '= self.position' if kind is PositionedInPlace else 'self.position)')}" in said
    assert "a learned position or bias" in said
    assert "mean and std" not in said


# Changes in place


class PartChanged(Net):
    def forward(self, x):
        x = self.features(x)
        x[:, :2].mul_(2)
        return self.head(x.mean((2, 3)))


class WholeChanged(Net):
    def forward(self, x):
        x = self.features(x)
        part = x[:, :2]
        x.mul_(2)
        return self.head(torch.cat([x[:, 2:], part], 1).mean((2, 3)))


@pytest.mark.parametrize("kind", [PartChanged, WholeChanged])
def test_a_part_that_is_changed_in_place(kind):
    said = refusal(kind())
    assert f"mul_ at {FILE}:{line(kind, 'mul_')}: it changes in place what is read later on as a part of more" in said
    assert "inplace=False" in said


# Views


class Emptied(Net):
    def forward(self, x):
        x = self.features(x)
        return self.head(torch.cat([x, x[:, :, 8:]], 2).mean((2, 3)))


def test_a_view_of_nothing():
    said = refusal(Emptied())
    assert f"{FILE}:{line(Emptied, '8:')}: " in said


def test_a_view_that_cannot_be_followed(monkeypatch):
    def viewed(*arguments):
        raise RuntimeError("shape '[2, 3]' is invalid\nfor input of size 24")

    monkeypatch.setattr(Value, "viewed", viewed)
    said = refusal(sequence())
    assert "flatten at module 2: where its numbers come from cannot be told (shape '[2, 3]' is invalid); write it with" in said


# Weights that are no parameters


class Blurring(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("blur", torch.full((4, 1, 3, 3), 1 / 9))

    def forward(self, x):
        return self.head(nn.functional.conv2d(self.features(x), self.blur, stride=2, padding=1, groups=4).mean((2, 3)))


def test_fixed_weights_of_a_layer_that_students_train():
    said = refusal(Blurring())
    assert f"conv2d at {FILE}:{line(Blurring, 'self.blur, stride')} has blur as its weight, which is no parameter" in said
    assert "make it a torch.nn.Parameter" in said


# Weights that are computed


class Halving(Net):
    def forward(self, x):
        weights = torch.cat(self.head.weight.chunk(2, dim=1)[::-1], 1)
        return nn.functional.linear(self.features(x).mean((2, 3)), weights, self.head.bias)


def test_weights_that_are_put_together_anew():
    said = refusal(Halving())
    assert f"at {FILE}:{line(Halving, 'chunk')}: it computes with weights alone" in said
    assert "for 2 reasons" not in said


@pytest.mark.parametrize(
    "parametrise", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
)
def test_parametrisations(parametrise):
    module = Net()
    parametrise(module.head)
    said = refusal(module)
    assert "the parametrisation of weight at head (" in said
    assert "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')" in said
    assert "Supported:" not in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change",
    [nn.utils.weight_norm, nn.utils.spectral_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)],
)
def test_weights_computed_by_hooks(change):
    module = Net()
    change(module.head)
    module(torch.rand(2, 1, 8, 8))  # old ones leave what they computed behind
    said = refusal(module)
    assert "at head (" in said
    assert "it computes with weights alone; let the module keep what comes out as its weights" in said
    assert "remove_weight_norm" in said
