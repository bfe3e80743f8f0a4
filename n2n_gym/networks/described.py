"""What is written of a saved network beside its weights: `model.json`. Nothing here reads weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.system.documents import Count, Finite, Sha256, Share, checked, read_document
from n2n_gym.system.files import DESCRIPTION

AGAIN = (
    "if it is a teacher, n2n teacher train --again trains it again, and n2n teacher import --again imports it again; "
    "if it is a run's, remove its folder and resume the run"
)
"""What to do about a saved network that is damaged."""

Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 13)]
"""Of a network's images, in pixels."""


class Facts(TypedDict):
    """What the package reads of a network's facts; it may have more."""

    parameters: Count
    macs: Count
    val_accuracy: Share | None
    test_accuracy: Share | None
    val_class_accuracy: NotRequired[list[Share] | None]
    data_fingerprint: NotRequired[str | None]
    dataset: NotRequired[str | None]
    class_names: NotRequired[list[str]]
    validation_given: NotRequired[bool]
    test_held_out: NotRequired[bool]
    imported: NotRequired[dict[str, Any]]
    places: NotRequired[list[dict[str, Any]]]
    trainings: NotRequired[list[dict[str, Any]]]
    epochs: NotRequired[Count]
    seed: NotRequired[int]


class Pixels(TypedDict):
    """A preprocessing as JSON has it."""

    mean: Annotated[list[Finite], msgspec.Meta(min_length=1)]
    std: Annotated[list[Annotated[float, msgspec.Meta(gt=0)]], msgspec.Meta(min_length=1)]
    side: tuple[Side, Side]
    image: NotRequired[tuple[Side, Side]]


class Description(TypedDict):
    """All that `model.json` says."""

    architecture: dict[str, Any]
    preprocessing: Pixels
    weights_sha256: Sha256
    facts: Facts
    checksum: NotRequired[Sha256]


def described(
    architecture: Architecture, preprocessing: dict[str, Any], weights: str, facts: dict[str, Any]
) -> dict[str, Any]:
    """What `model.json` is to say.

    Args:
        architecture: The network's.
        preprocessing: What its images go through, as JSON data.
        weights: SHA-256 of the file of weights.
        facts: What else is known.
    """
    description = {
        "architecture": architecture.to_json(),
        "preprocessing": preprocessing,
        "weights_sha256": weights,
        "facts": facts,
    }
    return {**description, "checksum": _checksum(description)}


def read_description(folder: Path) -> dict[str, Any]:
    """What `model.json` in a folder says.

    Raises:
        InputError: If the folder has none, or it is damaged or was changed.
    """
    path = folder / DESCRIPTION
    found: dict[str, Any] = read_document(path, dict[str, Any], "description of a saved network", remedy=AGAIN)
    complaint = f"{path} is not the description of a saved network"
    known = checked(found, Description, complaint, remedy=AGAIN)
    checksum = found.pop("checksum", None)
    if checksum is not None and checksum != _checksum(found):  # older ones have none
        raise InputError(f"{path} was changed: its checksum is another; {AGAIN}")
    pixels, channels = known["preprocessing"], len(known["preprocessing"]["mean"])
    if len(pixels["std"]) != channels:
        raise InputError(f"{complaint}: mean and std differ in length; {AGAIN}")
    return found


def read_architecture(folder: Path, description: dict[str, Any]) -> Architecture:
    """The architecture of a saved network.

    Raises:
        InputError: If there is no such network.
    """
    try:
        found = Architecture.from_json(description["architecture"])
        if not found.verdict().feasible:
            raise ValueError(f"it cannot be built: {found.verdict()}")
    except ValueError as error:
        raise InputError(f"{folder / DESCRIPTION} holds no architecture: {error}; {AGAIN}") from None
    return found


def _checksum(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
