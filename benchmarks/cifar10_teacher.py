"""The teacher of the CIFAR-10 result: a ResNet-18 of half the width, trained with plain PyTorch on 45,000 images.

    python benchmarks/cifar10_teacher.py [--epochs 40] [--out FILE.json]

Stopped at any moment, the same command goes on after the last whole epoch. At the end the weights are written as float16
beside the figures; `n2n teacher import` takes them with this file's `resnet`:

    n2n teacher import benchmarks/cifar10_teacher.py:resnet --name cifar10-teacher \
        --weights benchmarks/results/cifar10-teacher.safetensors --dataset cifar10
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import torch
import tyro
from report import RESULTS, Report
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from n2n_gym.data import load_dataset
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import write_whole

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
BATCH, WEIGHT_DECAY, SMOOTHING, PADDING = 256, 5e-4, 0.1, 4
RISING = 0.2
"""Share of the steps in which the learning rate rises; in the others it falls to nothing."""


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """For images of 32 x 32 pixels."""

    def __init__(self, width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.Sequential(
            *(
                Block(sizes[stage] if block == 0 else sizes[stage + 1], sizes[stage + 1], 2 if stage and not block else 1)
                for stage in range(4)
                for block in range(2)
            )
        )
        self.classifier = nn.Linear(sizes[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.stem(images)))
        logits: Tensor = self.classifier(self.blocks(x).mean((2, 3)))
        return logits


def resnet() -> nn.Module:
    """ResNet-18 with half of the usual filters: 2.8 million parameters."""
    return ResNet18(width=32)


def prepared(images: np.ndarray, rows: np.ndarray) -> Tensor:
    """Normalised images, shape (N, 3, 32, 32)."""
    pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float() / 255
    return ((pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).contiguous(
        memory_format=torch.channels_last
    )


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image cropped at random out of its zero-padded self, and mirrored at random; the same on any device."""
    count, _, side, _ = images.shape
    padded = functional.pad(images, [PADDING] * 4)
    top, left = (torch.randint(2 * PADDING + 1, (count, 1), generator=generator) for _ in range(2))
    steps = torch.arange(side)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = left + torch.where(mirrored, side - 1 - steps, steps)
    image, row, column = (
        index.to(images.device) for index in (torch.arange(count)[:, None, None], (top + steps)[:, :, None], columns[:, None])
    )
    cropped = padded[image, :, row, column]
    return cropped.permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images that are classified correctly, computed in float32."""
    network.eval()
    right = sum(int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True))
    return right / len(labels)


def main(
    epochs: int = 40,
    out: Path = RESULTS / "cifar10-teacher.json",
    state: Path = Path("runs/cifar10-teacher.pt"),
    seed: int = 0,
    images: int | None = None,
    device: str = "auto",
    peak: float = 0.4,
    weights: Path | None = None,
) -> None:
    """Train.

    Args:
        epochs: Of one cycle of the learning rate.
        out: The figures' file; the weights are written beside it.
        state: File of the state after each epoch.
        seed: Of weights, order and augmentation.
        images: Training images, all of them by default.
        device: Where.
        peak: Highest learning rate.
        weights: What was trained before, for one more cycle; by default fresh ones.
    """
    where = torch_device(device)
    dataset = load_dataset("cifar10")
    train, validation = dataset.split(images)
    pixels, labels = dataset.train
    x, y = prepared(pixels, train).to(where), torch.from_numpy(labels[train]).to(where)
    torch.manual_seed(seed)
    network = resnet()
    if weights is not None:
        network.load_state_dict(load_file(weights))
    network = network.to(where).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), peak, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY, fused=True)
    batch = min(BATCH, len(x))
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=steps, pct_start=RISING, anneal_strategy="linear", cycle_momentum=False
    )
    state.parent.mkdir(parents=True, exist_ok=True)
    first, spent = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True, map_location=where)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first, spent = saved["epoch"], saved["seconds"]
    for epoch in range(first, epochs):
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        network.train()
        for rows in torch.randperm(len(x), generator=generator)[: len(x) // batch * batch].to(where).split(batch):
            with torch.autocast(where.type, torch.bfloat16):
                logits = network(augmented(x[rows], generator))
            loss = functional.cross_entropy(logits.float(), y[rows], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        spent += time.perf_counter() - start
        done = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch + 1,
            "seconds": spent,
        }
        write_whole(state, functools.partial(torch.save, done))
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}, {spent / (epoch + 1):.0f} s an epoch", flush=True)
    network.cpu()
    half = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    network.load_state_dict(half)  # what is kept is what is measured
    tested, truth = dataset.test
    report = Report("cifar10_teacher", ("parameters", "val_accuracy", "test_accuracy", "seconds"), out)
    report.add(
        "resnet18 x 0.5, cifar10",
        parameters=sum(p.numel() for p in network.parameters()),
        val_accuracy=accuracy(network, prepared(pixels, validation), torch.from_numpy(labels[validation])),
        test_accuracy=accuracy(network, prepared(tested, np.arange(len(tested))), torch.from_numpy(truth)),
        seconds=spent,
    )
    report.facts["recipe"] = {
        "epochs": epochs,
        "batch_size": batch,
        "optimizer": "sgd, Nesterov momentum 0.9",
        "schedule": f"one cycle, linear, peak {peak:g} after {RISING:.0%} of the steps",
        "weight_decay": WEIGHT_DECAY,
        "label_smoothing": SMOOTHING,
        "augmentation": f"random crops with {PADDING} pixels of padding, mirrored",
        "arithmetic": "bfloat16",
        "device": where.type,
        "images": len(x),
    }
    save_file({name: value.contiguous() for name, value in half.items()}, out.with_suffix(".safetensors"))
    report.finish()


if __name__ == "__main__":
    tyro.cli(main)
