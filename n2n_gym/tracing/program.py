"""From a torch module to a flat program of operators, or the reason in the user's words and at the user's line."""

from __future__ import annotations

import copy
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from n2n_gym.errors import InputError
from n2n_gym.layers import Shape
from n2n_gym.tracing.layout import BATCH
from n2n_gym.tracing.places import Place

DEPENDS_ON_VALUES = (
    "what it computes depends on the values of its images (an `if`, a loop or a size taken from a tensor), "
    "so it is many networks and not one; give the module one way through"
)


@dataclass(frozen=True)
class Program:
    """A traced module.

    Attributes:
        module: A copy of the user's module, on the CPU, in evaluation mode.
        exported: What torch made of it.
        example: The images that it was traced with, shape (2, C, H, W), float32.
        logits: What the module made of them, shape (2, classes).
    """

    module: nn.Module
    exported: ExportedProgram
    example: Tensor
    logits: Tensor

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by their names in the module."""
        constants = {name: value for name, value in self.exported.constants.items() if isinstance(value, Tensor)}
        return {**constants, **dict(self.module.named_buffers()), **dict(self.module.named_parameters())}

    @cached_property
    def names(self) -> dict[str, str]:
        """Of each input of the graph that is not the images: the name in the module of what it stands for."""
        specs = self.exported.graph_signature.input_specs
        return {spec.arg.name: spec.target for spec in specs if spec.kind is not InputKind.USER_INPUT and spec.target}


def program_of(module: nn.Module, input_shape: Shape, name: str) -> Program:
    """Trace a module; the module is left as it is.

    Args:
        module: It.
        input_shape: Channels, height and width of its images.
        name: What it is called, for messages.

    Raises:
        InputError: If it cannot run on one batch of such images, or torch cannot trace it, or its numbers are not finite.
    """
    _check_inputs(module, name)
    _check_numbers(module, name)
    module = copy.deepcopy(module).cpu().eval()
    example = torch.rand(BATCH, *input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            logits = module(example)
        except Exception as error:
            size = " x ".join(map(str, input_shape))
            raise InputError(
                f"{name} cannot run on images of {size} (channels x height x width): {_first_line(error)} "
                f"at {Place.of_error(error)}; say the right size"
            ) from error
        _check_logits(logits, name)
        try:
            with _quiet():
                exported = torch.export.export(module, (example,), strict=False)
        except Exception as error:
            place = Place.of_error(error)
            raise InputError(f"{name} cannot be imported: {_why(error)}, at {place}") from error
    return Program(module, exported, example, logits)


def _check_inputs(module: nn.Module, name: str) -> None:
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return  # it will show when it runs
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind in positional]
    if len(needed) > 1:
        raise InputError(
            f"{name} takes {len(needed)} inputs ({', '.join(needed)}); wrap it in a module that takes a batch of images alone"
        )


def _check_numbers(module: nn.Module, name: str) -> None:
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if not any(True for _ in module.parameters()):
        raise InputError(f"{name} has no weights; give a network that was trained")
    for key, value in state.items():
        if nn.parameter.is_lazy(value):
            raise InputError(
                f"{name}: {key} has no shape yet; run the module once, or give it its weights, before it is imported"
            )
        if value.is_floating_point() and value.dtype != torch.float32:
            raise InputError(f"{name}: {key} is {_dtype(value)}; networks here are float32: call .float() on the module first")
        if value.is_complex():
            raise InputError(f"{name}: {key} is {_dtype(value)}; networks here are float32, and none of it is complex")
        if not value.isfinite().all():
            raise InputError(
                f"{name}: {key} holds numbers that are not finite (NaN or infinity); give weights that were saved whole"
            )


def _check_logits(logits: object, name: str) -> None:
    if isinstance(logits, Mapping):
        said = f"a {type(logits).__name__} ({', '.join(map(str, list(logits)[:5]))})"
    elif not isinstance(logits, Tensor):
        size = f" of {len(logits)}" if isinstance(logits, tuple | list) else ""
        said = f"a {type(logits).__name__}{size}"
    elif logits.dim() < 2 or len(logits) != BATCH or logits[0].numel() != logits.shape[1]:
        said = f"a tensor of shape {tuple(logits.shape)} for {BATCH} images"
    elif not logits.is_floating_point():
        said = f"{_dtype(logits)}"
    else:
        return
    raise InputError(f"{name} puts out {said}, not one row of logits per image; wrap it in a module that returns them alone")


def _why(error: Exception) -> str:
    text = f"{type(error).__name__} {error}"
    if "data-dependent" in text or "DataDependent" in text or "GuardOnDataDependent" in text or ".item()" in text:
        return DEPENDS_ON_VALUES
    return f"torch.export cannot trace it ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says, and prints, about its own doings: what matters is raised."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
