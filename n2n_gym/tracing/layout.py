"""How a value of a traced program lies: which number of a layer's output each of its numbers is.

Views compute nothing, so they are run, whatever they are called, on the numbers' places instead of on the numbers; what comes
out is compared with the few orders that layers can read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from n2n_gym.layers import Shape

BATCH = 2
"""Images in the example that is traced: of a single one, torch would forget that it is a batch."""


class Order(Enum):
    """An order in which layers can read numbers."""

    MAP = auto()
    """(channels, height, width)."""
    CHANNELS_LAST = auto()
    """(height, width, channels)."""
    ROW = auto()
    """(channels * height * width,)."""
    PIXELS = auto()
    """(channels, height * width): what reads a whole map at once can read it."""
    SPREAD = auto()
    """(channels, height, width) of one number per channel: a broadcast written out."""


@dataclass(frozen=True)
class Value:
    """What a name in the program stands for.

    Attributes:
        node: Index of the layer whose output it is, or `IMAGE`.
        shape: That output's shape.
        order: How it lies; None if no layer can read it so.
        view: The places of its numbers in the output, int64, without the batch; only where order and shape do not say them.
    """

    node: int
    shape: Shape
    order: Order | None = Order.MAP
    view: Tensor | None = None

    @cached_property
    def places(self) -> Tensor:
        """Which number of the layer's output each of its numbers is, int64, without the batch."""
        if self.view is not None:
            return self.view
        whole = torch.arange(prod(self.shape)).view(self.shape)
        orders = {Order.CHANNELS_LAST: whole.permute(1, 2, 0), Order.ROW: whole.flatten(), Order.PIXELS: whole.flatten(1)}
        return orders.get(self.order or Order.MAP, whole)

    @property
    def whole(self) -> bool:
        """Whether each number of the layer's output is among its own."""
        shown = torch.zeros(prod(self.shape), dtype=torch.bool)
        shown[self.places.flatten()] = True
        return bool(shown.all())

    def viewed(self, view: Callable[[Tensor], Tensor]) -> Value | None:
        """The value after a view; None if it leaves nothing over, or mixes the images of a batch."""
        size = prod(self.shape)
        batch = self.places[None] + size * torch.arange(BATCH).view(-1, *[1] * self.places.dim())
        seen = view(batch.contiguous())
        if seen.numel() == 0 or seen.dim() == 0 or len(seen) != BATCH or not torch.equal(seen[0] + size, seen[1]):
            return None
        return self.lying(seen[0].contiguous())

    def lying(self, places: Tensor) -> Value:
        """The same output with its numbers at these places."""
        for order in (Order.MAP, Order.ROW, Order.CHANNELS_LAST, Order.PIXELS):
            rival = Value(self.node, self.shape, order)
            if rival.places.shape == places.shape and torch.equal(rival.places, places):
                return rival
        channels, height, width = self.shape
        if places.dim() == 3 and (height, width) == (1, 1) and len(places) == channels:
            spread = torch.arange(channels).view(-1, 1, 1).expand(places.shape)
            if torch.equal(spread, places):
                return Value(self.node, self.shape, Order.SPREAD, places)
        return Value(self.node, self.shape, None, places)

    @property
    def shuffled(self) -> int:
        """How many groups the channels were dealt out from, for a map whose channels are shuffled so; 0 for any other."""
        channels = self.shape[0]
        if self.view is None or self.view.shape != self.shape:
            return 0
        whole = torch.arange(prod(self.shape)).view(self.shape)
        for groups in range(2, channels):
            if channels % groups == 0:
                dealt = whole.unflatten(0, (groups, -1)).transpose(0, 1).flatten(0, 1)
                if torch.equal(dealt, self.view):
                    return groups
        return 0


def order_of(program: tuple[int, ...], shape: Shape, *, channels_last: bool) -> Order | None:
    """How a layer's output lies in the program.

    Args:
        program: The output's shape there, without the batch.
        shape: The output's shape here.
        channels_last: Whether the layer's inputs have their channels last.

    Returns:
        None if it does not fit.
    """
    channels, height, width = shape
    if channels_last and program == (height, width, channels):
        return Order.CHANNELS_LAST
    if program == shape:
        return Order.MAP
    return Order.ROW if program == (prod(shape),) else None
