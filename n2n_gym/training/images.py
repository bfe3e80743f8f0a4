"""A data set's images and labels on a device."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from n2n_gym.data import Dataset, Images, Rows, load_dataset
from n2n_gym.layers import Shape
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.models.preprocessing import Batches, Preprocessing, View
from n2n_gym.networks.imported import Normalisation
from n2n_gym.problem import Problem


@dataclass(frozen=True)
class Score:
    """How well a network classifies some images.

    Attributes:
        accuracy: Share of them that it classifies correctly.
        class_accuracy: The same for the images of each class; 0 for a class without any.
    """

    accuracy: float
    class_accuracy: tuple[float, ...] = ()


KEPT_ON_DISK = 2**28
"""From so many bytes on, images are read from their file batch by batch when a CPU trains on them: processes share its pages,
which are given up when memory is short."""


PREPARED_AT_ONCE = 2**30
"""Of so many bytes, at most, all images of a view are prepared at once on a GPU."""

VIEWS_READY = 2
"""Views that are kept prepared: trainings in turns are in one epoch, or in two while only some have ended one."""


class Pixels:
    """Images in the memory of a device, or in a file that is mapped into memory.

    Args:
        images: All images of a data set's split, shape (N, H, W, C).
        rows: Which of them; all by default.
        device: Where batches are wanted.

    Attributes:
        on_disk: Whether they are read from their file when they are needed.
    """

    def __init__(self, images: Images, rows: Rows | None = None, *, device: torch.device) -> None:
        self._rows = np.arange(len(images)) if rows is None else rows
        self.on_disk = device.type == "cpu" and len(self._rows) * images[:1].nbytes >= KEPT_ON_DISK
        self._images = images if self.on_disk else _tensor(images if rows is None else images[rows]).to(device)

    def __len__(self) -> int:
        return len(self._rows)

    def first(self, count: int) -> Pixels:
        """So many of them, from the first on."""
        some = copy.copy(self)
        some._rows = self._rows[:count]
        if isinstance(self._images, Tensor):
            some._images = self._images[:count]
        return some

    def __getitem__(self, indices: Tensor) -> Tensor:
        """The images with these indices as uint8, shape (n, C, H, W)."""
        if isinstance(self._images, Tensor):
            return self._images[indices]
        return _tensor(self._images[self._rows[indices.numpy()]])


class ImageData:
    """A data set's images and labels on a device, ready for one kind of network.

    Args:
        dataset: Where they come from.
        input_shape: What the network reads.
        train_size: How many training images are used; all by default.
        device: Where they are kept, as uint8, unless they are very large.
        normalisation: Mean and deviation that they go through; the data set's by default.
    """

    def __init__(
        self,
        dataset: Dataset,
        input_shape: Shape,
        *,
        train_size: int | None,
        device: torch.device,
        normalisation: Normalisation | None = None,
    ) -> None:
        self.spec = dataset.spec
        self.device = device
        mean, std = normalisation or (dataset.spec.mean, dataset.spec.std)
        self.preprocessing = Preprocessing(mean, std, input_shape[1:], dataset.spec.input_shape[1:]).to(device)
        train, validation = dataset.split(train_size)
        images, labels = dataset.train
        self.train_images = Pixels(images, train, device=device)
        self.train_labels = torch.from_numpy(labels[train]).to(device)
        self.validation_images = Pixels(images, validation, device=device)
        self.validation_labels = torch.from_numpy(labels[validation]).to(device)
        self.dataset = dataset
        self._ready: dict[int, Tensor] = {}

    @property
    def evaluation_batch(self) -> int:
        """Images at a time where nothing is learned: more leave a CPU's caches and take up to twice as long."""
        return 1_000 if self.device.type == "cuda" else 125

    @classmethod
    def of(cls, problem: Problem, device: torch.device) -> ImageData:
        """The images as a problem's teacher and its students read them."""
        return cls(
            load_dataset(problem.data),
            problem.architecture.input_shape,
            train_size=problem.train_size,
            device=device,
            normalisation=problem.normalisation,
        )

    def stretch(self, epoch: int, images: int | None) -> Tensor:
        """Indices of the training images of that epoch: all, or so many, from where the epoch before ended.

        Stratified as the split is: every stretch of it holds the classes in proportion.
        """
        everything = torch.arange(len(self.train_images), device=self.device)
        return everything if images is None else (everything[:images] + epoch * images) % len(everything)

    def viewed(self, epoch: int, *, augment: bool) -> Batches:
        """The training images of that epoch's view as a network reads them.

        On a GPU those of small data sets are prepared all at once, once for all trainings that are in that epoch: a small
        network would take longer to prepare a batch than to learn from it.
        """
        if self.device.type != "cuda" or self._prepared_bytes > PREPARED_AT_ONCE:
            return _Viewed(self, self.view(epoch, augment=augment))
        key = epoch if augment else -1
        if key not in self._ready:
            view, everything = self.view(epoch, augment=augment), torch.arange(len(self.train_images), device=self.device)
            self._ready[key] = torch.cat([self.batch(view, each) for each in everything.split(self.evaluation_batch)])
            torch.cuda.current_stream().synchronize()  # other trainings read it in streams of their own
            while len(self._ready) > VIEWS_READY:
                del self._ready[next(iter(self._ready))]
        return self._ready[key]

    @property
    def _prepared_bytes(self) -> int:
        height, width = self.preprocessing.side
        return len(self.train_images) * self.preprocessing.mean.numel() * height * width * torch.float32.itemsize

    def view(self, epoch: int, *, augment: bool) -> View:
        """How the training images look in that epoch; without augmentation, always as they are."""
        return View.draw(self.spec, len(self.train_images), epoch).to(self.device) if augment else View()

    def batch(self, view: View, indices: Tensor) -> Tensor:
        """Training images of a view as a network reads them, shape (n, C, H, W)."""
        return self._prepared(view.apply(self.train_images, indices))

    def _prepared(self, images: Tensor) -> Tensor:
        prepared: Tensor = self.preprocessing(images)
        return prepared.contiguous(memory_format=torch.channels_last)

    def validation_score(self, network: nn.Module, *, bf16: bool = False) -> Score:
        """What share of the validation images the network classifies correctly."""
        return self._score(network, self.validation_images, self.validation_labels, bf16)

    def test_score(self, network: nn.Module) -> Score:
        """What share of the test images the network classifies correctly; for final reports only."""
        return self._score(network, *self._test)

    def validation_scores(self, networks: JoinedNetwork) -> list[Score]:
        """As `validation_score`, of each of some networks."""
        return self._scores(networks, self.validation_images, self.validation_labels)

    def test_scores(self, networks: JoinedNetwork) -> list[Score]:
        """As `test_score`, of each of some networks."""
        return self._scores(networks, *self._test)

    @property
    def _test(self) -> tuple[Pixels, Tensor]:
        images, labels = self.dataset.test
        return Pixels(images, device=self.device), torch.from_numpy(labels).to(self.device)

    def _score(self, network: nn.Module, images: Pixels, labels: Tensor, bf16: bool = False) -> Score:
        [score] = self._scores(network, images, labels, bf16)
        return score

    @torch.no_grad()
    def _scores(self, network: nn.Module, images: Pixels, labels: Tensor, bf16: bool = False) -> list[Score]:
        """Of a network, or of each of those that are joined."""
        network.eval()
        right = []
        for indices in torch.arange(len(images), device=self.device).split(self.evaluation_batch):
            truth = labels[indices]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                right.append((network(self._prepared(images[indices])).argmax(-1) == truth).view(-1, len(truth)))
        correct = [torch.bincount(labels[each], minlength=self.spec.classes) for each in torch.cat(right, dim=1)]
        images_of_class = torch.bincount(labels, minlength=self.spec.classes).clamp(min=1)
        return [Score(int(each.sum()) / len(labels), tuple((each / images_of_class).tolist())) for each in correct]


@dataclass(frozen=True)
class _Viewed:
    """Training images of a view, prepared when they are asked for."""

    data: ImageData
    view: View

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.data.batch(self.view, indices)


def _tensor(images: Images) -> Tensor:
    """Images of shape (N, H, W, C) as a tensor of its own, shape (N, C, H, W)."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
