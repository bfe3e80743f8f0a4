"""Normalisation, and the learned scale that comes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import FLOAT_BYTES, Layer, Shape, register
from n2n_gym.layers.reading import Call, Operand, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

COUNTER_BYTES = 8
"""Batch normalisation counts its batches in 64 bits."""


MOMENTUM = 0.1
"""How much of the running statistics each batch replaces where a network does not say: torch's."""


@register
@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """Batch normalisation over the channels.

    Attributes:
        eps: What is added to a variance before its root is taken.
        momentum: How much of the running statistics each batch replaces.
        affine: Whether it has a learned scale and shift.
    """

    kind: ClassVar[str] = "batch_norm"
    code: ClassVar[int] = 2
    colour: ClassVar[str] = "#66ccee"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.batch_norm.default",)

    eps: float = 1e-5
    momentum: float = MOMENTUM
    affine: bool = True

    def __post_init__(self) -> None:
        self._check_real("eps", least=0)
        self._check_real("momentum", least=0, most=1)
        self._check_flag("affine")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0] if self.affine else 0

    def buffer_bytes(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0] * FLOAT_BYTES + COUNTER_BYTES

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.BatchNorm2d(inputs[0][0], self.eps, self.momentum, self.affine)

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        return {name: value[outputs] if value.dim() else value for name, value in weights.items()}

    @classmethod
    def read(cls, call: Call) -> Reading:
        if call.by_channel("input").channels_last:
            raise Unreadable("batch normalisation of what has its channels last")
        weights = call.weights(weight="weight", bias="bias", running_mean="running_mean", running_var="running_var")
        if call.arguments["training"] or "running_mean" not in weights:
            raise Unreadable("batch normalisation without running statistics")
        if ("weight" in weights) != ("bias" in weights):
            raise Unreadable("batch normalisation with a scale or a shift alone")
        # torch hands 0 on for `momentum=None`, a mean over all batches; with it students' statistics would never move
        momentum = call.arguments["momentum"] or MOMENTUM
        layer = cls(call.arguments["eps"], momentum, affine="weight" in weights)
        return Reading(layer, ("input",), weights)


@register
@dataclass(frozen=True, slots=True)
class LayerNorm(Layer):
    """Normalisation of each pixel over its channels.

    Attributes:
        eps: What is added to a variance before its root is taken.
        scale: Whether it has a learned scale for each channel.
        shift: Whether it has, beside the scale, a learned shift for each channel.
    """

    kind: ClassVar[str] = "layer_norm"
    code: ClassVar[int] = 20
    colour: ClassVar[str] = "#66ccee"
    torch_names: ClassVar[tuple[str, ...]] = ("aten.layer_norm.default",)

    eps: float = 1e-5
    scale: bool = True
    shift: bool = True

    def __post_init__(self) -> None:
        self._check_real("eps", least=0)
        self._check_flag("scale")
        self._check_flag("shift")
        if self.shift and not self.scale:
            raise ValueError("layer_norm layer: torch knows no shift without a scale")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return (self.scale + self.shift) * inputs[0][0]

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import ChannelNorm

        return ChannelNorm(inputs[0][0], self.eps, self.scale, self.shift)

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        return {name: value[outputs] for name, value in weights.items()}

    @classmethod
    def read(cls, call: Call) -> Reading:
        source = call.by_channel("input")
        if len(call.arguments["normalized_shape"]) != 1 or (len(source.shape) != 2 and not source.channels_last):
            raise Unreadable("layer normalisation over other axes than the channels")
        weights = call.weights(weight="weight", bias="bias")
        if "bias" in weights and "weight" not in weights:
            raise Unreadable("layer normalisation with a shift and no scale")
        return Reading(cls(call.arguments["eps"], "weight" in weights, "bias" in weights), ("input",), weights)


@register
@dataclass(frozen=True, slots=True)
class Scale(Layer):
    """Each channel times a number of its own.

    Attributes:
        shared: Whether all channels have one number.
        trained: Whether the numbers are learned; constants of the network otherwise.
    """

    kind: ClassVar[str] = "scale"
    code: ClassVar[int] = 21
    colour: ClassVar[str] = "#66ccee"

    shared: bool = False
    trained: bool = True

    def __post_init__(self) -> None:
        self._check_flag("shared")
        self._check_flag("trained")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def _numbers(self, inputs: Sequence[Shape]) -> int:
        return 1 if self.shared else inputs[0][0]

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return self._numbers(inputs) if self.trained else 0

    def buffer_bytes(self, inputs: Sequence[Shape]) -> int:
        return 0 if self.trained else FLOAT_BYTES * self._numbers(inputs)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import ChannelScale

        return ChannelScale(self._numbers(inputs), self.trained)

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        return dict(weights) if self.shared else {"weight": weights["weight"][outputs]}

    @classmethod
    def read_product(cls, features: Operand, factor: Operand, argument: str) -> Reading:
        """A feature map times weights.

        Args:
            features: The map.
            factor: The weights.
            argument: The map's name among the call's arguments.

        Raises:
            Unreadable: If there is not one number in all, or one for each channel.
        """
        assert factor.weights is not None
        numbers, channels = prod(factor.shape), features.shape[features.axis]
        place = features.axis - len(features.shape) + len(factor.shape)  # of the channels, among the weights' axes
        if numbers > 1 and (numbers != channels or place < 0 or factor.shape[place] != channels):
            raise Unreadable(f"multiplication by weights of shape {factor.shape}, which are not one for each channel")
        layer = cls(shared=numbers == 1 and channels > 1, trained=factor.trained)
        return Reading(layer, (argument,), {"weight": factor.weights})


def batch_norm(eps: float = 1e-5, momentum: float = MOMENTUM) -> BatchNorm:
    """Batch normalisation over the channels, with its learned scale and shift."""
    return BatchNorm(eps, momentum)
