"""From a torch module to a flat program of operators, or the reason in the user's words and at the user's line."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from n2n_gym.errors import InputError
from n2n_gym.layers import Shape
from n2n_gym.tracing.failures import FAILURES, first_line
from n2n_gym.tracing.layout import BATCH
from n2n_gym.tracing.places import Place
from n2n_gym.tracing.subject import check_module, copied, logits_of

REDUCTIONS = ("aten.mean.dim", "aten.amax.default")

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
    check_module(module, name)
    module = copied(module, name)
    example = torch.rand(BATCH, *input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = logits_of(module, example, name)
        try:
            with _quiet():
                exported = torch.export.export(module, (example,), strict=False)
        except FAILURES as error:
            place = Place.of_error(error, module)
            raise InputError(f"{name} cannot be imported: at {place}, {_why(error)}") from error
    for node in exported.graph.nodes:
        _join_reductions(node)
    return Program(module, exported, example, logits)


def _join_reductions(node: fx.Node) -> None:
    """Make one call of two that take the mean, or the largest number, over one axis after the other, as over both."""
    first: Any = node.args[0] if node.args else None
    if not isinstance(first, fx.Node) or str(node.target) not in REDUCTIONS or first.target is not node.target:
        return
    both: Any = first.args, node.args
    (source, inner, *kept), (_, outer, *also_kept) = both
    if first.kwargs or node.kwargs or list(first.users) != [node] or kept != also_kept or not (inner and outer):
        return
    axes = range(source.meta["val"].dim())
    gone = {axes[axis] for axis in inner}
    left = list(axes) if kept == [True] else [axis for axis in axes if axis not in gone]
    node.args = (source, sorted(gone | {left[axis] for axis in outer}), *kept)


def _why(error: BaseException) -> str:
    text = f"{type(error).__name__} {error}"
    if "data-dependent" in text or "DataDependent" in text or "GuardOnDataDependent" in text or ".item()" in text:
        return DEPENDS_ON_VALUES
    return f"torch.export cannot trace it ({first_line(error)}); write it with torch's own operators"


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
