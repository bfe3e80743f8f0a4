"""A fault, and the run that it befalls."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.display import Display
from agents.search.compress import compress
from agents.search.history import HISTORY
from agents.search.result import RESULT
from envs_tests.agents.conftest import rows, timeless
from envs_tests.conftest import DEEPER_TOY, toy_arrays
from n2n_gym.errors import InputError
from n2n_gym.system.files import write_json


class StoppedError(BaseException):
    """Stops a run where a kill would."""


class _Stops(Display):
    """Stops a run after a number of policy updates of both stages."""

    def __init__(self, updates: int) -> None:
        self._left = updates

    def update(self, done: int, note: str) -> None:
        if note.startswith("best "):  # a stage's, not a training's
            self._left -= 1
            if not self._left:
                raise StoppedError


@dataclass
class Scene:
    """A run, in a home of its own, that was stopped in the middle of its second stage.

    Attributes:
        place: Folder of all its files.
        monkeypatch: For what a fault replaces; undone before the run goes on for good.
        changed: Arguments of `compress` that a row wants otherwise.
    """

    place: Path
    monkeypatch: pytest.MonkeyPatch
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Its `$N2N_HOME`."""
        return self.place / "home"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.place / "run"

    @property
    def store(self) -> Path:
        """The run's evaluations."""
        return self.run / "evaluations.sqlite"

    @property
    def teacher(self) -> Path:
        """The teacher's folder."""
        [folder] = [path for path in (self.home / "teachers").iterdir() if path.is_dir()]
        return folder

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `compress`."""
        return {
            "teacher": str(self.place / "deeper.json"),
            "dataset": str(self.place / "toy.npz"),
            "iterations": 3,
            "rollouts": 2,
            "workers": 0,
            "device": "cpu",
            "finalists": 2,
            "unsearched": False,
            "final_trainings": 1,
            "final_epochs": 2,
            "beside": (),
            "speed": False,
            "out": str(self.run),
            **self.changed,
        }

    def lay_out(self, teachers: Path) -> None:
        """Put data, architecture and trained teachers there."""
        self.place.mkdir(parents=True, exist_ok=True)
        self.monkeypatch.setenv("N2N_HOME", str(self.home))
        np.savez(self.place / "toy.npz", **toy_arrays())
        write_json(self.place / "deeper.json", DEEPER_TOY.to_json())
        for trained in teachers.glob("deeper-*"):
            shutil.copytree(trained, self.home / "teachers" / trained.name, dirs_exist_ok=True)

    def begin(self, updates: int = 5) -> None:
        """Run until so many policy updates are done: the first three are stage 1's."""
        with pytest.raises(StoppedError):
            compress(**self.settings, display=_Stops(updates))
        assert not (self.run / RESULT).exists()

    def go_on(self) -> Mapping[str, Any]:
        """Give the same command again."""
        return compress(**self.settings)

    def end(self) -> dict[str, Any]:
        """How the run ended, but for times, paths and who trained what."""
        result = timeless(self.go_on())
        kept = {key: value for key, value in result.items() if key not in ("configuration", "command", "search")}
        kept = json.loads(json.dumps(kept).replace(str(self.place), "."))
        history = [{k: v for k, v in row.items() if k not in ("seconds", "from_store")} for row in rows(self.run)]
        return {"result": kept, "history": history}

    def files(self) -> dict[str, bytes]:
        """What the run has written down so far."""
        kept = [self.run / HISTORY, *self.run.glob("*.policy"), *self.run.glob("*.json")]
        return {path.name: path.read_bytes() for path in kept if path.is_file()}


def go_on(scene: Scene) -> object:
    """What a user does next: the same command again."""
    return scene.go_on()


@dataclass(frozen=True)
class Same:
    """The run ends as if nothing had happened, bit by bit."""


@dataclass(frozen=True)
class Refused:
    """One line that says what to do, and nothing lost; when that is done, the run ends as if nothing had happened.

    Attributes:
        says: Regular expression that is found in the line.
        mend: What the line says to do; None if there is nothing to go on with.
        lost: Files of the run that the fault itself has destroyed.
    """

    says: str
    mend: Callable[[Scene], object] | None = None
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """A row.

    Attributes:
        name: What goes wrong, as docs/reliability.md has it.
        happens: What the user sees, as docs/reliability.md has it.
        inject: Makes it go wrong; a context that it returns is held while the user goes on.
        outcome: What is expected.
        does: What the user does then; by default the run goes on.
        changed: Arguments of `compress`.
        begun: Policy updates before it is stopped; 0 if the fault is there from the beginning.
        slow: Whether it takes more than a few seconds.
    """

    name: str
    happens: str
    inject: Callable[[Scene], AbstractContextManager[object] | None]
    outcome: Same | Refused
    does: Callable[[Scene], object] = go_on
    changed: Mapping[str, Any] = field(default_factory=dict)
    begun: int = 5
    slow: bool = False

    @property
    def usual(self) -> bool:
        """Whether its run is stopped where most are: who trained the students until then makes no difference."""
        return self.begun == Fault.begun and set(self.changed) <= {"workers"}


def play(fault: Fault, scene: Scene, expected: dict[str, Any]) -> None:
    """Inject a fault into a run that was stopped, go on, and compare.

    Args:
        fault: It.
        scene: The run, laid out; or stopped already, where that is usual.
        expected: How it ends when nothing goes wrong.
    """
    scene.changed = dict(fault.changed)
    if fault.begun and not fault.usual:
        scene.begin(fault.begun)
    with ExitStack() as held:
        held.enter_context(fault.inject(scene) or nullcontext())
        before = scene.files()
        if isinstance(fault.outcome, Same):
            fault.does(scene)
        else:
            with pytest.raises(InputError, match=fault.outcome.says) as raised:
                fault.does(scene)
            assert len(str(raised.value).splitlines()) == 1, str(raised.value)
            after = scene.files()
            lost = {name for name, content in before.items() if after.get(name) != content and name != HISTORY}
            assert lost <= set(fault.outcome.lost) | {name for name in before if name.endswith(".policy")}, lost
            assert after.get(HISTORY, b"").startswith(before.get(HISTORY, b""))
    if isinstance(fault.outcome, Refused):
        if fault.outcome.mend is None:
            return
        fault.outcome.mend(scene)
    assert scene.end() == expected
