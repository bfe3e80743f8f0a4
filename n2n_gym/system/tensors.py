"""Tensors in safetensors files: read and written in one place. Nothing that is read can run code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown
from n2n_gym.system.files import write_whole

_FAULTS = (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError)
"""How safetensors and torch fail at a damaged file."""

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def read_tensors(path: Path, what: str, *, remedy: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file and the texts beside them.

    safetensors itself refuses headers that do not fit the file, so no more memory is asked for than the file is large.

    Args:
        path: The file.
        what: What it is called in messages.
        remedy: What to do if it is damaged, for the message.

    Raises:
        InputError: If it is missing, or cut off, or something else.
    """
    end = f"; {remedy}" if remedy else ""
    try:
        if not path.is_file():
            raise InputError(f"no {what} at {path}{end}")
        with safe_open(path, framework="pt") as file:
            texts = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, texts  # noqa: SIM118  it is no dictionary
    except InputError:
        raise
    except _FAULTS as error:
        raise InputError(f"{path} is not a readable {what}: {shown(error)}{end}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str] | None = None) -> None:
    """Write tensors, and texts beside them, in one step; equal ones make equal files.

    Raises:
        InputError: If there is no room, or nothing may be written there.
    """
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def write(part: Path) -> None:
        try:
            save_file(whole, part, dict(texts or {}))
        except SafetensorError as error:
            found = _SYSTEM_ERROR.search(str(error))
            if found is None:
                raise
            raise OSError(int(found[1]), shown(error), str(path)) from None
        if texts:
            _sort_texts(part)

    write_whole(path, write)


def _sort_texts(path: Path) -> None:
    """Put a file's texts in the order of their names; safetensors writes them in another order each time."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """64 hexadecimal digits that are equal for equal tensors of equal names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of those that hold NaN or infinity."""
    floats = {name: value for name, value in tensors.items() if value.is_floating_point() or value.is_complex()}
    return [name for name, value in floats.items() if not bool(torch.isfinite(value.float()).all())]
