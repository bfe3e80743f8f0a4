"""A trained network as a folder: weights in safetensors, everything else in JSON. Nothing that is loaded can run code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.networks.described import AGAIN, described, read_architecture, read_description
from n2n_gym.system.documents import shown
from n2n_gym.system.files import DESCRIPTION, write_folder, write_json
from n2n_gym.system.tensors import not_finite, read_tensors, write_tensors

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
        InputError: If they are no tensor, not uint8 or floats from 0 to 1, or not of shape (N, channels, height, width).
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return
    if not isinstance(images, Tensor):
        kind = f"{type(images).__module__}.{type(images).__qualname__}".removeprefix("builtins.")
        remedy = "torch.from_numpy(images)" if kind == "numpy.ndarray" else "one of torch's"
        raise InputError(f"images must be a tensor, not {kind}: give {remedy}")
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
    """Write a network's folder in one step; there must be none yet.

    Raises:
        InputError: If a weight is no finite number, there is no room, or nothing may be written there.
    """
    state = network.state_dict()
    if unfit := not_finite(state):
        raise InputError(f"{folder} is not written: {len(unfit)} of the network's weights, such as {unfit[0]}, are not finite")

    def write(part: Path) -> None:
        write_tensors(part / WEIGHTS, state)
        weights = file_hash(part / WEIGHTS)
        write_json(part / DESCRIPTION, described(network.architecture, preprocessing.to_json(), weights, facts))

    write_folder(folder, write)


def check_weights(folder: Path) -> dict[str, Any]:
    """What is said of a saved network, if its weights are those that were saved, and finite; no network is built.

    Raises:
        InputError: If a file is missing, was changed or is not what was saved, or a weight is NaN or infinite.
    """
    description, _, _ = _read(folder)
    return description


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a network's folder.

    Raises:
        InputError: If a file is missing, was changed or is not what was saved, or a weight is NaN or infinite.
    """
    description, state, fingerprint = _read(folder)
    architecture = read_architecture(folder, description)
    pixels = description["preprocessing"]
    if len(pixels["mean"]) != architecture.input_shape[0] or tuple(pixels["side"]) != architecture.input_shape[1:]:
        raise InputError(f"{folder / DESCRIPTION} says other images of the network than of its preprocessing; {AGAIN}")
    if architecture.model_bytes > (folder / WEIGHTS).stat().st_size:  # before memory is asked for
        raise InputError(f"{folder / WEIGHTS} does not hold the weights of the network in {DESCRIPTION}; {AGAIN}")
    try:
        # from a generator of its own: whoever loads a network finds torch's as it was
        network = Network(architecture, torch.Generator())
        network.load_state_dict(state)
        preprocessing = Preprocessing.from_json(pixels)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise InputError(f"{folder} is not a saved network: {shown(error)}; {AGAIN}") from None
    return Checkpoint(network.eval(), preprocessing, dict(description["facts"]), fingerprint)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Description, weights and their hash."""
    description = read_description(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"no weights at {path}; the folder of a saved network holds {DESCRIPTION} and {WEIGHTS}; {AGAIN}")
    fingerprint = file_hash(path)
    if fingerprint != description["weights_sha256"]:
        raise InputError(f"{path} is truncated or was changed: its checksum is not the one in {DESCRIPTION}; {AGAIN}")
    state, _ = read_tensors(path, "file of weights", remedy=AGAIN)
    if unfit := not_finite(state):
        raise InputError(f"{path} holds weights that are no finite numbers, such as {unfit[0]}; {AGAIN}")
    return description, state, fingerprint


def file_hash(path: Path) -> str:
    """A file's SHA-256, 64 hexadecimal digits.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
