"""Architecture -> torch module."""

from __future__ import annotations

from torch import Tensor, nn

from n2n_gym.architecture import IMAGE, Architecture


class Network(nn.Module):
    """The network that an architecture describes, with freshly initialised weights (torch's defaults).

    Takes images of shape (N, channels, height, width), normalised; puts out logits of shape (N, classes).

    Args:
        architecture: What to build.

    Raises:
        ValueError: If the architecture is degenerate.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        if not (verdict := architecture.verdict()).feasible:
            raise ValueError(f"cannot build a degenerate architecture: {verdict}")
        self.architecture = architecture
        self.layers = nn.ModuleList(
            node.layer.module(architecture.input_shapes(i)) for i, node in enumerate(architecture.nodes)
        )

    def forward(self, images: Tensor) -> Tensor:
        values = {IMAGE: images}
        for index, (node, layer) in enumerate(zip(self.architecture.nodes, self.layers, strict=True)):
            values[index] = layer(*(values[i] for i in node.inputs))
            for i in self.architecture.last_uses[index]:  # a feature map is let go as soon as nothing reads it any more
                del values[i]
        return values[len(self.layers) - 1].flatten(1)
