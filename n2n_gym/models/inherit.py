"""A student that starts from its teacher's weights instead of fresh ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.architecture.channels import channel_spaces
from n2n_gym.layers import Channels
from n2n_gym.models.build import Network
from n2n_gym.student import Student


@torch.no_grad()
def inherit(network: Network, student: Student, teacher: Network) -> int:
    """Give a student's network the weights that its layers had in the teacher, as far as they fit; the others stay fresh.

    Of a layer that was shrunk the channels with the largest weights are kept, by their L1 norm, the same ones in all layers
    that meet in a sum; kernels are cropped at the centre.

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
    kept = _Kept(student, teacher)
    taken = 0
    for index, (node, origin) in enumerate(zip(student.architecture.nodes, student.origins, strict=True)):
        inputs, outputs = kept.inputs(index), kept.outputs[index]
        if inputs is None or outputs is None or node.layer.joins:
            continue
        there, here = teacher.architecture.input_shapes(origin)[0], student.architecture.input_shapes(index)[0]
        own = network.layers[index].state_dict()
        for name, value in node.layer.inherited(teacher.layers[origin].state_dict(), there, here, inputs, outputs).items():
            own[name].copy_(value)  # a state dictionary holds the parameters themselves
            taken += value.numel()
    return taken


class _Kept:
    """Which of the teacher's channels each of a student's layers puts out.

    Attributes:
        outputs: For each layer, indices into the channels of the teacher's space that it writes; None where nothing is known.
    """

    def __init__(self, student: Student, teacher: Network) -> None:
        self._student = student.architecture
        self._origins = student.origins
        self._teacher = teacher.architecture
        self._spaces = channel_spaces(self._teacher)  # of each of the teacher's layers
        best = _by_importance(self._student, self._origins, self._spaces, teacher)
        self._space: list[int] = []  # of each of the student's layers, in the teacher
        self.outputs: list[Tensor | None] = []
        for index, (node, origin) in enumerate(zip(self._student.nodes, self._origins, strict=True)):
            width = self._student.widths[index]
            match node.layer.channels:
                case Channels.FREE:
                    order = best[self._spaces[origin]]
                    self._space.append(self._spaces[origin])
                    self.outputs.append(order[:width].sort().values if width <= len(order) else None)
                case Channels.STACKED:
                    self._space.append(self._spaces[origin])
                    self.outputs.append(self._stacked(index))
                case _:
                    source = node.inputs[0]
                    self._space.append(IMAGE if source == IMAGE else self._space[source])
                    self.outputs.append(self._read(index, 0) if source == IMAGE else self.outputs[source])

    def inputs(self, index: int) -> Tensor | None:
        """Which of the channels that the teacher's layer reads a layer of the student reads."""
        return self._read(index, 0)

    def _read(self, index: int, branch: int) -> Tensor | None:
        source = self._student.nodes[index].inputs[branch]
        before = self._teacher.nodes[self._origins[index]].inputs[branch]
        width = self._teacher.input_shape[0] if before == IMAGE else self._teacher.widths[before]
        if source == IMAGE:
            return torch.arange(width) if before == IMAGE else None
        if self._space[source] == self._spaces[before]:
            return self.outputs[source]
        # what stood between them is gone: channel by channel, if there are as many
        return torch.arange(width) if self._student.widths[source] == width else None

    def _stacked(self, index: int) -> Tensor | None:
        parts, offset = [], 0
        for branch, before in enumerate(self._teacher.nodes[self._origins[index]].inputs):
            part = self._read(index, branch)
            if part is None:
                return None
            parts.append(part + offset)
            offset += self._teacher.input_shape[0] if before == IMAGE else self._teacher.widths[before]
        return torch.cat(parts)


def _by_importance(
    student: Architecture, origins: tuple[int, ...], spaces: Mapping[int, int], teacher: Network
) -> dict[int, Tensor]:
    """The channels of each of the teacher's spaces, those with the largest weights in the student's layers first."""
    norms: dict[int, list[Tensor]] = defaultdict(list)
    for node, origin in zip(student.nodes, origins, strict=True):
        if node.layer.channels is Channels.FREE:
            weight = next(value for name, value in teacher.layers[origin].state_dict().items() if name.endswith("weight"))
            norms[spaces[origin]].append(weight.abs().flatten(1).sum(1).cpu())
    return {space: torch.stack(found).sum(0).argsort(descending=True, stable=True) for space, found in norms.items()}
