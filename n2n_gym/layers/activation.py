"""Activations: what is done to each number by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

Range = tuple[float, float]

EVERYTHING = (-inf, inf)
"""The range of an activation that may put out any number."""


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """A function of each number by itself.

    Attributes:
        puts_out: Between what its outputs lie.
        leaves: Numbers between these it leaves as they are; none by default.
    """

    colour: ClassVar[str] = "#ccbb44"
    frames: ClassVar[bool] = True
    puts_out: ClassVar[Range] = EVERYTHING
    leaves: ClassVar[Range] = (inf, -inf)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def absorbed_by(self, before: Layer) -> bool:
        if not isinstance(before, Activation):
            return False  # a rectified number is rectified already
        return self.leaves[0] <= before.puts_out[0] and before.puts_out[1] <= self.leaves[1]

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        return Reading(cls())


@register
@dataclass(frozen=True, slots=True)
class Relu(Activation):
    """The rectifier."""

    kind: ClassVar[str] = "relu"
    code: ClassVar[int] = 3
    torch_names: ClassVar[tuple[str, ...]] = ("aten.relu.default", "aten.relu_.default")
    puts_out: ClassVar[Range] = (0, inf)
    leaves: ClassVar[Range] = (0, inf)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.ReLU()


@register
@dataclass(frozen=True, slots=True)
class Relu6(Activation):
    """The rectifier that is cut off at 6."""

    kind: ClassVar[str] = "relu6"
    code: ClassVar[int] = 10
    torch_names: ClassVar[tuple[str, ...]] = (
        "aten.relu6.default",
        "aten.relu6_.default",
        "aten.hardtanh.default",
        "aten.hardtanh_.default",
    )
    puts_out: ClassVar[Range] = (0, 6)
    leaves: ClassVar[Range] = (0, 6)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.ReLU6()

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        call.require(min_val=0, max_val=6)
        return Reading(cls())


@register
@dataclass(frozen=True, slots=True)
class LeakyRelu(Activation):
    """The rectifier that lets a little of what is negative through.

    Attributes:
        slope: So much of it.
    """

    kind: ClassVar[str] = "leaky_relu"
    code: ClassVar[int] = 11
    torch_names: ClassVar[tuple[str, ...]] = ("aten.leaky_relu.default", "aten.leaky_relu_.default")
    leaves: ClassVar[Range] = (0, inf)

    slope: float = 0.01

    def __post_init__(self) -> None:
        self._check_real("slope")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.LeakyReLU(self.slope)

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        return Reading(cls(call.arguments["negative_slope"]))


@register
@dataclass(frozen=True, slots=True)
class Elu(Activation):
    """The exponential linear unit.

    Attributes:
        alpha: Towards minus this it goes.
    """

    kind: ClassVar[str] = "elu"
    code: ClassVar[int] = 12
    torch_names: ClassVar[tuple[str, ...]] = ("aten.elu.default", "aten.elu_.default")
    leaves: ClassVar[Range] = (0, inf)

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._check_real("alpha")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.ELU(self.alpha)

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        call.require(scale=1, input_scale=1)
        return Reading(cls(call.arguments["alpha"]))


@register
@dataclass(frozen=True, slots=True)
class Silu(Activation):
    """Each number times its sigmoid."""

    kind: ClassVar[str] = "silu"
    code: ClassVar[int] = 13
    torch_names: ClassVar[tuple[str, ...]] = ("aten.silu.default", "aten.silu_.default")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.SiLU()


@register
@dataclass(frozen=True, slots=True)
class Gelu(Activation):
    """Each number times the normal distribution's share below it.

    Attributes:
        tanh: Whether that share is approximated by a hyperbolic tangent.
    """

    kind: ClassVar[str] = "gelu"
    code: ClassVar[int] = 14
    torch_names: ClassVar[tuple[str, ...]] = ("aten.gelu.default", "aten.gelu_.default")

    tanh: bool = False

    def __post_init__(self) -> None:
        self._check_flag("tanh")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.GELU("tanh" if self.tanh else "none")

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        return Reading(cls(call.arguments["approximate"] == "tanh"))


@register
@dataclass(frozen=True, slots=True)
class HardSwish(Activation):
    """SiLU, of straight pieces."""

    kind: ClassVar[str] = "hardswish"
    code: ClassVar[int] = 15
    torch_names: ClassVar[tuple[str, ...]] = ("aten.hardswish.default", "aten.hardswish_.default")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Hardswish()


@register
@dataclass(frozen=True, slots=True)
class HardSigmoid(Activation):
    """The sigmoid, of straight pieces."""

    kind: ClassVar[str] = "hardsigmoid"
    code: ClassVar[int] = 16
    torch_names: ClassVar[tuple[str, ...]] = ("aten.hardsigmoid.default", "aten.hardsigmoid_.default")
    puts_out: ClassVar[Range] = (0, 1)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Hardsigmoid()


@register
@dataclass(frozen=True, slots=True)
class Sigmoid(Activation):
    """The logistic function."""

    kind: ClassVar[str] = "sigmoid"
    code: ClassVar[int] = 17
    torch_names: ClassVar[tuple[str, ...]] = ("aten.sigmoid.default", "aten.sigmoid_.default")
    puts_out: ClassVar[Range] = (0, 1)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Sigmoid()


@register
@dataclass(frozen=True, slots=True)
class Tanh(Activation):
    """The hyperbolic tangent."""

    kind: ClassVar[str] = "tanh"
    code: ClassVar[int] = 18
    torch_names: ClassVar[tuple[str, ...]] = ("aten.tanh.default", "aten.tanh_.default")
    puts_out: ClassVar[Range] = (-1, 1)

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Tanh()


@register
@dataclass(frozen=True, slots=True)
class Mish(Activation):
    """Each number times the hyperbolic tangent of its softplus."""

    kind: ClassVar[str] = "mish"
    code: ClassVar[int] = 32
    torch_names: ClassVar[tuple[str, ...]] = ("aten.mish.default", "aten.mish_.default")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Mish()


@register
@dataclass(frozen=True, slots=True)
class Selu(Activation):
    """The exponential linear unit, scaled so that what it reads keeps its mean and deviation."""

    kind: ClassVar[str] = "selu"
    code: ClassVar[int] = 33
    torch_names: ClassVar[tuple[str, ...]] = ("aten.selu.default", "aten.selu_.default")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.SELU()


@register
@dataclass(frozen=True, slots=True)
class Celu(Activation):
    """The exponential linear unit whose slope has no step at 0.

    Attributes:
        alpha: Towards minus this it goes.
    """

    kind: ClassVar[str] = "celu"
    code: ClassVar[int] = 34
    torch_names: ClassVar[tuple[str, ...]] = ("aten.celu.default", "aten.celu_.default")
    leaves: ClassVar[Range] = (0, inf)

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._check_real("alpha")
        if self.alpha == 0:
            raise ValueError("celu layer: alpha must not be 0")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.CELU(self.alpha)

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        return Reading(cls(call.arguments["alpha"]))


@register
@dataclass(frozen=True, slots=True)
class Softplus(Activation):
    """The rectifier, rounded off.

    Attributes:
        beta: How sharply.
        threshold: Times beta above this, a number is left as it is.
    """

    kind: ClassVar[str] = "softplus"
    code: ClassVar[int] = 35
    torch_names: ClassVar[tuple[str, ...]] = ("aten.softplus.default",)
    puts_out: ClassVar[Range] = (0, inf)

    beta: float = 1.0
    threshold: float = 20.0

    def __post_init__(self) -> None:
        self._check_real("beta")
        self._check_real("threshold")
        if self.beta <= 0:
            raise ValueError("softplus layer: beta must be more than 0")

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Softplus(self.beta, self.threshold)

    @classmethod
    def read(cls, call: Call) -> Reading:
        call.value("self")
        return Reading(cls(call.arguments["beta"], call.arguments["threshold"]))


@register
@dataclass(frozen=True, slots=True)
class PRelu(Activation):
    """The rectifier that lets through a learned share of what is negative.

    Attributes:
        shared: Whether all channels have one share; each its own otherwise.
    """

    kind: ClassVar[str] = "prelu"
    code: ClassVar[int] = 19
    torch_names: ClassVar[tuple[str, ...]] = ("aten.prelu.default",)
    leaves: ClassVar[Range] = (0, inf)

    shared: bool = True

    def __post_init__(self) -> None:
        self._check_flag("shared")

    def parameters(self, inputs: Sequence[Shape]) -> int:
        return 1 if self.shared else inputs[0][0]

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.PReLU(1 if self.shared else inputs[0][0])

    def inherited(
        self, weights: Mapping[str, Tensor], there: Shape, here: Shape, inputs: Tensor, outputs: Tensor
    ) -> dict[str, Tensor]:
        return dict(weights) if self.shared else {"weight": weights["weight"][outputs]}

    @classmethod
    def read(cls, call: Call) -> Reading:
        weights, shared = call.weights(weight="weight"), call.arguments["weight"].shape == (1,)
        source = call.value("self") if shared else call.by_channel("self")
        if source.channels_last and not shared:
            raise Unreadable("a learned share for each place along a side of the feature map")
        return Reading(cls(shared), weights=weights)


def relu() -> Relu:
    """The rectifier."""
    return Relu()
