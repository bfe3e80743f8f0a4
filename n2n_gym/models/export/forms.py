"""The forms that a network is exported in: how each is written, and how it is run where this package is not."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Checkpoint, Classifier
from n2n_gym.models.export.source import WEIGHTS, student_source, student_weights
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.registry import Registry
from n2n_gym.system.tensors import write_tensors

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

BATCHES = (1, 2, 5)
"""Images in the batches that an export is checked with; the second is what graphs are traced with."""


@dataclass(frozen=True)
class Exported:
    """What is exported.

    Attributes:
        network: The trained network, on the CPU, in evaluation mode.
        preprocessing: What its images go through in the export; None if the caller does that.
        examples: Batches of images, as the export takes them.
        facts: What is known of the network.
    """

    network: Network
    preprocessing: Preprocessing | None
    examples: tuple[Tensor, ...]
    facts: dict[str, Any]

    @classmethod
    def of(cls, checkpoint: Checkpoint, *, preprocessing: bool) -> Exported:
        """A saved network, with or without its preprocessing."""
        network, inside = checkpoint.network.eval(), checkpoint.preprocessing
        channels = network.architecture.input_shape[0]
        generator = torch.Generator().manual_seed(0)
        images = [
            torch.randint(0, 256, (count, channels, *inside.image), dtype=torch.uint8, generator=generator)
            for count in BATCHES
        ]
        if preprocessing:
            return cls(network, inside, tuple(images), checkpoint.facts)
        return cls(network, None, tuple(map(inside, images)), checkpoint.facts)

    @property
    def module(self) -> nn.Module:
        """What the export computes: logits of shape (N, classes) for images."""
        return self.network if self.preprocessing is None else Classifier(self.preprocessing, self.network).eval()

    def program(self) -> torch.export.ExportedProgram:
        """It as a graph of torch's operators, for any number of images."""
        batch = torch.export.Dim("batch", min=1)
        return torch.export.export(self.module, (self.examples[1],), dynamic_shapes=({0: batch},), strict=False)


class Form(ABC):
    """A form to export in.

    Attributes:
        runner: Python lines that define `run(images) -> logits`, on NumPy arrays, in a process that has not this package;
            `folder` is where the files are.
    """

    runner: ClassVar[str]

    @abstractmethod
    def write(self, exported: Exported, folder: Path) -> None:
        """Write the form's files into an empty folder.

        Raises:
            InputError: If it cannot be written in this form.
        """


class PythonForm(Form):
    """`student.py`, plain PyTorch to read and to change, and `student.safetensors`."""

    runner: ClassVar[str] = """
import torch
sys.path.insert(0, folder)
import student
network = student.load()
def run(images):
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
"""

    def write(self, exported: Exported, folder: Path) -> None:
        text = student_source(exported.network, exported.preprocessing, exported.facts)
        (folder / "student.py").write_text(text, encoding="utf-8")
        write_tensors(folder / WEIGHTS, student_weights(exported.network))


class OnnxForm(Form):
    """`student.onnx`, one file for ONNX Runtime and whatever else reads ONNX; input `images`, output `logits`."""

    runner: ClassVar[str] = """
import onnxruntime
session = onnxruntime.InferenceSession(folder + "/student.onnx", providers=["CPUExecutionProvider"])
def run(images):
    return session.run(["logits"], {"images": images})[0]
"""

    def write(self, exported: Exported, folder: Path) -> None:
        if missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]:
            raise InputError(f"export to onnx needs {' and '.join(missing)}: pip install 'n2n-gym[export]'")
        try:
            with _quiet():
                torch.onnx.export(
                    exported.program(),
                    f=str(folder / "student.onnx"),
                    dynamo=True,
                    external_data=False,
                    input_names=["images"],
                    output_names=["logits"],
                    verbose=False,
                )
        except torch.onnx.OnnxExporterError as error:  # torch 2.6 and a newer onnxscript, for instance
            versions = " and ".join(f"{name} {version(name)}" for name in ("torch", "onnxscript"))
            cause = str(error.__cause__ or error).splitlines()[0]
            raise InputError(f"{versions} do not write this network as ONNX ({cause}); newer versions of both may") from error


class TorchForm(Form):
    """`student.pt2`, a program of `torch.export`: `torch.export.load(path).module()(images)`."""

    runner: ClassVar[str] = """
import torch
network = torch.export.load(folder + "/student.pt2").module()
def run(images):
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
"""

    def write(self, exported: Exported, folder: Path) -> None:
        with _quiet():
            torch.export.save(exported.program(), folder / "student.pt2")


FORMS: Registry[Form] = Registry("export form")
"""Forms by name."""
FORMS.register("python", PythonForm())
FORMS.register("onnx", OnnxForm())
FORMS.register("torch", TorchForm())


def onnx_bytes(network: Network) -> bytes:
    """A network, without preprocessing, as ONNX: input `images`, output `logits`.

    Raises:
        InputError: If what it needs is not installed, or does not know how.
    """
    images = torch.zeros(2, *network.architecture.input_shape)
    with tempfile.TemporaryDirectory() as folder:
        OnnxForm().write(Exported(network.cpu().eval(), None, (images, images), {}), Path(folder))
        return (Path(folder) / "student.onnx").read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters say of their own inner workings; what goes wrong is raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
