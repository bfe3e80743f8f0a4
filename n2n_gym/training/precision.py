"""Which arithmetic a network is trained in: float32, or bfloat16 where this machine is faster in it and as good."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import avg_pool, batch_norm, conv, linear, relu
from n2n_gym.models.build import Network
from n2n_gym.system.device import one_thread
from n2n_gym.system.files import home, read_json, write_json
from n2n_gym.system.machine import processor

BF16_MACS = 2_000_000
"""From so many multiply-accumulates an image on, networks gain from bfloat16; smaller ones lose by the conversions."""

FASTER = 1.05
"""So many times faster must bfloat16 be to be worth its lower precision."""

CLOSE = 0.05
"""By at most this share may the losses differ after the check's few steps."""

IMAGES = {"cpu": 16, "cuda": 256}
"""Images in a step of the check: on a GPU enough that it computes, and does not only start kernels."""

STEPS = 20
"""Training steps of the check in either arithmetic, in turn."""


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, and does not only imitate it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())


def pays_in_bf16(architecture: Architecture) -> bool:
    """Whether a network is large enough to be trained in bfloat16, where that is faster."""
    return architecture.macs >= BF16_MACS


def bf16_is_faster(device: torch.device) -> bool:
    """Whether larger networks are trained in bfloat16 on this device.

    The first call on a machine measures it, a fraction of a second; the answer is kept in `$N2N_HOME/precision.json`, for it
    belongs to what students' results depend on. Remove the file to have it measured again.
    """
    if not has_bf16(device):
        return False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    key = f"{name or device.type}, torch {torch.__version__}"
    path = home() / "precision.json"
    known = _known(path)
    if key not in known:
        measured = compare_precisions(device)
        known = {key: measured, **_known(path)}  # another process may have measured meanwhile: the first verdict stays
        write_json(path, known)
    return bool(known[key]["bf16"])


def _known(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, "record of measured arithmetic")
    except InputError:
        return {}


def compare_precisions(device: torch.device) -> dict[str, Any]:
    """Train a small convolutional network on noise for a few steps in float32 and in bfloat16, by turns.

    Returns:
        Of `float32` and `bfloat16` the last loss and the seconds of the fastest step, which other work on the machine
        disturbs least; and the verdict, `bf16`.
    """
    with one_thread(device):
        noise = torch.Generator().manual_seed(0)
        count = IMAGES[device.type]
        images = torch.randn(count, 3, 32, 32, generator=noise).to(device, memory_format=torch.channels_last)
        labels = torch.randint(10, (count,), generator=noise).to(device)
        trials = {"float32": _Trial(images, labels, bf16=False), "bfloat16": _Trial(images, labels, bf16=True)}
        for _ in range(STEPS):
            for trial in trials.values():
                trial.step()
    seconds = {name: min(trial.seconds) for name, trial in trials.items()}
    losses = {name: trial.loss for name, trial in trials.items()}
    close = abs(losses["bfloat16"] - losses["float32"]) <= CLOSE * losses["float32"]
    faster = seconds["float32"] >= FASTER * seconds["bfloat16"]
    return {"bf16": close and faster, **{name: {"seconds": seconds[name], "loss": losses[name]} for name in trials}}


class _Trial:
    """One of the check's two trainings: three convolutions, 10 million multiply-accumulates an image."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, *, bf16: bool) -> None:
        layers = [
            each
            for filters, stride in ((32, 1), (64, 2), (128, 2))
            for each in (conv(filters, stride=stride), batch_norm(), relu())
        ]
        network = Network(
            Architecture.chain([*layers, avg_pool(), linear(10)], (3, 32, 32), 10),
            torch.Generator().manual_seed(1),  # both start from the same weights
        )
        self.network = network.to(images.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), fused=True)
        self.images, self.labels, self.bf16 = images, labels, bf16
        self.loss = 0.0
        self.seconds: list[float] = []

    def step(self) -> None:
        start = time.perf_counter()
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = self.network(self.images)
        loss = nn.functional.cross_entropy(outputs.float(), self.labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss = float(loss.detach())  # waits for a GPU
        self.seconds.append(time.perf_counter() - start)
