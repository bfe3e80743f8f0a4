"""A teacher's logits, shared by all its students."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from n2n_gym.training.images import ImageData
from n2n_gym.training.resume import weights_hash


class TeacherLogits:
    """A teacher's logits for the training images, computed once per view and shared by all its students.

    Args:
        teacher: The trained network.
        data: The images.
        views: How many views are remembered; older ones are computed again when asked for.
    """

    def __init__(self, teacher: nn.Module, data: ImageData, *, views: int = 16) -> None:
        self._teacher = teacher
        self._data = data
        self._views = views
        self._known: OrderedDict[int, Tensor] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Of the teacher's weights."""
        return weights_hash(self._teacher.state_dict())

    @torch.no_grad()
    def of(self, epoch: int, *, augment: bool) -> Tensor:
        """The logits for that epoch's view, shape (images, classes)."""
        view = self._data.view(epoch, augment=augment)
        key = -1 if view.plain else epoch
        if key not in self._known:
            self._teacher.eval()
            everything = torch.arange(len(self._data.train_images), device=self._data.device)
            batches = everything.split(self._data.evaluation_batch)
            self._known[key] = torch.cat([self._teacher(self._data.batch(view, indices)) for indices in batches])
            if len(self._known) > self._views:
                self._known.popitem(last=False)
        return self._known[key]
