"""x_t: a decision as a row of numbers (sections 3.2.1 and 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from n2n_gym.architecture.graph import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import MOST_CODES, Variable

COLUMNS = {
    "type": float(MOST_CODES),
    "kernel": 64.0,
    "stride": 64.0,
    "padding": 64.0,
    "outputs": 65_536.0,
    "skip_start": 1_024.0,
    "skip_end": 1_024.0,
    "variable": float(len(Variable) - 1),
    "decision": 10.0,
}
"""The columns of a row and the largest value each can have; the smallest is 0.

`type` to `outputs` are the layer's l (its kind's `code`), k, s, p and n, 0 where its kind has none. On a branch of a block,
`skip_start` counts the layers since the shortcut began (1 for the block's first) and `skip_end` those until the block ends (1
for its last); elsewhere both are 0. `variable` says what is decided: the layer itself (0), its kernel (1), its padding (2) or
its outputs (3). `decision` is 0 until the decision is made, then action + 1.
"""

DECISION = list(COLUMNS).index("decision")

HIGH = np.array(list(COLUMNS.values()), dtype=np.float32)

Rows = npt.NDArray[np.float32]


def decision_rows(architecture: Architecture, layers: Sequence[int], variables: Sequence[Variable]) -> Rows:
    """One row per decision, in plain numbers, nothing decided yet.

    Args:
        architecture: What the decisions are about.
        layers: The layer each decision is about.
        variables: What of that layer is decided.

    Returns:
        Shape (decisions, columns), dtype float32.

    Raises:
        ValueError: If a layer's number lies beyond the bound that the observation space documents.
    """
    skips: dict[int, tuple[int, int]] = {}
    for block in reversed(architecture.blocks):  # of nested blocks, the inner one (closed first) counts
        for position, member in enumerate(block.path):
            skips[member] = (position + 1, len(block.path) - position)
    rows = np.zeros((len(layers), len(COLUMNS)), dtype=np.float32)
    for row, index, variable in zip(rows, layers, variables, strict=True):
        layer = architecture.nodes[index].layer
        skip = skips.get(index, (0, 0))
        row[:DECISION] = (layer.code, *layer.observed, *skip, variable)
    if (rows > HIGH).any():
        worst = list(COLUMNS)[int(np.argmax((rows > HIGH).any(axis=0)))]
        raise InputError(
            f"a layer's {worst} exceeds {COLUMNS[worst]:.0f}, the most that an observation can show; take a narrower network"
        )
    return rows


def standard_scores(known: Any) -> Any:
    """Each column as standard scores over the network's decisions; a column without variation becomes 0.

    Rows hold plain numbers, a filter count of 128 beside a padding of 1. Whoever reads them scales them: relative to the
    network's own layers they tell its layers apart and mean the same for networks of any depth and width.

    Args:
        known: Columns before `decision`, shape (..., decisions, columns), as a NumPy array or a torch tensor.

    Returns:
        The same shape and type; values lie within the square root of the number of decisions.
    """
    centred = known - known.mean(axis=-2, keepdims=True)
    deviation = (centred**2).mean(axis=-2, keepdims=True) ** 0.5
    return centred / (deviation + (deviation < 1e-6))
