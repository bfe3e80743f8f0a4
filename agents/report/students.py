"""Students layer by layer: what became of each layer of the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agents.report.run import Named, Run
from agents.search.history import Episode
from n2n_gym.architecture import Architecture, Variable
from n2n_gym.errors import InputError
from n2n_gym.stages import RemovalStage, ShrinkStage, Stage
from n2n_gym.student import Student


@dataclass(frozen=True)
class Side:
    """A layer in one network.

    Attributes:
        shape: Of its output, channels x height x width.
        window: Its kernel and stride, or "".
        parameters: Trainable ones.
        macs: Multiply-accumulates for one image.
        channels: Of its output.
    """

    shape: str
    window: str
    parameters: int
    macs: int
    channels: int

    def __str__(self) -> str:
        return f"{self.shape} ({self.window})" if self.window else self.shape


@dataclass(frozen=True)
class Pair:
    """A layer of the teacher beside what is left of it.

    Attributes:
        name: As its owner calls it.
        kind: Of layer.
        teacher: As the teacher has it.
        student: As the student has it; None if it was removed.
        widest: Channels of the teacher's widest layer: bars are drawn to this scale.
    """

    name: str
    kind: str
    teacher: Side
    student: Side | None
    widest: int


def side_by_side(teacher: Named, student: Student) -> list[Pair]:
    """Every layer of the teacher with what is left of it, in order."""
    before = _sides(teacher.architecture)
    after = _by_origin(student)
    widest = max(side.channels for side in before)
    kinds = (node.layer.kind for node in teacher.architecture.nodes)
    return [
        Pair(name, kind, side, after.get(index), widest)
        for index, (name, kind, side) in enumerate(zip(teacher.layers, kinds, before, strict=True))
    ]


def _by_origin(student: Student) -> dict[int, Side]:
    """What is left of the teacher's layers, by their indices; of several layers with one origin the first."""
    found: dict[int, Side] = {}
    for origin, side in zip(student.origins, _sides(student.architecture), strict=True):
        found.setdefault(origin, side)
    return found


def layer_texts(teacher: Named) -> list[str]:
    """Each layer of the teacher in a few words."""
    return [str(side) for side in _sides(teacher.architecture)]


def _sides(architecture: Architecture) -> list[Side]:
    return [
        Side(
            " x ".join(map(str, shape)),
            _window(node.layer.observed),
            node.layer.parameters(architecture.input_shapes(index)),
            node.layer.macs(architecture.input_shapes(index), shape),
            shape[0],
        )
        for index, (node, shape) in enumerate(zip(architecture.nodes, architecture.shapes, strict=True))
    ]


def _window(observed: tuple[int, int, int, int]) -> str:
    kernel, stride, _, _ = observed
    if not kernel:
        return ""
    return f"{kernel} x {kernel}" + (f", step {stride}" if stride > 1 else "")


class Explained:
    """The students of a run, as a page shows them when one is chosen: plain data, each text once.

    Args:
        run: Whose they are.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._texts: dict[str, int] = {}
        self._stages: dict[tuple[int, str], Stage | None] = {}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row per student that was tried; `layers` and `decided` are numbers of `texts`, one for each teacher's layer.

        They are missing where what the actions mean is not known: without the teacher, or without stage 1's student.
        """
        return [self._row(episode) for episode in self._run.students_tried]

    @property
    def texts(self) -> list[str]:
        """What the rows' numbers stand for."""
        _ = self.rows
        return list(self._texts)

    def _row(self, episode: Episode) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": episode.fingerprint,
            "stage": episode.stage,
            "update": episode.iteration,
            "actions": episode.actions,
            "accuracy": episode.accuracy,
            "reward": episode.reward,
            "parameters": episode.parameters,
            "macs": episode.macs,
            "latency": episode.latency_ms,
            "excess": episode.excess,
        }
        stage = self._stage_of(episode)
        if stage is None or len(episode.actions) != stage.decisions:
            return row
        actions = [int(action) for action in episode.actions]
        left = _by_origin(stage.student(actions))
        decided = _decided(stage, actions)
        layers = range(len(stage.teacher.nodes))
        shapes = (str(left.get(i, "")) for i in layers)
        return {**row, "layers": [*map(self._number, shapes)], "decided": [self._number(decided.get(i, "")) for i in layers]}

    def _stage_of(self, episode: Episode) -> Stage | None:
        """What a student's actions decide; None where that is not known."""
        key = (episode.stage, episode.start)
        if key not in self._stages:
            start = self._run.start_of(episode)
            try:
                self._stages[key] = None if start is None else _KINDS[episode.stage](start, lookahead=False)
            except InputError:  # this stage has nothing to decide on here
                self._stages[key] = None
        return self._stages[key]

    def _number(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))


_KINDS: Mapping[int, type[RemovalStage | ShrinkStage]] = {1: RemovalStage, 2: ShrinkStage}


def _decided(stage: Stage, actions: Sequence[int]) -> dict[int, str]:
    """What an episode decided, by the teacher's layers that it is about."""
    origins = stage.start.origins
    words: dict[int, list[str]] = {}
    for position, (layers, variable) in enumerate(zip(stage.layers, stage.variables, strict=True)):
        what = "" if variable is Variable.LAYER else f"{variable.name.lower()} "
        for layer in layers:
            words.setdefault(origins[layer], []).append(f"{what}{stage.describe(position, actions[position])}")
    return {layer: ", ".join(each) for layer, each in words.items()}
