"""Episodes side by side, their students trained in one batch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from n2n_gym.architecture.features import COLUMNS, DECISION
from n2n_gym.envs.info import UNDECIDED, Columns, Finished, Info, Preview, Taken
from n2n_gym.envs.judge import Judge
from n2n_gym.envs.masks import ActionMask, Masks
from n2n_gym.envs.observation import Observation, space_of
from n2n_gym.envs.registration import PlainSpec
from n2n_gym.envs.render import Renderer
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.errors import InputError
from n2n_gym.stages.base import Stage

ONE_EACH = frozenset({"action_masks", "finished", "np_random", "np_random_seed", "render"})
"""What has something for each episode; all else is the same for all."""

_SINGLE = {
    "action_space": "single_action_space",
    "observation_space": "single_observation_space",
    "metadata": "single_metadata",
}
"""What has another name here, for by its own name it is of all episodes together."""

_TOGETHER = frozenset({"reset", "step", "unwrapped", "call", "get_attr", "set_attr"})

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Seeds = int | Sequence[int | None] | None


class CompressionVectorEnv(VectorEnv[Observation, Taken, Numbers]):
    """`num_envs` episodes side by side; it keeps the promises of Gymnasium's `SyncVectorEnv`.

    Every step's `info` holds an array for each key of the single environment's, and under `_KEY` which episodes it is of: all
    of them, but after a `reset` with `options={"reset_mask": ...}`. Arrays that say the same at every step are read-only.

    It may be copied and pickled at any moment, and used in another thread than the one it was made in.

    Args:
        num_envs: Episodes side by side.
        stage: What is decided.
        settings: What is compressed and how a student is judged.
        render_mode: What `render` gives a tuple of, one for each episode.
        max_episode_steps: Steps after which an episode is truncated, as by `TimeLimit`; None or -1 for no limit.
        autoreset_mode: How the next episode starts: with the step after the last one, whose action is then ignored
            (`NextStep`); in the last step itself, which gives `final_obs` and `final_info` (`SameStep`); by `reset` with
            `options={"reset_mask": ...}` (`Disabled`).
        check_limits: Whether limits that no student of the stage can keep are refused.

    Attributes:
        stage: What is decided.
        judge: Who rewards.
        finished: The last episode that each finished; None before the first.

    Raises:
        InputError: If `num_envs` or `max_episode_steps` is less than 1, a mode is unknown, or then.
    """

    spec = PlainSpec()
    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        **CompressionEnv.metadata,
    }
    single_metadata: ClassVar[dict[str, Any]] = CompressionEnv.metadata

    options: ClassVar[tuple[str, ...]] = ("render_mode", "max_episode_steps", "autoreset_mode")
    """Arguments that are about episodes side by side, and not about what is compressed."""

    def __init__(
        self,
        num_envs: int,
        stage: Stage,
        settings: Settings,
        *,
        render_mode: Literal["ansi", "rgb_array"] | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        check_limits: bool = True,
    ) -> None:
        num_envs = _count(num_envs, "num_envs must be a whole number of at least 1")
        limit = None if max_episode_steps == -1 else max_episode_steps
        if limit is not None:
            limit = _count(limit, "max_episode_steps must be a whole number of at least 1, or -1 for no limit")
        self.num_envs = num_envs
        self.stage = stage
        self.judge = Judge(settings, stage, check_limits=check_limits)
        self.render_mode = render_mode
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.single_observation_space = space_of(stage)
        self.single_action_space = spaces.Discrete(stage.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.finished: list[Finished | None] = [None] * num_envs
        self._limit = stage.decisions + 1 if limit is None else limit
        self._renderer = Renderer(stage, render_mode)
        self._masks = Masks(stage)
        self._columns = Columns(num_envs)
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._everyone = np.arange(num_envs)
        self._started = np.zeros(num_envs, dtype=np.bool_)
        self._ready = False
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self._someone_over = False
        self._positions = np.zeros(num_envs, dtype=np.int64)
        # with a place before the first action and a layer after the last: no position needs a rule of its own
        self._taken = np.full((num_envs, stage.decisions + 1), UNDECIDED)
        self._rows = np.tile(stage.rows, (num_envs, 1, 1))
        self._layers = np.concatenate([stage.rows, np.zeros((1, len(COLUMNS)), dtype=np.float32)])

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The random numbers of each environment; a single one with the same seed has the same."""
        if None in self._rngs:
            for i in [i for i, rng in enumerate(self._rngs) if rng is None]:
                self._rngs[i], self._seeds[i] = seeding.np_random()
        return tuple(self._rngs)  # type: ignore[arg-type]

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seed of each environment's random numbers."""
        _ = self.np_random
        return tuple(self._seeds)

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Start the next episodes.

        Args:
            seed: Of each environment's random numbers; one number seeds the first, the next one the second and so on.
            options: `reset_mask` says which episodes start again, shape (num_envs,), bool; the others stay where they are.

        Raises:
            ValueError: If there is not one seed for each, or the mask has another shape or chooses none.
            TypeError: If the mask is no array of bools.
        """
        seeds = _seeds(seed, self.num_envs)
        chosen = (options or {}).get("reset_mask")
        starting = np.ones(self.num_envs, dtype=np.bool_) if chosen is None else _checked_mask(chosen, self.num_envs)
        for i in np.flatnonzero(starting).tolist():
            if (each := seeds[i]) is not None:
                self._rngs[i], self._seeds[i] = seeding.np_random(each)
        self._start(starting)
        self._started |= starting
        self._ready = bool(self._started.all())
        info = self._info()
        return self._observation(), info if chosen is None else self._columns.only(info, starting)

    def step(self, actions: Any) -> tuple[Observation, Numbers, Flags, Flags, Info]:
        """Take a step in every episode.

        Args:
            actions: One for each; whole numbers in an array, a tensor or a list.

        Raises:
            ResetNeeded: If an episode was not started yet; without autoreset, also if one is over.
            InvalidAction: If there are not so many, or one is out of range.
        """
        if not self._ready:
            raise ResetNeeded("call reset() before the first step()")
        who = self._everyone
        if self._someone_over:
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise ResetNeeded("an episode is over: call reset(options={'reset_mask': ...}) before the next step()")
            who = np.flatnonzero(~self._over)
        chosen = self._checked(actions, who) if len(who) else None  # before anything begins: what is refused changes nothing
        if self._someone_over:
            self._start(self._over)
        if chosen is not None:
            self._positions[who] += 1
            self._taken[who, self._positions[who]] = chosen
            self._rows[who, self._positions[who] - 1, DECISION] = chosen + 1
        terminations = self._positions == self.stage.decisions
        truncations = self._positions >= self._limit
        self._over = terminations | truncations
        self._someone_over = bool(self._over.any())
        rewards = np.zeros(self.num_envs)
        observation = self._observation()
        if not self._someone_over:
            return observation, rewards, terminations, truncations, self._info()
        ended = np.flatnonzero(terminations)
        finished = self._finish(ended) if len(ended) else []
        rewards[ended] = [each.reward for each in finished]
        info = self._info(ended, finished)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            observation, info = self._restarted(observation, info)
        return observation, rewards, terminations, truncations, info

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What each environment has by a name, or, if it is a method, answers when it is called.

        Args:
            name: Of what a single environment has besides the episode: `action_masks`, `finished`, `judge`, `preview`,
                `render`, `set_update`, `stage`, ...
            *args: For the method.
            **kwargs: For the method.

        Raises:
            AttributeError: If it has none, or it is about all episodes at once, as `step` is.
        """
        if name in _TOGETHER:
            raise AttributeError(f"environments side by side share their episodes: use {name} of all of them")
        found = getattr(self, _SINGLE.get(name, name))
        if callable(found):
            found = found(*args, **kwargs)
        return tuple(found) if name in ONE_EACH and found is not None else (found,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """What each environment has by a name; see `call`."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set what all environments share.

        Args:
            name: Of an attribute.
            values: Its value, or a list or tuple with one for each environment, which must be equal.

        Raises:
            InputError: If there is not one for each, they differ, or it is nothing that can be set: there are no single
                environments that could have something of their own.
        """
        if name in ONE_EACH | _TOGETHER | set(_SINGLE):
            raise InputError(f"{name} of environments side by side cannot be set")
        each = list(values) if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs or any(value is not each[0] and value != each[0] for value in each):
            raise InputError(f"environments side by side share {name}: give one value, or {self.num_envs} equal ones")
        setattr(self, name, each[0])

    def set_update(self, update: int) -> None:
        """Tell the environments how many policy updates were done: relaxed limits tighten with them."""
        self.judge.set_update(update)

    def preview(self, actions: Sequence[int]) -> Preview:
        """What is known of a whole episode's student without training it: its sizes, and whether it is feasible and allowed.

        Args:
            actions: One for each decision.

        Raises:
            InvalidAction: If there are not so many, or one is out of range.
        """
        return self.judge.preview(actions)

    def action_masks(self) -> ActionMask:
        """Which actions are of use now, 1 or 0, shape (num_envs, actions), int8.

        `envs.action_space.sample(mask=tuple(envs.action_masks()))` draws among them.
        """
        return self._masks.after([self._so_far(i) for i in range(self.num_envs)])

    def render(self) -> tuple[Any, ...] | None:
        """A frame of each episode."""
        if self.render_mode is None:
            return None
        return tuple(self._renderer.frame(self._so_far(i)) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        self.judge.close()

    def _checked(self, actions: Any, playing: npt.NDArray[np.int64]) -> Taken:
        """The actions of the episodes that go on."""
        try:
            given = np.asarray(actions)
            with np.errstate(invalid="ignore"):  # what is no number is found below
                chosen = given.astype(np.int64, copy=False)
        except (TypeError, ValueError, OverflowError):  # lists of different lengths, words
            given = chosen = np.empty(0, dtype=np.int64)
        if chosen.shape == (self.num_envs,):
            going_on = chosen[playing]
            # as unsigned numbers, negative ones are the largest: one look at them finds those out of range on either side
            fit = going_on.view(np.uint64).max() < self.stage.actions
            if fit and (chosen is given or (going_on == given[playing]).all()):
                return going_on
        numbers = f"whole numbers from 0 to {self.stage.actions - 1}"
        raise InvalidAction(f"expected {self.num_envs} actions, {numbers}, received {actions!r}")

    def _finish(self, ended: npt.NDArray[np.int64]) -> list[Finished]:
        """The students of episodes that ended, evaluated in one batch."""
        who, rngs = ended.tolist(), self.np_random
        finished = self.judge.finish(self._taken[ended, 1:].tolist(), [rngs[i] for i in who])
        self.finished = list(self.finished)  # a new list: who holds the last one keeps it as it was
        for i, each in zip(who, finished, strict=True):
            self.finished[i] = each
        return finished

    def _start(self, starting: Flags) -> None:
        self._over = self._over & ~starting
        self._someone_over = bool(self._over.any())
        self._positions[starting] = 0
        self._taken[starting] = UNDECIDED
        self._rows[starting, :, DECISION] = 0

    def _so_far(self, i: int) -> list[int]:
        taken: list[int] = self._taken[i, 1 : self._positions[i] + 1].tolist()
        return taken

    def _info(self, ended: npt.NDArray[np.int64] | None = None, finished: Sequence[Finished] = ()) -> Info:
        nobody = self._everyone[:0]
        return self._columns.of(self._taken[:, 1:].copy(), nobody if ended is None else ended, finished)

    def _observation(self) -> Observation:
        observation: Observation = {
            "architecture": self._rows.copy().reshape(self.num_envs, -1),
            "layer": self._layers[self._positions],
            "position": self._positions.copy(),
        }
        if self.stage.shows_previous_action:
            observation["previous_action"] = self._taken[self._everyone, self._positions] + 1
        return observation

    def _restarted(self, last: Observation, info: Info) -> tuple[Observation, Info]:
        """What SAME_STEP gives instead of the last step's observation and info, which become the final ones."""
        over = self._over
        final: Numbers = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final[i] = {key: column[i] for key, column in last.items()}
        self._start(over)
        final_info = self._columns.only(info, over)
        return self._observation(), {
            **self._info(),
            "final_obs": final,
            "_final_obs": over.copy(),
            "final_info": final_info,
            "_final_info": over.copy(),
        }


def _mode(given: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(given)
    except ValueError:
        known = ", ".join(mode.value for mode in AutoresetMode)
        raise InputError(f"unknown autoreset mode {given!r}. Known: {known}") from None


def _seeds(seed: Seeds, count: int) -> list[int | None]:
    """One seed for each environment."""
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(count)]
    seeds = [None if each is None else int(each) for each in seed]
    if len(seeds) != count:
        raise ValueError(f"expected a seed for each of {count} environments, received {len(seeds)}")
    return seeds


def _count(value: Any, rule: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{rule}, not {value!r}")
    return number


def _checked_mask(mask: Any, count: int) -> Flags:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] must be a NumPy array of bools, not {mask!r}")
    if mask.shape != (count,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must have shape ({count},) and choose at least one, not {mask!r}")
    return mask
