"""Saved agents: tensors and JSON in one safetensors file, so that nothing in it can run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from n2n_gym.errors import InputError
from n2n_gym.system.files import write_whole

FORMAT = 4
KEY = "agent"


def save_agent(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write an agent in one step.

    Args:
        path: The file, by custom ending in `.policy`.
        tensors: Its weights and states.
        settings: JSON data; `algorithm` names the class.
    """
    metadata = {KEY: json.dumps({"format": FORMAT, **settings})}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, lambda part: save_file(whole, part, metadata))


def read_agent(path: Path, algorithm: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_agent` wrote.

    Args:
        path: The file.
        algorithm: The class that it must have been saved by; any by default.

    Raises:
        InputError: If the file is missing, damaged, or another algorithm's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            settings: dict[str, Any] = json.loads(file.metadata()[KEY])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if settings["format"] != FORMAT:
            raise InputError(f"{path} has format {settings['format']}, this version reads {FORMAT}")
        saved_by = settings["algorithm"]
    except FileNotFoundError:
        raise InputError(f"no saved agent at {path}") from None
    except (SafetensorError, KeyError, TypeError, OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a saved agent: {str(error).splitlines()[0]}") from None
    if algorithm not in (None, saved_by):
        raise InputError(f"{path} was saved by {saved_by}, not by {algorithm}")
    return tensors, settings


def policy_tensors(policy: BasePolicy) -> dict[str, Tensor]:
    """A policy's weights and its optimiser's state."""
    tensors: dict[str, Tensor] = {f"policy.{name}": value for name, value in policy.state_dict().items()}
    for index, values in policy.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    return tensors


def restore_weights(policy: BasePolicy, tensors: dict[str, Tensor]) -> None:
    """Give a policy of the same shape the weights among what `policy_tensors` returned.

    Raises:
        RuntimeError: If it has another shape.
    """
    policy.load_state_dict({n.removeprefix("policy."): tensor for n, tensor in tensors.items() if n.startswith("policy.")})


def restore_policy(policy: BasePolicy, tensors: dict[str, Tensor]) -> None:
    """Give a policy of the same shape what `policy_tensors` returned.

    Raises:
        RuntimeError: If it has another shape.
    """
    restore_weights(policy, tensors)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    groups = policy.optimizer.state_dict()["param_groups"]
    policy.optimizer.load_state_dict({"state": state, "param_groups": groups})
