"""A student that starts from its teacher's weights instead of fresh ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.architecture.channels import channel_spaces, output_multiples
from n2n_gym.layers import Channels
from n2n_gym.models.build import Network
from n2n_gym.student import Student


@torch.no_grad()
def inherit(network: Network, student: Student, teacher: Network) -> int:
    """Give a student's network the weights that its layers had in the teacher, as far as they fit; the others stay fresh.

    Of a layer that was shrunk the channels with the largest weights are kept, by their L1 norm, the same ones in all layers
    that meet in a sum, and as many of each group where they are divided into groups; kernels are cropped at the centre.

    Args:
        network: The student's, freshly initialised.
        student: What it is.
        teacher: The trained teacher.

    Returns:
        How many of its parameters and statistics were taken over.

    Raises:
        ValueError: If the student is another teacher's.
    """
    if student.teacher != teacher.architecture:
        raise ValueError("the student is another teacher's: it has nothing to inherit here")
    kept = Kept(student, teacher)
    taken = 0
    for index, (node, origin) in enumerate(zip(student.architecture.nodes, student.origins, strict=True)):
        inputs = kept.inputs(index)
        outputs = inputs if node.layer.channels is Channels.SAME else kept.outputs[index]
        if inputs is None or outputs is None or node.layer.joins:
            continue
        there, here = teacher.architecture.input_shapes(origin)[0], student.architecture.input_shapes(index)[0]
        own = network.layers[index].state_dict()
        for name, value in node.layer.inherited(teacher.layers[origin].state_dict(), there, here, inputs, outputs).items():
            own[name].copy_(value)  # a state dictionary holds the parameters themselves
            taken += value.numel()
    return taken


class Kept:
    """Which of the teacher's channels each of a student's layers puts out.

    Attributes:
        outputs: For each layer, indices into the channels of the teacher's space that it writes; None where nothing is known.
    """

    def __init__(self, student: Student, teacher: Network) -> None:
        self._student = student.architecture
        self._origins = student.origins
        self._teacher = teacher.architecture
        self._spaces = channel_spaces(self._teacher)  # of each of the teacher's layers
        best = _Best(self._student, self._origins, self._spaces, teacher)
        self._space: list[int] = []  # of each of the student's layers, in the teacher
        self.outputs: list[Tensor | None] = []
        self._carriers = [index for index, node in enumerate(self._student.nodes) if node.layer.carried(0) is not None]
        chosen: dict[tuple[int, int], Tensor | None] = {}
        for index, (node, origin) in enumerate(zip(self._student.nodes, self._origins, strict=True)):
            match node.layer.channels:
                case Channels.FREE:
                    space, width = self._spaces[origin], self._student.widths[index]
                    if (space, width) not in chosen:  # once: all that meet in a sum have the same
                        chosen[space, width] = best.channels(space, width, self._carried(space))
                    self._space.append(space)
                    self.outputs.append(chosen[space, width])
                case Channels.SAME | Channels.TIED:
                    source = node.inputs[0]
                    self._space.append(IMAGE if source == IMAGE else self._space[source])
                    self.outputs.append(self._read(index, 0) if source == IMAGE else self.outputs[source])
                case _:
                    self._space.append(self._spaces[origin])
                    self.outputs.append(self._moved(index))

    def _carried(self, space: int) -> tuple[int, Tensor] | None:
        """What a layer without weights carries into a space: from which place on, and which of the space's channels.

        None if there is no such layer, or what it reads is not known yet. Of several the first one counts.
        """
        for index in self._carriers:
            node, origin = self._student.nodes[index], self._origins[index]
            if self._spaces[origin] != space:
                continue
            source, before = node.inputs[0], self._teacher.nodes[origin]
            here = node.layer.carried(self._student.input_shape[0] if source == IMAGE else self._student.widths[source])
            there = before.layer.carried(self._width(before.inputs[0]))
            if here is None or there is None or (read := self._read(index, 0)) is None:
                continue
            lasting = read[read < len(there)][: len(here)]
            if len(lasting) == len(here) > 0:
                return here.start, lasting + there.start
        return None

    def inputs(self, index: int) -> Tensor | None:
        """Which of the channels that the teacher's layer reads a layer of the student reads."""
        return self._read(index, 0)

    def _read(self, index: int, place: int) -> Tensor | None:
        source = self._student.nodes[index].inputs[place]
        before = self._before(index)[place]
        if before is None:
            return None
        teachers = self._teacher.nodes[self._origins[index]].inputs[before]
        width = self._width(teachers)
        while source >= len(self.outputs):  # not reached yet, as a shortcut's layers are that stand behind its block's
            if self._student.nodes[source].layer.channels is not Channels.SAME:
                return None
            source = self._student.nodes[source].inputs[0]
        if source == IMAGE:
            return torch.arange(width) if teachers == IMAGE else None
        if self._space[source] == self._spaces[teachers]:
            return self.outputs[source]
        # what stood between them is gone: channel by channel, if there are as many
        return torch.arange(width) if self._student.widths[source] == width else None

    def _before(self, index: int) -> list[int | None]:
        """Which of the teacher's layer's inputs each input of a layer was, by its place; some of them may have gone."""
        inputs = self._student.nodes[index].inputs
        teachers = [self._spaces[i] for i in self._teacher.nodes[self._origins[index]].inputs]
        if len(teachers) == len(inputs):
            return list(range(len(inputs)))
        found: list[int | None] = []
        start = 0
        for source in inputs:
            space = IMAGE if source == IMAGE else self._space[source]
            known = teachers.index(space, start) if space in teachers[start:] else None
            found.append(known)
            start = start if known is None else known + 1
        return found

    def _moved(self, index: int) -> Tensor | None:
        """Of a layer that only moves channels: where what it puts out lies among what the teacher's layer puts out."""
        teachers = self._teacher.nodes[self._origins[index]]
        widths = [self._width(i) for i in teachers.inputs]
        parts = []
        for place, before in enumerate(self._before(index)):
            part = self._read(index, place)
            if part is None or before is None:
                return None
            parts.append(part + sum(widths[:before]))
        arrangement = self._student.nodes[index].layer.arrangement([len(part) for part in parts])
        teachers_own = torch.tensor(teachers.layer.arrangement(widths))
        found = torch.full((sum(widths),), -1)
        found[teachers_own] = torch.arange(len(teachers_own))
        places: Tensor = found[torch.cat(parts)[list(arrangement)]]
        return None if bool((places < 0).any()) else places

    def _width(self, index: int) -> int:
        """Channels of the output of one of the teacher's layers."""
        return self._teacher.input_shape[0] if index == IMAGE else self._teacher.widths[index]


class _Best:
    """The channels of each of the teacher's spaces with the largest weights in a student's layers."""

    def __init__(self, student: Architecture, origins: tuple[int, ...], spaces: Mapping[int, int], teacher: Network) -> None:
        self._norms: dict[int, Tensor] = {}
        self._multiples: dict[int, int] = {}
        multiples = output_multiples(teacher.architecture)
        nodes = teacher.architecture.nodes
        self._halved = {spaces[i] for node in nodes if node.layer.channels is Channels.PART for i in node.inputs}
        for node, origin in zip(student.nodes, origins, strict=True):
            if node.layer.channels is Channels.FREE:
                space, names = spaces[origin], teacher.layers[origin].state_dict()
                none = torch.zeros(teacher.architecture.widths[origin])
                norms = (value.abs().flatten(1).sum(1).cpu() for name, value in names.items() if name.endswith("weight"))
                self._norms[space] = self._norms.get(space, none) + next(norms, none)
                self._multiples[space] = multiples[origin]

    def channels(self, space: int, width: int, carried: tuple[int, Tensor] | None) -> Tensor | None:
        """So many channels of a space, from each of the groups that they are divided into as many; None if there are fewer.

        Of what is divided into parts that may meet again, the same ones of each. What is carried into the space has its place.
        """
        norms = self._norms[space]
        if width > len(norms):
            return None
        groups = self._multiples[space] if width % self._multiples[space] == 0 else 1
        if carried is not None and groups == 1:
            front, own = carried
            others = norms.index_fill(0, own, -1.0).argsort(descending=True, stable=True)[: width - len(own)].sort().values
            return torch.cat([others[:front], own, others[front:]])
        by_group = norms.reshape(groups, -1)
        if space in self._halved:
            by_group = by_group.sum(0).expand(groups, -1)
        order = by_group.argsort(descending=True, stable=True)[:, : width // groups]
        firsts = torch.arange(groups)[:, None] * (len(norms) // groups)
        return (order + firsts).flatten().sort().values
