"""Registers the environments with Gymnasium, so that their own methods are found on what `gym.make` returns."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from typing import Any

from gymnasium.envs.registration import EnvSpec, WrapperSpec, registry

METHODS = WrapperSpec("OwnMethods", "n2n_gym.envs.wrappers:OwnMethods", {})


@dataclass
class CompressionSpec(EnvSpec):
    """A specification whose last wrapper is for `gym.make` alone.

    `gym.make` adds wrappers of its own, which hide an environment's methods; one of ours around them shows them again.
    `gym.make_vec` refuses to make a vector environment of a specification with wrappers, and takes a copy first: copies do
    without.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.additional_wrappers = (*self.additional_wrappers, METHODS)

    def __deepcopy__(self, memo: dict[int, Any]) -> EnvSpec:
        given = {field.name: copy.deepcopy(getattr(self, field.name), memo) for field in fields(self) if field.init}
        return EnvSpec(**{**given, "additional_wrappers": given["additional_wrappers"][:-1]})


class PlainSpec:
    """An environment's `spec`: what it was made of, as plain text also where a live module was given as the teacher."""

    def __get__(self, env: Any, owner: type[Any]) -> Any:
        return None if env is None else vars(env).get("spec")

    def __set__(self, env: Any, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec = replace(spec, kwargs=env.judge.plain(spec.kwargs))
        vars(env)["spec"] = spec


def register(env_id: str, module: str, name: str) -> None:
    """Make an environment known to Gymnasium.

    Args:
        env_id: Its name there.
        module: Where its classes are.
        name: What their names begin with.
    """
    spec = CompressionSpec(env_id, f"{module}:{name}Env", vector_entry_point=f"{module}:{name}VectorEnv")
    registry[spec.id] = spec
