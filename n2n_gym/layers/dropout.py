"""What is left out in training, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from n2n_gym.layers.base import Layer, Shape, register
from n2n_gym.layers.reading import Call, Reading, Unreadable
from n2n_gym.layers.verdict import Verdict

if TYPE_CHECKING:
    from torch import nn

SCOPES = {"numbers": 4, "channels": 2, "images": 1}
"""What dropout leaves out as a whole: single numbers, channels of an image, or all that a branch makes of an image.

With each, how many of a batch's axes it is drawn for.
"""


@register
@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """In training, zeros in the place of a share of what it reads; the rest is made larger by as much.

    Attributes:
        share: Which share.
        scope: One of `SCOPES`, what is left out as a whole; `images` on the branch of a block is stochastic depth.
    """

    kind: ClassVar[str] = "dropout"
    code: ClassVar[int] = 31
    colour: ClassVar[str] = "#dddddd"
    torch_names: ClassVar[tuple[str, ...]] = (
        "aten.dropout.default",
        "aten.dropout_.default",
        "aten.feature_dropout.default",
        "aten.feature_dropout_.default",
    )

    share: float = 0.5
    scope: str = "numbers"

    def __post_init__(self) -> None:
        self._check_real("share", least=0, most=1)
        if self.scope not in SCOPES:
            raise ValueError(f"dropout layer: scope must be one of {', '.join(SCOPES)}, not {self.scope!r}")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape | Verdict:
        return inputs[0]

    def module(self, inputs: Sequence[Shape]) -> nn.Module:
        from n2n_gym.layers.modules import OwnDropout

        return OwnDropout(self.share, SCOPES[self.scope])

    @classmethod
    def read(cls, call: Call) -> Reading:
        source = "input" if "input" in call.arguments else "self"  # torch calls it otherwise where it works in place
        call.value(source)
        if call.arguments["train"] and call.arguments["p"]:
            raise Unreadable("it leaves out numbers in evaluation, too; give F.dropout training=self.training")
        scope = "channels" if "feature" in call.name else "numbers"
        return Reading(cls(call.arguments["p"], scope) if call.arguments["p"] else None, (source,))
