"""Wrappers: the environments' own methods above those of Gymnasium, and observations as flat, scaled vectors.

`encode` works on one observation and on a batch of them, so single and vector environments share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import RecordConstructorArgs

from n2n_gym.architecture.features import COLUMNS, DECISION, standard_scores
from n2n_gym.envs.masks import ActionMask
from n2n_gym.envs.observation import Observation, space_of
from n2n_gym.envs.registration import CompressionSpec
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.errors import InputError, by_name
from n2n_gym.stages.base import Stage

Vectors = npt.NDArray[np.float32]

FARTHEST = 32.0
"""No number of n lies more than sqrt(n - 1) standard deviations from their mean, and networks have up to 1,024 layers."""


class Encoding(ABC):
    """Turns a compression environment's observation into one vector.

    Args:
        stage: What is decided: it says how many decisions and actions there are.
    """

    name: ClassVar[str]

    def __init__(self, stage: Stage) -> None:
        self.decisions = stage.decisions
        self.actions = stage.actions

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the vector."""

    @abstractmethod
    def vectors(self, known: Vectors, taken: Vectors, position: npt.NDArray[np.int64]) -> Vectors:
        """The vectors, shape (B, size).

        Args:
            known: Standard scores of the layers, shape (B, decisions, columns).
            taken: Actions taken so far, in [-1, 1]; 0 where none was taken yet, shape (B, decisions).
            position: The decision that is next, shape (B).
        """

    @property
    def space(self) -> spaces.Box:
        """The space of a vector; its bounds do not depend on the teacher, for Stable-Baselines3 compares them."""
        return spaces.Box(-FARTHEST, FARTHEST, (self.size,), dtype=np.float32)

    def encode(self, observation: Observation) -> Vectors:
        """The vector of an observation, or of each of a batch of them."""
        position = np.asarray(observation["position"], dtype=np.int64)
        rows = observation["architecture"].reshape(-1, self.decisions, len(COLUMNS))
        decided = rows[..., DECISION]
        taken = np.where(decided > 0, 2.0 * (decided - 1.0) / (self.actions - 1) - 1.0, 0.0)
        vectors = self.vectors(standard_scores(rows[..., :DECISION]), taken, position.reshape(-1)).astype(np.float32)
        return vectors if position.ndim else vectors[0]


class LayerEncoding(Encoding):
    """The layer to be decided on, the one before and the one after it, the last action, how many were taken, the progress.

    As long for a deep network as for a shallow one, so a learner's policy serves teachers of any depth.
    """

    name = "layer"

    @property
    def size(self) -> int:
        return 3 * DECISION + 3

    def vectors(self, known: Vectors, taken: Vectors, position: npt.NDArray[np.int64]) -> Vectors:
        everyone = np.arange(len(known))
        edges = np.pad(known, ((0, 0), (1, 2), (0, 0)))  # zeros before the first layer and behind the last
        parts = [edges[everyone, position + shift] for shift in (0, 1, 2)]
        last = np.where(position > 0, taken[everyone, position - 1], 0.0)
        mean = taken.sum(1) / np.maximum(position, 1)
        progress = 2.0 * position / self.decisions - 1.0
        return np.concatenate([*parts, np.stack([last, mean, progress], axis=1)], axis=1)


class FlatEncoding(Encoding):
    """Where the episode stands and every action so far: all that a learner without memory needs for one teacher."""

    name = "flat"

    @property
    def size(self) -> int:
        return 2 * self.decisions + DECISION

    def vectors(self, known: Vectors, taken: Vectors, position: npt.NDArray[np.int64]) -> Vectors:
        everyone = np.arange(len(known))
        here = np.eye(self.decisions + 1)[position][:, : self.decisions]
        layer = np.pad(known, ((0, 0), (0, 1), (0, 0)))[everyone, position]
        return np.concatenate([here, taken, layer], axis=1)


ENCODINGS: dict[str, type[Encoding]] = {encoding.name: encoding for encoding in (LayerEncoding, FlatEncoding)}


def encoding_by_name(name: str, stage: Stage, observed: spaces.Space[Any]) -> Encoding:
    """One of `ENCODINGS`.

    Args:
        name: Its name.
        stage: What is decided.
        observed: The space of the observations that it will be given.

    Raises:
        InputError: If the name is unknown, or a wrapper has changed the observations.
    """
    if observed != space_of(stage):
        raise InputError(f"observations are encoded as the compression environment gives them, not {observed}; wrap it first")
    return by_name("observation encoding", name, ENCODINGS)(stage)


class EncodedObservation(gym.ObservationWrapper[Vectors, np.int64, Observation], RecordConstructorArgs):
    """A compression environment whose observation is one flat, scaled vector.

    Args:
        env: A compression environment (`N2N/...`).
        encoding: `layer` (the same size for every teacher) or `flat` (all decisions so far).

    Raises:
        InputError: If the encoding is unknown, or another wrapper has changed the observations.
        TypeError: If the environment is another one.
    """

    def __init__(self, env: gym.Env[Observation, np.int64], encoding: str = "layer") -> None:
        RecordConstructorArgs.__init__(self, encoding=encoding)
        super().__init__(env)
        inner: Any = env.unwrapped
        if not isinstance(inner, CompressionEnv):
            raise TypeError(f"EncodedObservation wraps a compression environment, not {type(inner).__name__}")
        self._encoding = encoding_by_name(encoding, inner.stage, env.observation_space)
        self.observation_space = self._encoding.space  # type: ignore[assignment]

    def observation(self, observation: Observation) -> Vectors:
        """The vector of an observation."""
        return self._encoding.encode(observation)


class OwnMethods(gym.Wrapper[Observation, np.int64, Observation, np.int64], RecordConstructorArgs):
    """Shows a compression environment's own methods again, which the wrappers that `gym.make` adds hide.

    Args:
        env: A compression environment, in whatever wrappers.
    """

    def __init__(self, env: gym.Env[Observation, np.int64]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The specification of the environment, from which `gym.make` and `gym.make_vec` make another."""
        inner = self.env.spec
        if inner is None:
            return None
        given = {field.name: getattr(inner, field.name) for field in fields(inner) if field.init}
        return CompressionSpec(**given)

    def action_masks(self) -> ActionMask:
        """Which actions are of use now, 1 or 0, shape (actions,), int8: as `action_space.sample(mask=...)` wants it."""
        masks: ActionMask = self.env.get_wrapper_attr("action_masks")()
        return masks

    def set_update(self, update: int) -> None:
        """Tell the environment how many policy updates were done: relaxed limits tighten with them."""
        self.env.get_wrapper_attr("set_update")(update)
