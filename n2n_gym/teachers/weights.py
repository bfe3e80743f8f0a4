"""Weights from a file into a module: a `state_dict`, in safetensors or as torch saves it; nothing read can run code."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown
from n2n_gym.system.tensors import read_tensors

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net")
"""Under these names people save a `state_dict` beside other things."""

PARALLEL = "module."
"""What `DataParallel` puts before every name."""

SHOWN = 3
"""So many names are said; the others are counted."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Give a module the weights of a file; all of its own, and no others.

    Raises:
        InputError: If the file is missing or holds something else, or names or shapes are not the module's.
    """
    state = read_weights(path)
    own = module.state_dict()
    if own.keys() != state.keys() and all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): value for name, value in state.items()}
    missing, foreign = [name for name in own if name not in state], [name for name in state if name not in own]
    if missing or foreign:
        lacks = f"lacks {_some(missing)}" if missing else ""
        has = f"has {_some(foreign)}, which the network does not" if foreign else ""
        raise InputError(f"{path} holds weights of another network: it {' and '.join(filter(None, (lacks, has)))}")
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise InputError(
                f"{path} holds weights of another network: its {name} has shape {tuple(value.shape)}, "
                f"the network's {tuple(own[name].shape)}; other classes?"
            )
    module.load_state_dict(state)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The `state_dict` in a file.

    Raises:
        InputError: If the file is missing or holds something else.
    """
    if not path.is_file():
        raise InputError(f"no weights at {path}; expected a .safetensors file or a state_dict that torch.save wrote")
    if path.suffix == ".safetensors":
        return read_tensors(path, "safetensors file")[0]
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} holds more than weights, and unpacking it could run code; save the state_dict alone: "
            "torch.save(module.state_dict(), FILE)"
        ) from None
    except Exception as error:  # torch's reader fails at damage in many ways
        raise InputError(f"{path} is no readable state_dict: {shown(error)}") from None
    return _state_in(found, path)


def _state_in(found: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(found, Mapping):
        for name in WRAPPINGS:
            if isinstance(found.get(name), Mapping):
                return _state_in(found[name], path)
        if found and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()):
            return dict(found)
    raise InputError(f"{path} holds no state_dict: torch.save(module.state_dict(), FILE) writes one")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
