"""A trained network as a folder: weights in safetensors, everything else in JSON. Nothing that is loaded can run code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.system.files import DESCRIPTION, read_json, write_folder, write_json

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, its preprocessing and what is known of it.

    Attributes:
        network: The network, in evaluation mode, on the CPU.
        preprocessing: What its images go through.
        facts: Plain data: names, accuracies, recipe, ...
        fingerprint: A hash of the weights.
    """

    network: Network
    preprocessing: Preprocessing
    facts: dict[str, Any]
    fingerprint: str


class Classifier(nn.Module):
    """A network with its preprocessing: takes uint8 images (N, C, H, W), or floats in [0, 1]; puts out logits.

    Raises:
        InputError: In `forward`, if it is given other images.
    """

    def __init__(self, preprocessing: Preprocessing, network: Network) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.network.architecture.input_shape[0])
        logits: Tensor = self.network(self.preprocessing(images))
        return logits


def check_images(images: Tensor, channels: int) -> None:
    """Refuse images that a network would answer wrongly, in silence.

    Where the network is traced, nothing is looked at: nothing of this enters the graph.

    Raises:
        InputError: If they are not uint8 or floats from 0 to 1, or not of shape (N, channels, height, width).
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return
    if images.dim() != 4 or images.shape[1] != channels:
        raise InputError(f"images must have the shape (N, {channels}, height, width), not {tuple(images.shape)}")
    if images.dtype == torch.uint8 or not images.numel():
        return
    if not images.is_floating_point():
        raise InputError(f"images must be uint8, or floats from 0 to 1, not {images.dtype}: convert them by .to(torch.uint8)")
    least, most = (float(value) for value in torch.aminmax(images.detach()))
    if not (least >= 0 and most <= 1):  # NaN is neither
        raise InputError(
            f"images of {images.dtype} must lie from 0 to 1, these lie from {least:g} to {most:g}: "
            "divide pixels by 255, and leave normalising to the network"
        )


def save_checkpoint(folder: Path, network: Network, preprocessing: Preprocessing, facts: dict[str, Any]) -> None:
    """Write a network's folder in one step; there must be none yet."""

    def write(part: Path) -> None:
        state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(state, part / WEIGHTS)
        description = {
            "architecture": network.architecture.to_json(),
            "preprocessing": preprocessing.to_json(),
            "weights_sha256": _sha256(part / WEIGHTS),
            "facts": facts,
        }
        write_json(part / DESCRIPTION, description)

    write_folder(folder, write)


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """A saved network's description without its weights.

    Raises:
        InputError: If the folder holds none.
    """
    description = read_json(folder / DESCRIPTION, "saved network")
    facts = description.get("facts")
    if not isinstance(facts, dict) or not {"parameters", "macs", "val_accuracy", "test_accuracy"} <= set(facts):
        raise InputError(f"{folder / DESCRIPTION} is not the description of a saved network")
    return description


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a network's folder.

    Raises:
        InputError: If a file is missing, truncated or not what was saved.
    """
    description = describe_checkpoint(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"no weights at {path}; the folder of a saved network holds {DESCRIPTION} and {WEIGHTS}")
    fingerprint = _sha256(path)
    if fingerprint != description.get("weights_sha256"):
        raise InputError(f"{path} is truncated or was changed: its checksum is not the one in {DESCRIPTION}; train it again")
    try:
        # from a generator of its own: whoever loads a network finds torch's as it was
        network = Network(Architecture.from_json(description["architecture"]), torch.Generator())
        network.load_state_dict(load_file(path))
        preprocessing = Preprocessing.from_json(description["preprocessing"])
        facts = dict(description["facts"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} is not a saved network: {str(error).splitlines()[0]}") from None
    return Checkpoint(network.eval(), preprocessing, facts, fingerprint)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
