"""What is exported computes the same where this package is not; what does not is not kept."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from envs_tests.conftest import DEEPER_TOY
from n2n_gym.architecture import Architecture, Node
from n2n_gym.errors import InputError
from n2n_gym.layers import (
    Crop,
    Dropout,
    HardSwish,
    LayerNorm,
    Part,
    PRelu,
    Scale,
    Shuffle,
    Sigmoid,
    Silu,
    Widen,
    WindowMean,
    add,
    avg_pool,
    batch_norm,
    concat,
    conv,
    depthwise,
    linear,
    max_pool,
    multiply,
    relu,
)
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Checkpoint, Classifier
from n2n_gym.models.export import FORMS, export_checkpoint, forms
from n2n_gym.models.export.constructors import constructor, own_code
from n2n_gym.models.export.source import student_source, student_weights
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.networks.zoo import network
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student

TWO_LINEARS = Architecture.chain([conv(8), relu(), max_pool(), linear(12), relu(), linear(3)], (1, 8, 8), 3)

LINEAR_BEFORE_A_NORM = Architecture.chain([conv(8), linear(12), batch_norm(), relu(), linear(3)], (1, 8, 8), 3)
"""Batch normalisation reads feature maps, so the flat numbers must become some again."""

BRANCHES = Architecture(
    (
        Node(conv(8), (-1,)),
        Node(relu(), (0,)),
        Node(conv(6), (1,)),
        Node(conv(6, kernel=1), (1,)),
        Node(concat(), (1, 2, 3)),
        Node(conv(12), (4,)),
        Node(conv(12), (5,)),
        Node(add(), (6, 5, 5)),
        Node(avg_pool(), (7,)),
        Node(linear(3), (8,)),
    ),
    (1, 8, 8),
    3,
)
"""Three branches side by side, one of them what they all read, and a sum of three."""

GATED = Architecture(
    (
        Node(conv(12), (-1,)),
        Node(depthwise(), (0,)),
        Node(Silu(), (1,)),
        Node(avg_pool(), (2,)),
        Node(conv(4, kernel=1, bias=True), (3,)),
        Node(Silu(), (4,)),
        Node(conv(12, kernel=1, bias=True), (5,)),
        Node(Sigmoid(), (6,)),
        Node(multiply(), (2, 7)),
        Node(conv(12, kernel=1), (8,)),
        Node(batch_norm(), (9,)),
        Node(add(), (10, 0)),
        Node(avg_pool(), (11,)),
        Node(linear(8), (12,)),
        Node(HardSwish(), (13,)),
        Node(Dropout(0.2), (14,)),
        Node(linear(3), (15,)),
    ),
    (1, 8, 8),
    3,
)
"""An inverted residual block with squeeze-and-excitation, and a head with dropout."""

SHUFFLED = Architecture(
    (
        Node(conv(8), (-1,)),
        Node(Part(2, 0), (0,)),
        Node(Part(2, 1), (0,)),
        Node(conv(4), (2,)),
        Node(PRelu(), (3,)),
        Node(concat(), (1, 4)),
        Node(Shuffle(2), (5,)),
        Node(LayerNorm(1e-6), (6,)),
        Node(Scale(), (7,)),
        Node(add(), (8, 6)),
        Node(Crop("height", step=2), (9,)),
        Node(Crop("width", step=2), (10,)),
        Node(Widen(12, 2), (11,)),
        Node(WindowMean(2, 2), (12,)),
        Node(linear(3), (13,)),
    ),
    (1, 8, 8),
    3,
)
"""Channels in parts, shuffled, normalised and scaled, and the shortcut that picks pixels and adds channels of zeros."""

IMAGE_READ_TWICE = Architecture(
    (Node(conv(4), (-1,)), Node(relu(), (0,)), Node(concat(), (1, -1)), Node(linear(3), (2,))), (1, 8, 8), 3
)


def built(architecture):
    """A network whose batch statistics are not those of a new one."""
    generator = torch.Generator().manual_seed(1)
    made = Network(architecture, generator)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.normal_(module.weight, generator=generator)
    return made.eval()


def checkpoint(architecture, side=None):
    channels, height, width = architecture.input_shape
    numbers = tuple(0.3 + 0.1 * i for i in range(channels))
    return Checkpoint(built(architecture), Preprocessing(numbers, numbers, (height, width), side), {}, "")


def read(text, architecture_weights):
    """The class of a `student.py`, with its weights, in this process."""
    names = {}
    exec(compile(text, "student.py", "exec"), names)
    made = names["Student"]()
    made.load_state_dict(architecture_weights)
    return made.eval()


def random_students(teacher, count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        student = Student(teacher)
        for kind in (RemovalStage, ShrinkStage):
            stage, taken = kind(student), []
            while len(taken) < stage.decisions:
                taken.append(int(rng.choice(np.flatnonzero(stage.mask(taken)))))
            student = stage.student(taken)
        yield student.architecture


@pytest.mark.parametrize(
    "architecture",
    [
        network("conv4", (1, 8, 8)),
        network("resnet18", (3, 16, 16), width=0.1),
        network("resnet50", (3, 16, 16), width=0.05),
        TWO_LINEARS,
        LINEAR_BEFORE_A_NORM,
        BRANCHES,
        GATED,
        SHUFFLED,
        IMAGE_READ_TWICE,
        *random_students(network("resnet18", (1, 16, 16), width=0.2), 3),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_plain_pytorch_computes_the_same(architecture, inside):
    saved = checkpoint(architecture)
    preprocessing = saved.preprocessing if inside else None
    text = student_source(saved.network, preprocessing, {})
    made = read(text, student_weights(saved.network))
    images = torch.randint(
        0, 256, (3, *architecture.input_shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = Classifier(saved.preprocessing, saved.network)(images)
    given = images if inside else saved.preprocessing(images)
    assert torch.equal(made(given), expected)
    assert "n2n_gym" not in text
    modules = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert modules <= {"__future__", "json", "pathlib", "torch", "torch.nn"}
    assert max(map(len, text.splitlines())) <= 127


def test_other_sizes_are_resized_as_the_network_does():
    saved = checkpoint(network("conv4", (1, 16, 16)))
    made = read(student_source(saved.network, saved.preprocessing, {}), student_weights(saved.network))
    images = torch.rand(2, 1, 11, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made(images), Classifier(saved.preprocessing, saved.network)(images))


def test_it_reads_as_a_person_would_write_it():
    saved = checkpoint(network("resnet18", (3, 16, 16), width=0.1))
    facts = {"val_accuracy": 0.9, "test_accuracy": None, "class_names": ['"""', "a\\b", "cat"]}
    text = student_source(saved.network, saved.preprocessing, facts)
    assert "self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)" in text
    assert "x = self.relu(self.batch_norm1(self.conv1(x)))\n        shortcut = x\n" in text
    assert "x = self.relu(x + shortcut)" in text
    assert "shortcut = self.batch_norm8(self.conv8(x))" in text
    assert text.count("self.relu = ") == 1
    assert "class PointwiseConv(nn.Conv2d):" in text
    said = ast.get_docstring(ast.parse(text))
    assert "90.00% of the validation images" in said
    assert "2 cat" in said
    assert "class PointwiseConv" not in student_source(built(DEEPER_TOY), None, {})


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(8, 16, (3, 5), stride=(1, 2), padding=(1, 2), groups=4, dilation=(1, 2)),
        nn.Conv2d(8, 16, 3, padding="same", bias=False),
        nn.BatchNorm2d(8, eps=1e-3, momentum=0.01),
        nn.LeakyReLU(0.2),
        nn.GELU(approximate="tanh"),
        nn.PReLU(4),
        nn.Hardswish(inplace=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.MaxPool2d((2, 3)),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.LayerNorm(6, eps=1e-6),
        nn.Linear(4, 2, bias=False),
        nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 3))),
        nn.Dropout(0.3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_constructors_make_the_same_module(module):
    made = eval(constructor(module), {"nn": nn})
    assert repr(made) == repr(module)


def _twice(values):
    return torch.add(values, values)


class Inner(nn.Module):
    def forward(self, values):
        return _twice(values)


class Outer(nn.Module):
    def __init__(self, factor, inner=None):
        super().__init__()
        self.factor = factor
        self.module = Inner()

    def forward(self, values):
        return self.factor * self.module(values)


class Forgetful(nn.Module):
    def __init__(self, factor):
        super().__init__()


def test_classes_that_torch_lacks_come_with_what_they_name():
    imports, definitions = own_code([Outer(3)])
    names = {}
    exec("\n".join([*imports, *definitions]), names)
    made = eval(constructor(Outer(3)), names)
    assert float(made(torch.ones(()))) == 6
    assert len(definitions) == 3
    with pytest.raises(InputError, match="no code can be written for Forgetful: it does not keep its argument factor"):
        constructor(Forgetful(3))


@pytest.mark.parametrize("form", ["python", "torch", "onnx"])
def test_each_form_runs_without_the_package(tmp_path, form):
    if form == "onnx":
        for needed in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(needed)
    saved = checkpoint(network("resnet18", (1, 16, 16), width=0.1), side=(8, 8))
    files = export_checkpoint(saved, form, tmp_path / "mine" / "export")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["export"]
    assert sorted((tmp_path / "mine" / "export").iterdir()) == files
    endings = {"python": [".py", ".safetensors"], "torch": [".pt2"], "onnx": [".onnx"]}
    assert [path.suffix for path in files] == endings[form]


def test_without_preprocessing_a_program_reads_what_the_network_reads(tmp_path, exports_run_here):
    saved = checkpoint(DEEPER_TOY)
    [path] = export_checkpoint(saved, "torch", tmp_path, preprocessing=False)
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 5 - 2
    torch.testing.assert_close(torch.export.load(path).module()(images), saved.network(images))


def spoiled(write, spoil):
    def wrong(self, exported, folder):
        write(self, exported, folder)
        spoil(folder)

    return wrong


def other_weights(folder):
    path = folder / "student.safetensors"
    data = bytearray(path.read_bytes())
    data[-2] ^= 0x10
    path.write_bytes(data)


def uses_the_package(folder):
    path = folder / "student.py"
    path.write_text(path.read_text() + "\nimport n2n_gym.layers\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_weights, "logits differ by .* more than 1e-05"),
        (uses_the_package, "does not run without this package .*n2n_gym"),
    ],
)
def test_what_differs_is_not_kept(tmp_path, monkeypatch, spoil, message):
    monkeypatch.setattr(forms.PythonForm, "write", spoiled(forms.PythonForm.write, spoil))
    with pytest.raises(InputError, match=message):
        export_checkpoint(checkpoint(DEEPER_TOY), "python", tmp_path / "mine" / "export")
    assert list((tmp_path / "mine").iterdir()) == []


def test_what_cannot_be_had_is_said_at_once(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="unknown export form 'onx'. Did you mean 'onnx'?"):
        export_checkpoint(checkpoint(DEEPER_TOY), "onx", tmp_path / "mine" / "export")
    monkeypatch.setattr(forms, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="export to onnx needs onnx and onnxscript and onnxruntime: pip install"):
        export_checkpoint(checkpoint(DEEPER_TOY), "onnx", tmp_path / "mine" / "export")
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_forms_are_those_that_are_documented():
    assert list(FORMS) == ["python", "onnx", "torch"]
    about = Path(sys.modules["n2n_gym.models.export"].__file__).read_text()
    assert all(f"`{name}`" in about for name in FORMS)
