"""Which values of a traced program lie in the same memory: what is done to one in place is done to the others."""

from __future__ import annotations

import torch
from torch import Tensor, fx


def storage_of(node: fx.Node) -> int:
    """A number for the memory in which a value lies; those of a program that share it have the same.

    What the program was traced with tells, not the operator's name: a reshape or `contiguous` copies only where it must.
    """
    number: int = _tensor(node).untyped_storage()._cdata
    return number


def overlap(one: fx.Node, other: fx.Node) -> bool:
    """Whether two values in the same memory have a number in common."""
    shown, beside = _tensor(one), _tensor(other)
    numbers = torch.zeros(shown.untyped_storage().nbytes() // shown.element_size(), dtype=torch.bool)
    _within(numbers, shown).fill_(True)
    return bool(_within(numbers, beside).any())


def _tensor(node: fx.Node) -> Tensor:
    tensor: Tensor = node.meta["val"]
    return tensor


def _within(numbers: Tensor, value: Tensor) -> Tensor:
    return numbers.as_strided(value.shape, value.stride(), value.storage_offset())
