"""A long training that was stopped goes on after the last epoch that was written down, to the same end."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from n2n_gym.system.files import write_whole

_log = logging.getLogger("n2n_gym")

SECONDS = 15.0
"""So much time lies between two epochs that are written down, at least: large networks take long to write."""

GENERATOR, FACTS = "generator", "training"
NETWORK, OPTIMIZER, KEPT = "network.", "optimizer.", "kept."


class TrainingFile:
    """Where a training is written down while it goes on; nothing that is read from it can run code.

    Args:
        path: The file.
        **identity: Plain data that tell this training from every other; another one's file is not gone on with.
    """

    def __init__(self, path: Path, **identity: Any) -> None:
        self._path = path
        self._identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._written = time.monotonic()

    def write(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        kept: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        at_once: bool = False,
    ) -> None:
        """Write down how far it is, if the last time was long enough ago.

        Args:
            network: As it is.
            optimizer: As it is.
            generator: What draws the order of images.
            kept: Weights that are kept besides.
            facts: Plain data; its `epoch` says how many are done.
            at_once: Whether it is written down however short ago the last time was.
        """
        if not at_once and time.monotonic() < self._written + SECONDS:
            return
        tensors = {GENERATOR: generator.get_state()}
        tensors |= {NETWORK + name: value for name, value in network.state_dict().items()}
        tensors |= {KEPT + name: value for name, value in kept.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{index}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        rates = [group["lr"] for group in optimizer.param_groups]
        said = json.dumps({"identity": self._identity, "rates": rates, "facts": dict(facts), "sha256": weights_hash(plain)})
        write_whole(self._path, lambda part: save_file(plain, part, metadata={FACTS: said}))
        self._written = time.monotonic()

    def read(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, *, most: int
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Put network, optimizer and generator where the training was.

        Args:
            network: What is trained.
            optimizer: What it is trained with.
            generator: What draws the order of images.
            most: A training that has had more epochs is not gone on with.

        Returns:
            The kept weights and the facts; None where there is nothing to go on with, or it cannot be read: then it is said
            that the training begins anew.
        """
        if not self._path.exists():
            return None
        before = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
        try:
            with safe_open(self._path, framework="pt") as file:
                said = json.loads((file.metadata() or {})[FACTS])
                if said["identity"] != self._identity or said["facts"]["epoch"] > most:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
            if said["sha256"] != weights_hash(tensors):
                raise ValueError("its checksum is another")
            facts: dict[str, Any] = dict(said["facts"])
            network.load_state_dict(_under(NETWORK, tensors))
            optimizer.load_state_dict(_optimizer_state(optimizer, _under(OPTIMIZER, tensors), said["rates"]))
            generator.set_state(tensors[GENERATOR])
        except (OSError, KeyError, IndexError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            _log.warning("%s is damaged (%s): this training begins anew", self._path, str(error).splitlines()[0])
            network.load_state_dict(before[0])
            optimizer.load_state_dict(before[1])
            return None
        return _under(KEPT, tensors), facts


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """64 hexadecimal digits that are equal for equal tensors of equal names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rates: list[float]) -> dict[str, Any]:
    state: dict[str, Any] = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for group, rate in zip(state["param_groups"], rates, strict=True):
        group["lr"] = float(rate)
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape and value.dim():  # laid out in memory as the parameter is, as before
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state["state"].setdefault(int(index), {})[name] = value
    return state
