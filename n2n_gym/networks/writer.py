"""Writes networks layer by layer."""

from __future__ import annotations

from n2n_gym.architecture import Architecture, Node
from n2n_gym.layers import Layer, Shape


class NetworkWriter:
    """Nodes, written one after the other; `after` and `join` return where their output is."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []

    def after(self, source: int, *layers: Layer) -> int:
        """Layers in a row."""
        for layer in layers:
            source = self.join(layer, source)
        return source

    def join(self, layer: Layer, *sources: int) -> int:
        """A layer that reads one or several others."""
        self._nodes.append(Node(layer, sources))
        return len(self._nodes) - 1

    def written(self, input_shape: Shape, classes: int) -> Architecture:
        """The network that was written."""
        return Architecture(tuple(self._nodes), input_shape, classes)
