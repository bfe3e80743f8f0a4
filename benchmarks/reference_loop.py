"""The loop of the paper's published code, as the line that the evaluator is measured against.

One DataLoader worker turns images one by one, through PIL, into tensors; each batch passes the teacher once and then all
students of a rollout batch, one after the other; after each epoch, and once more at the end, every student sees the
held-out images through the same loader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from n2n_gym.data import DatasetSpec, load_dataset
from n2n_gym.models.build import Network
from n2n_gym.problem import Problem
from n2n_gym.student import Student


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Images that are transformed one by one."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], transform: Callable[[Any], Any]) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = self.images[index]
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self.transform(picture), int(self.labels[index])


def _transform(spec: DatasetSpec, side: tuple[int, int], *, augment: bool) -> Callable[[Any], Any]:
    steps: list[Any] = []
    if augment and spec.crop_padding:
        steps.append(transforms.RandomCrop(32, padding=spec.crop_padding))
    if augment and spec.flip:
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.Resize(side), transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    composed: Callable[[Any], Any] = transforms.Compose(steps)
    return composed


class ReferenceLoop:
    """Trains students as the paper's code does, those of a rollout batch together.

    Args:
        problem: Teacher and data.
        teacher: The trained teacher.
        batch_size: Images a step.
        device: Where.
        epochs: Passes over the images.
        seed: Of initial weights and order of images.

    Attributes:
        test_seconds: Time that went into held-out images so far.
    """

    def __init__(
        self,
        problem: Problem,
        teacher: nn.Module,
        *,
        batch_size: int,
        device: torch.device,
        epochs: int = 5,
        seed: int = 0,
    ) -> None:
        dataset = load_dataset(problem.data)
        train, validation = dataset.split(problem.train_size)
        images, labels = dataset.train
        side = problem.architecture.input_shape[1:]
        self.teacher = teacher.to(device).eval()
        self.device = device
        self.epochs = epochs
        pictures = Pictures(images[train], labels[train], _transform(dataset.spec, side, augment=True))
        held_out = Pictures(images[validation], labels[validation], _transform(dataset.spec, side, augment=False))
        torch.manual_seed(seed)
        self.train_loader = DataLoader(pictures, batch_size, shuffle=True, num_workers=1)
        self.test_loader = DataLoader(held_out, batch_size, num_workers=1)
        self.test_seconds = 0.0

    def evaluate(self, students: Sequence[Student]) -> list[float]:
        """Held-out accuracies of a rollout batch's students."""
        networks = [Network(student.architecture).to(self.device) for student in students]
        optimizers = [torch.optim.Adam(n.parameters(), lr=5e-4, weight_decay=5e-4) for n in networks]
        for _ in range(self.epochs):
            for network in networks:
                network.train()
            for images, _ in self.train_loader:
                images = images.to(self.device)
                with torch.no_grad():
                    targets = self.teacher(images)
                for network, optimizer in zip(networks, optimizers, strict=True):
                    optimizer.zero_grad()
                    F.mse_loss(network(images), targets).backward()
                    optimizer.step()
            self._test(networks)
        return self._test(networks)

    def _test(self, networks: Sequence[nn.Module]) -> list[float]:
        start = time.perf_counter()
        accuracies = self._accuracies(networks)
        self.test_seconds += time.perf_counter() - start
        return accuracies

    @torch.no_grad()
    def _accuracies(self, networks: Sequence[nn.Module]) -> list[float]:
        correct = [0] * len(networks)
        total = 0
        for network in networks:
            network.eval()
        for images, labels in self.test_loader:
            images, labels = images.to(self.device), labels.to(self.device)
            total += len(labels)
            for i, network in enumerate(networks):
                correct[i] += int((network(images).argmax(1) == labels).sum())
        return [count / total for count in correct]
