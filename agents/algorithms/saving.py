"""Saved agents: tensors and JSON in one safetensors file, so that nothing in it can run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

import msgspec
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from n2n_gym.errors import InputError
from n2n_gym.system.documents import Count, Finite, Share, checked, parse_document, shown
from n2n_gym.system.tensors import not_finite, read_tensors, tensors_hash, write_tensors

FORMAT = 4
KEY = "agent"
CHECKSUM = "sha256"

PRETRAINED = "pretrained"
"""What a policy is called that the package has."""

REMEDY = "if it is a run's, remove it: its stage begins again, and trains no student twice"

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
"""Of a layer, a batch, a population."""


class _PolicyArguments(TypedDict, total=False):
    """Arguments of a sequence policy."""

    hidden: Size
    critic: bool


class _Settings(TypedDict, total=False):
    """What is written beside an agent's tensors; each algorithm has its own share of it, and may have more."""

    format: Required[int]
    algorithm: Required[str]
    actions: Size
    decisions: Size
    stage: str
    num_timesteps: Count
    n_updates: Count
    policy_class: str
    observes_previous_action: bool
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    n_rollouts: Size
    n_epochs: Size
    clip_range: Finite
    baseline_decay: Share
    normalize_advantage: bool
    ent_coef: Finite
    anneal_entropy: bool
    max_grad_norm: Finite | None
    elite_size: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
    elite_coef: Finite
    use_masking: bool
    vf_coef: Finite
    seed: Count | None
    policy_kwargs: _PolicyArguments | None
    baseline: Finite | None
    advantage_square: Finite | None
    best_keeps: bool
    best_return: Finite | None
    rng: dict[str, Any]
    population_size: Size
    sample_size: Size
    warm_up: Size
    informed: bool
    prior: bool
    training_steps: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
    descent_steps: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
    step_size: Finite
    numpy_random: tuple[Literal["MT19937"], Count, Annotated[int, msgspec.Meta(ge=0, le=1)], Finite]


def pretrained_policies() -> dict[int, Path]:
    """Files of the policies that the package has, by stage: `dyna`'s, learned on the 32 tasks of `n2n table transfer`."""
    folder = Path(__file__).parent / "pretrained"
    return {1: folder / "removal.policy", 2: folder / "shrink.policy"}


def save_agent(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write an agent in one step.

    Args:
        path: The file, by custom ending in `.policy`.
        tensors: Its weights and states.
        settings: JSON data; `algorithm` names the class.

    Raises:
        InputError: If there is no room, or nothing may be written there.
    """
    said = json.dumps({"format": FORMAT, **settings})
    write_tensors(path, tensors, {KEY: said, CHECKSUM: _seal(said, tensors)})


def read_agent(path: Path, algorithm: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_agent` wrote.

    Args:
        path: The file.
        algorithm: The class that it must have been saved by; any by default.

    Raises:
        InputError: If the file is missing, damaged, or another algorithm's, or a number in it is NaN or infinite.
    """
    tensors, texts = read_tensors(path, "saved agent", remedy=REMEDY)
    complaint = f"{path} is not a saved agent"
    if KEY not in texts:
        raise InputError(f"{complaint}: it holds tensors alone; {REMEDY}")
    settings: dict[str, Any] = parse_document(texts[KEY], dict[str, Any], complaint, remedy=REMEDY)
    if (version := settings.get("format")) != FORMAT:
        raise InputError(f"{path} has format {shown(version)}, this version reads {FORMAT}")
    known = checked(settings, _Settings, complaint, remedy=REMEDY)
    if CHECKSUM in texts and texts[CHECKSUM] != _seal(texts[KEY], tensors):  # older ones have none
        raise InputError(f"{path} was changed since it was saved: its checksum is another; {REMEDY}")
    if unfit := not_finite(tensors):
        raise InputError(f"{path} holds numbers that are not finite, such as {shown(unfit[0])}; {REMEDY}")
    if algorithm not in (None, known["algorithm"]):
        raise InputError(f"{path} was saved by {shown(known['algorithm'])}, not by {algorithm}")
    return tensors, settings


def stage_in(env: VecEnv | None) -> dict[str, str]:
    """What is saved of the stage that an agent plays; nothing without an environment."""
    return {} if env is None else {"stage": env.get_attr("stage")[0].name}


def check_stage(saved: Mapping[str, Any], env: VecEnv | None, path: Path) -> None:
    """Refuse an agent of another stage than an environment's; where files of before do not say it, other things must tell.

    Raises:
        InputError: Then.
    """
    here = stage_in(env)
    if here and saved.get("stage", here["stage"]) != here["stage"]:
        raise InputError(f"{path} was trained for stage {shown(saved['stage'])}, the environment is of stage {here['stage']}")


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """While an agent is made of what `read_agent` returned: what does not fit becomes one line.

    Raises:
        InputError: Then.
    """
    try:
        yield
    except InputError:
        raise
    except _UNFIT as error:
        raise InputError(f"{path} is not a saved agent of this kind: {shown(error)}; {REMEDY}") from None


_UNFIT = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RuntimeError,
    AssertionError,
    OverflowError,
    MemoryError,
)


def _seal(said: str, tensors: Mapping[str, Tensor]) -> str:
    """A hash of all that is saved."""
    return hashlib.sha256((said + tensors_hash(tensors)).encode()).hexdigest()


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
