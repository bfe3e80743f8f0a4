"""A data set's images and labels on a device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from n2n_gym.data import Dataset, Images, Labels, load_dataset
from n2n_gym.layers import Shape
from n2n_gym.models.preprocessing import Preprocessing, View
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


class ImageData:
    """A data set's images and labels on a device, ready for one kind of network.

    Args:
        dataset: Where they come from.
        input_shape: What the network reads.
        train_size: How many training images are used; all by default.
        device: Where they are kept, as uint8.
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
        self.preprocessing = Preprocessing(mean, std, input_shape[1:]).to(device)
        train, validation = dataset.split(train_size)
        images, labels = dataset.train
        self.train_images, self.train_labels = _tensors(images[train], labels[train], device)
        self.validation_images, self.validation_labels = _tensors(images[validation], labels[validation], device)
        self.dataset = dataset

    @property
    def evaluation_batch(self) -> int:
        """Images at a time where nothing is learned: more leave a CPU's caches and take up to twice as long."""
        return 1_000 if self.device.type == "cuda" else 125

    @classmethod
    def of(cls, problem: Problem, device: torch.device) -> ImageData:
        """The images as a problem's teacher and its students read them."""
        return cls(
            load_dataset(problem.dataset),
            problem.architecture.input_shape,
            train_size=problem.train_size,
            device=device,
            normalisation=problem.normalisation,
        )

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
        return self._score(network, *_tensors(*self.dataset.test, self.device))

    @torch.no_grad()
    def _score(self, network: nn.Module, images: Tensor, labels: Tensor, bf16: bool = False) -> Score:
        network.eval()
        correct = torch.zeros(self.spec.classes, dtype=torch.int64, device=self.device)
        size = self.evaluation_batch
        for batch, truth in zip(images.split(size), labels.split(size), strict=True):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                right = network(self._prepared(batch)).argmax(1) == truth
            correct += torch.bincount(truth[right], minlength=self.spec.classes)
        images_of_class = torch.bincount(labels, minlength=self.spec.classes).clamp(min=1)
        return Score(int(correct.sum()) / len(labels), tuple((correct / images_of_class).tolist()))


def _tensors(images: Images, labels: Labels, device: torch.device) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return pixels.to(device), torch.from_numpy(labels).to(device)
