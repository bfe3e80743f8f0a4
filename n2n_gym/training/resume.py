"""A long training that was stopped goes on after the last epoch that was written down, to the same end."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from n2n_gym.layers.modules import OwnDropout
from n2n_gym.system.documents import Finite, parse_document, shown
from n2n_gym.system.files import sweep
from n2n_gym.system.tensors import read_tensors, tensors_hash, write_tensors

_log = logging.getLogger("n2n_gym")

SECONDS = 15.0
"""So much time lies between two epochs that are written down, at least: large networks take long to write."""

GENERATOR, FACTS = "generator", "training"
NETWORK, OPTIMIZER, KEPT = "network.", "optimizer.", "kept."


class _Said(TypedDict):
    """What is written beside the tensors."""

    identity: str
    rates: list[Finite]
    facts: dict[str, Any]
    sha256: str


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
            network: As it is; what its dropout draws from is written down, too.
            optimizer: As it is.
            generator: What draws the order of images.
            kept: Weights that are kept besides.
            facts: Plain data; its `epoch` says how many are done.
            at_once: Whether it is written down however short ago the last time was.
        """
        if not at_once and time.monotonic() < self._written + SECONDS:
            return
        tensors = {name: each.get_state() for name, each in _generators(network, generator).items()}
        tensors |= {NETWORK + name: value for name, value in network.state_dict().items()}
        tensors |= {KEPT + name: value for name, value in kept.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{index}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        said = {"identity": self._identity, "rates": rates, "facts": dict(facts)}
        write_tensors(self._path, tensors, {FACTS: json.dumps({**said, "sha256": _seal(said, tensors)})})
        self._written = time.monotonic()

    def read(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, *, most: int
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Put network, optimizer and generators where the training was.

        Args:
            network: What is trained; its dropout goes on with what it would have drawn next.
            optimizer: What it is trained with.
            generator: What draws the order of images.
            most: A training that has had more epochs is not gone on with.

        Returns:
            The kept weights and the facts; None where there is nothing to go on with, or it cannot be read: then it is said
            that the training begins anew.
        """
        sweep(self._path.parent, self._path.name)  # of a process that was killed while it wrote this
        if not self._path.exists():
            return None
        before = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
        generators = _generators(network, generator)
        drawing = {name: each.get_state() for name, each in generators.items()}
        try:
            tensors, texts = read_tensors(self._path, "training that was stopped")
            said: dict[str, Any] = dict(parse_document(texts.get(FACTS, ""), _Said, "it is no training that was stopped"))
            if said["identity"] != self._identity or said["facts"]["epoch"] > most:
                return None
            if said.pop("sha256") != _seal(said, tensors):
                raise ValueError("its checksum is another")
            facts = said["facts"]
            network.load_state_dict(_under(NETWORK, tensors))
            optimizer.load_state_dict(_optimizer_state(optimizer, _under(OPTIMIZER, tensors), said["rates"]))
            _go_on(generators, {name: tensors[name] for name in generators})
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            _log.warning("%s is damaged (%s): this training begins anew", self._path, shown(error))
            network.load_state_dict(before[0])
            optimizer.load_state_dict(before[1])
            _go_on(generators, drawing)
            return None
        return _under(KEPT, tensors), facts


def _seal(said: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """A hash of all that is written down."""
    text = json.dumps(said, sort_keys=True) + tensors_hash(tensors)
    return hashlib.sha256(text.encode()).hexdigest()


def _generators(network: nn.Module, generator: torch.Generator) -> dict[str, torch.Generator]:
    """All that a training draws from, by name: the order of images, and what each dropout leaves out."""
    dropouts = ((name, module) for name, module in network.named_modules() if isinstance(module, OwnDropout))
    own = {f"{GENERATOR}.{name}": module.generator for name, module in dropouts if module.generator is not None}
    return {GENERATOR: generator, **own}


def _go_on(generators: Mapping[str, torch.Generator], states: Mapping[str, Tensor]) -> None:
    """Have generators draw what they would have drawn next in some states."""
    for name, generator in generators.items():
        generator.set_state(states[name])


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
