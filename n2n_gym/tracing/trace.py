"""From a torch module to an architecture and its weights: traced, read, built again and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import Shape
from n2n_gym.models.build import Network
from n2n_gym.tracing.canonical import canonical
from n2n_gym.tracing.places import Place
from n2n_gym.tracing.program import Program, program_of
from n2n_gym.tracing.reader import Layered, Reader
from n2n_gym.tracing.refusals import refuse
from n2n_gym.tracing.subject import logits_of

TOLERANCE = 1e-5
"""Of the largest logit of a batch: so far may a rebuilt network's logits be from the module's, in float32."""


@dataclass(frozen=True)
class Traced:
    """A module as an architecture with its weights.

    Attributes:
        network: The rebuilt network with the module's weights, in evaluation mode, on the CPU.
        places: Where in the user's code each of its layers stands.
        operators: The name of the operator that each was read from.
        module: A copy of the module, on the CPU, in evaluation mode.
    """

    network: Network
    places: tuple[Place, ...]
    operators: tuple[str, ...]
    module: nn.Module

    @property
    def architecture(self) -> Architecture:
        """What it is."""
        return self.network.architecture

    def check(self, images: Tensor, name: str = "the network") -> None:
        """Compare the rebuilt network's logits with the module's.

        Args:
            images: As the network reads them, shape (N, C, H, W), float32.
            name: What it is called, for messages.

        Raises:
            InputError: If they differ by more than `TOLERANCE` of the largest, or the module fails on these images.
        """
        expected = logits_of(self.module, images, name)
        if not expected.isfinite().all():
            raise InputError(
                f"{name} puts out numbers that are not finite (NaN or infinity); keep all that it computes in float32's range"
            )
        with torch.no_grad():
            found = self.network(images)
        difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=torch.finfo().tiny))
        if not difference <= TOLERANCE:
            raise InputError(
                f"{name} cannot be imported: rebuilt from what was read, it puts out other logits (by {difference:.1e} of the "
                f"largest, allowed {TOLERANCE:g}); does it change its inputs in place, draw random numbers, keep a state, or "
                "compute something else for another number of images?"
            )


def trace(module: nn.Module, input_shape: Shape, *, name: str = "") -> Traced:
    """Read a trained module; what comes back computes the same, or nothing comes back.

    Nothing is left out in silence: the rebuilt network has the module's parameters, multiply-accumulates and logits.

    Args:
        module: Takes images of shape (N, C, H, W), float32, and puts out logits, (N, classes). It is left as it is.
        input_shape: Channels, height and width of its images.
        name: What it is called, for messages; its class's name by default.

    Raises:
        InputError: If it cannot be read; names every operator that stands in the way, with the user's file and line.
    """
    if not isinstance(module, nn.Module):
        made = "a class: call it, and give what comes out" if isinstance(module, type) else f"{type(module).__name__}"
        raise InputError(f"a network to import is a torch module; this is {made}")
    name = name or type(module).__name__
    program = program_of(module, input_shape, name)
    reader = Reader(program)
    if reader.refusals:
        raise refuse(name, reader.refusals)
    layers = canonical(reader.layers, reader.output)
    _check_complete(program, layers, name)
    try:
        architecture = Architecture(tuple(layer.node for layer in layers), input_shape, program.logits.shape[1])
    except ValueError as error:
        raise InputError(f"{name} cannot be imported: {error}") from None
    if not (verdict := architecture.verdict()).feasible:
        raise InputError(f"{name} cannot be imported: {verdict}")
    network = _with_weights(architecture, layers, program, name)
    places = tuple(layer.place for layer in layers)
    traced = Traced(network, places, tuple(layer.operator for layer in layers), program.module)
    _check_sizes(traced, program, name)
    noise = torch.randn(program.example.shape, generator=torch.Generator().manual_seed(1))
    for images in (program.example, noise, noise[:1]):  # and one alone: a forward may look at how many there are
        traced.check(images, name)
    _check_tells(torch.cat([program.logits, logits_of(program.module, noise, name)]), name)
    return traced


def _check_complete(program: Program, layers: Sequence[Layered], name: str) -> None:
    used = {weight for layer in layers for weight in layer.weights.values()}
    left = [key for key, _ in program.module.named_parameters() if key not in used]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise InputError(
            f"{name} cannot be imported: in evaluation mode nothing reads its {', '.join(left[:3])}{more}; "
            "take out what only training needs (del module.NAME), and nothing else changes"
        )


def _check_tells(logits: Tensor, name: str) -> None:
    """Refuse what proves nothing: logits that do not depend on the image are the same however the layers were read."""
    if torch.equal(logits, logits[:1].expand_as(logits)):
        raise InputError(
            f"{name} cannot be imported: it puts out the same logits whatever the image, so nobody can tell whether it was "
            "read rightly; give it the weights that it was trained with"
        )


def _with_weights(architecture: Architecture, layers: Sequence[Layered], program: Program, name: str) -> Network:
    network = Network(architecture, torch.Generator().manual_seed(0))
    for built, layer in zip(network.layers, layers, strict=True):
        state, trained = built.state_dict(), dict(built.named_parameters())
        for key, fresh in state.items():
            weight = layer.weights.get(key) or _sibling(layer, key)
            tensor = program.tensors.get(weight)
            if tensor is None:
                if key in trained:
                    raise InputError(f"{name} cannot be imported: {layer.operator} at {layer.place} lacks its {key}")
                continue
            if key in trained and not isinstance(tensor, nn.Parameter):
                raise InputError(
                    f"{name} cannot be imported: {layer.operator} at {layer.place} has {weight} as its {key}, which is no "
                    "parameter; make it a torch.nn.Parameter: students train theirs"
                )
            if tensor.numel() != fresh.numel():
                there, here = tuple(tensor.shape), tuple(fresh.shape)
                raise InputError(
                    f"{name} cannot be imported: {layer.operator} at {layer.place} has a {key} of shape {there}, "
                    f"where the layer that stands for it has {here}"
                )
            state[key] = tensor.detach().reshape(fresh.shape).clone()
        built.load_state_dict(state)
    return network.eval()


def _sibling(layer: Layered, key: str) -> str:
    """The name in the program of what the operator does not read: a count that lies beside the layer's other weights."""
    folders = {weight.rpartition(".")[0] for weight in layer.weights.values()}
    return f"{folders.pop()}.{key}".removeprefix(".") if len(folders) == 1 else ""


def _check_sizes(traced: Traced, program: Program, name: str) -> None:
    """Refuse to go on where parameters or multiply-accumulates are not the module's."""
    with FlopCounterMode(display=False) as counter:
        logits_of(program.module, program.example, name)
    sizes = {
        "parameters": (traced.architecture.parameters, sum(p.numel() for p in program.module.parameters())),
        "MACs": (traced.architecture.macs, counter.get_total_flops() // (2 * len(program.example))),
    }
    for what, (found, expected) in sizes.items():
        if found != expected:
            raise InputError(
                f"{name} cannot be imported: rebuilt from what was read, it has {found:,} {what} and not {expected:,}"
            )
