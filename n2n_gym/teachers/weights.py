"""Weights from a file into a module: a `state_dict`, in safetensors or as torch saves it; nothing read can run code."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown
from n2n_gym.system.tensors import read_tensors

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net")
"""Under these names people save a `state_dict` beside other things."""

COMPILED = "_orig_mod."
"""What `torch.compile` puts before the names of what it compiled, which may be parts of a network."""

WHOLE = "copy or download it again"

OPENINGS = {
    b"version https://git-lfs": "is a pointer of Git LFS in the place of weights; fetch them: git lfs pull",
    b"<!": "is a web page, not weights; download the file itself",
    b"<html": "is a web page, not weights; download the file itself",
}
"""How files begin that often stand where weights should, and what to say of them."""

ZIPPED, PICKLED = b"PK", b"\x80"
"""How what torch.save wrote begins; as a pickle before torch 1.6."""

COUNT = "num_batches_tracked"
"""How many batches a normalisation has seen: weights saved before torch counted them, or converted ones, do without."""

SHOWN = 3
"""So many names are said; the others are counted."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Give a module the weights of a file; all of its own, and no others.

    Counts of batches (`COUNT`) that the file lacks stay as they are.

    Raises:
        InputError: If the file is missing or holds something else, or names or shapes are not the module's.
    """
    own = module.state_dict()
    state = _renamed(read_weights(path), own)
    state |= {name: count for name, count in own.items() if name not in state and name.rpartition(".")[2] == COUNT}
    missing, foreign = [name for name in own if name not in state], [name for name in state if name not in own]
    if missing or foreign:
        lacks = f"lacks {_some(missing)}" if missing else ""
        has = f"has {_some(foreign)}, which the network does not" if foreign else ""
        remedy = "give the network that they were saved from" if missing else "save the network's own alone"
        raise InputError(f"{path} holds weights of another network: it {' and '.join(filter(None, (lacks, has)))}; {remedy}")
    for name, value in state.items():
        if not nn.parameter.is_lazy(own[name]) and value.shape != own[name].shape:
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
    opening = _opening(path)
    if path.suffix == ".safetensors":
        return read_tensors(path, "safetensors file", remedy=WHOLE)[0]
    if not opening.startswith((ZIPPED, PICKLED)):
        raise InputError(f"{path} is no file that torch.save wrote: torch.save(module.state_dict(), FILE) writes one")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        cut = f"; or {WHOLE}, if it is not whole" if opening.startswith(PICKLED) else ""
        raise InputError(
            f"{path} holds more than weights, and unpacking it could run code; save the state_dict alone: "
            f"torch.save(module.state_dict(), FILE){cut}"
        ) from None
    except Exception as error:  # torch's reader fails at damage in many ways
        if "TorchScript" in str(error):
            raise InputError(
                f"{path} is TorchScript, not weights; save them alone: torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
            ) from None
        raise InputError(f"{path} is no readable state_dict ({shown(error).partition('. ')[0]}); {WHOLE}") from None
    return _state_in(found, path)


def _opening(path: Path) -> bytes:
    """How a file begins; refused where that says that it is something else."""
    try:
        with path.open("rb") as file:
            found = file.read(max(map(len, OPENINGS)))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    if not found:
        raise InputError(f"{path} is empty; {WHOLE}")
    for start, said in OPENINGS.items():
        if found.startswith(start):
            raise InputError(f"{path} {said}")
    return found


def _state_in(found: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(found, Mapping):
        for name in WRAPPINGS:
            if isinstance(found.get(name), Mapping):
                return _state_in(found[name], path)
        if found and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()):
            return dict(found)
    holds = _some(map(str, found)) if isinstance(found, Mapping) and found else f"a {type(found).__name__}"
    raise InputError(f"{path} holds no state_dict, it holds {holds}; torch.save(module.state_dict(), FILE) writes one")


def _renamed(state: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """With the network's names, as far as they differ by what wrappers (DataParallel, Lightning, ...) put before them."""
    plain = {name.replace(COMPILED, ""): name for name in own}
    found = {name.replace(COMPILED, ""): value for name, value in state.items()}
    taken, given = _extra(found, plain), _extra(plain, found)
    named = {given + name.removeprefix(taken): value for name, value in found.items()}
    if len(named) < len(state):
        return state  # one name for two tensors: which is meant is not known
    return {plain.get(name, name): value for name, value in named.items()}


def _extra(names: Iterable[str], known: Container[str]) -> str:
    """What, put before known names, makes most of these names: "", "module.", ..."""
    beginnings = Counter(name.removesuffix(rest) for name in names for rest in _endings(name) if rest in known)
    return max(beginnings, key=beginnings.__getitem__, default="")


def _endings(name: str) -> Iterator[str]:
    """A dotted name, and what is left of it without its first parts."""
    parts = name.split(".")
    return (".".join(parts[count:]) for count in range(len(parts)))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
