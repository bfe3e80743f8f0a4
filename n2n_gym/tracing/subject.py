"""The user's module before it is traced: what must hold of it, a copy of it, and what it makes of images."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.tracing.failures import FAILURES, failed, first_line, is_of_shapes
from n2n_gym.tracing.layout import BATCH
from n2n_gym.tracing.places import Place

_QUANTISED = re.compile(r"torch\.ao\..*(quantized|qat|observer|fake_quantize)")
_REGISTRIES = ("_parameters", "_buffers", "_modules")


def check_module(module: nn.Module, name: str) -> None:
    """Refuse a module that cannot be a network here, whatever it computes.

    Args:
        module: It.
        name: What it is called, for messages.

    Raises:
        InputError: If it takes more than images, is not plain float32 on a device, or has no weights.
    """
    _check_inputs(module, name)
    _check_kinds(module, name)
    _check_numbers(module, name)


def copied(module: nn.Module, name: str) -> nn.Module:
    """A copy on the CPU, in evaluation mode.

    What cannot be copied, such as a lock or an open file, it has in common with the module; tensors that were computed from
    weights, which torch does not copy, it has as they are now.

    Args:
        module: It.
        name: What it is called, for messages.

    Raises:
        InputError: If the module as a whole cannot be copied.
    """
    try:
        try:
            found = copy.deepcopy(module)
        except FAILURES:
            found = copy.deepcopy(module, _in_common(module))
        return found.cpu().eval()
    except FAILURES as error:
        remedy = "let copy.deepcopy(module) succeed, so that yours can be left as it is"
        raise failed(f"{name} cannot be copied: copy.deepcopy", error, Place.of_error(error), remedy) from error


def logits_of(module: nn.Module, images: Tensor, name: str) -> Tensor:
    """What the module puts out.

    Args:
        module: It, in evaluation mode.
        images: As it reads them, shape (N, C, H, W), float32.
        name: What it is called, for messages.

    Returns:
        A row of logits for each image.

    Raises:
        InputError: If it fails, or puts out something else.
    """
    try:
        with torch.no_grad():
            logits = module(images)
    except FAILURES as error:
        raise _failure(module, images, name, error) from error
    _check_logits(logits, len(images), name)
    found: Tensor = logits.flatten(1)
    return found


def _in_common(module: nn.Module) -> dict[int, Any]:
    """What a copy holds in the place of what cannot be copied, by the ids of that."""
    parts = {id(part): part for part in module.modules()}
    found: dict[int, Any] = {}
    for part in parts.values():
        attributes = [value for key, value in vars(part).items() if key not in _REGISTRIES]
        for value in (*attributes, *part.buffers(recurse=False)):
            try:
                copy.deepcopy(value, dict(parts))  # without the modules that it refers to: they are looked through themselves
            except FAILURES:
                found[id(value)] = value.detach().clone() if isinstance(value, Tensor) else value
    return found


def _failure(module: nn.Module, images: Tensor, name: str, error: BaseException) -> InputError:
    place = Place.of_error(error, module)
    for count in (1, BATCH):
        if count != len(images) and _runs(module, images[torch.arange(count) % len(images)]):
            remedy = f"it runs on {count} image{'s' if count > 1 else ''} and not on {len(images)}; "
            return failed(name, error, place, f"{remedy}let forward take any number of images")
    if is_of_shapes(error, place):
        size = " x ".join(map(str, images.shape[1:]))
        return InputError(
            f"{name} cannot run on images of {size} (channels x height x width): {first_line(error)} at {place}; "
            "say the right size, and a mean and std for each channel (and fix no number of images in forward)"
        )
    return failed(name, error, place, f"it must run on torch.rand{tuple(images.shape)}")


def _runs(module: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad():
            module(images)
    except FAILURES:
        return False
    return True


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


def _check_kinds(module: nn.Module, name: str) -> None:
    for path, part in module.named_modules():
        which = f"{name}: {path}" if path else name
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"{which} is TorchScript; import the Python module that it was made from, with its weights")
        if _QUANTISED.match(type(part).__module__):
            raise InputError(f"{which} is quantised; import the float network that it was made from: students are float32")


def _check_numbers(module: nn.Module, name: str) -> None:
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if not any(True for _ in module.parameters()):
        raise InputError(f"{name} has no weights; give a network that was trained")
    for key, value in state.items():
        if why := _fault(value):
            raise InputError(f"{name}: {key} {why}")


def _fault(value: Tensor) -> str:
    """What is wrong with a parameter or buffer, and what to do; empty if nothing is."""
    if nn.parameter.is_lazy(value):
        return "has no shape yet; run the module once, or give it its weights, before it is imported"
    if value.is_meta:
        return "is on the meta device, without numbers; make the network on the CPU, and load its weights there"
    if value.layout != torch.strided:
        return f"is {_named(value.layout).removesuffix('_coo')}; call .to_dense() on it first"
    if value.is_floating_point() and value.dtype != torch.float32:
        return f"is {_named(value.dtype)}; networks here are float32: call .float() on the module first"
    if value.is_complex() or value.is_quantized:
        return f"is {_named(value.dtype)}; networks here are float32 throughout"
    if not value.isfinite().all():
        return "holds numbers that are not finite (NaN or infinity); give weights that were saved whole"
    return ""


def _check_logits(logits: object, images: int, name: str) -> None:
    if isinstance(logits, Mapping):
        said = f"a {type(logits).__name__} ({', '.join(map(str, list(logits)[:5]))})"
    elif not isinstance(logits, Tensor):
        size = f" of {len(logits)}" if isinstance(logits, tuple | list) else ""
        said = f"a {type(logits).__name__}{size}"
    elif logits.dim() < 2 or len(logits) != images or logits[0].numel() != logits.shape[1]:
        said = f"a tensor of shape {tuple(logits.shape)} for {images} images"
    elif not logits.is_floating_point():
        said = _named(logits.dtype)
    else:
        return
    raise InputError(f"{name} puts out {said}, not one row of logits per image; wrap it in a module that returns them alone")


def _named(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")
