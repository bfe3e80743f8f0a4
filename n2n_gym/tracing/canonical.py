"""One way to write a graph: without what the output does not need, the same whichever operand of a sum came first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from n2n_gym.architecture import IMAGE
from n2n_gym.layers import Add
from n2n_gym.tracing.reader import Layered


def canonical(layers: Sequence[Layered], output: int) -> list[Layered]:
    """The layers that the output needs, in canonical order.

    Of a sum's operands the one with more layers behind it comes first, as a branch comes before its shortcut; among equals,
    the one whose layers' digest is smaller. Layers stand in the order in which walking back from the output, first operand
    first, finishes them.

    Args:
        layers: In an order in which each reads earlier ones.
        output: Index of the one that puts out the logits.
    """
    keys: list[tuple[int, str]] = []  # layers behind, negative, and a digest of all that it depends on
    ordered: list[Layered] = []
    for layer in layers:
        inputs = layer.inputs
        if isinstance(layer.layer, Add):
            inputs = tuple(sorted(inputs, key=lambda i: (0, "") if i == IMAGE else keys[i]))
        behind = [(0, "") if i == IMAGE else keys[i] for i in inputs]
        text = f"{layer.layer!r} {[digest for _, digest in behind]}"
        keys.append((min(depth for depth, _ in behind) - 1, hashlib.sha256(text.encode()).hexdigest()))
        ordered.append(replace(layer, inputs=inputs))
    places: dict[int, int] = {IMAGE: IMAGE}
    found: list[Layered] = []
    waiting = [output]
    while waiting:
        index = waiting[-1]
        before = [i for i in ordered[index].inputs if i not in places]
        if before:
            waiting += reversed(before)
            continue
        waiting.pop()
        if index not in places:
            places[index] = len(found)
            found.append(replace(ordered[index], inputs=tuple(places[i] for i in ordered[index].inputs)))
    return found
