"""Which arithmetic a network is trained in: float32, or bfloat16 where the machine has instructions for it.

What a machine has, never how fast it was when somebody looked: results depend on the arithmetic, and must not depend on what
else ran.
"""

from __future__ import annotations

import torch

from n2n_gym.architecture import Architecture

BF16_MACS = 2_000_000
"""From so many multiply-accumulates an image on, networks gain from bfloat16; smaller ones lose by the conversions."""


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, and does not only imitate it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())


def pays_in_bf16(architecture: Architecture, device: torch.device) -> bool:
    """Whether a network gains from bfloat16, where there is such: it is large enough.

    On a CPU none with divided convolutions does, depthwise ones among them: they are slower than in float32 (docs/speed.md).
    """
    slow = device.type == "cpu" and any(node.layer.divided for node in architecture.nodes)
    return architecture.macs >= BF16_MACS and not slow
