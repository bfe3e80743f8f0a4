"""A teacher's logits, shared by all its students."""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from n2n_gym.errors import InputError
from n2n_gym.models.preprocessing import View
from n2n_gym.system.arrays import read_array
from n2n_gym.system.files import locked, write_whole
from n2n_gym.system.progress import report
from n2n_gym.system.tensors import tensors_hash
from n2n_gym.training.images import ImageData

_log = logging.getLogger("n2n_gym")


class TeacherLogits:
    """A teacher's logits for the training images, computed once per view and shared by all its students.

    Args:
        teacher: The trained network.
        data: The images.
        views: How many views are remembered; older ones are computed again when asked for.
        folder: Where they are kept, too, for other processes with this teacher and these images.
    """

    def __init__(self, teacher: nn.Module, data: ImageData, *, views: int = 16, folder: Path | None = None) -> None:
        self._teacher = teacher
        self._data = data
        self._views = views
        self._folder = folder
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Of the teacher's weights."""
        return tensors_hash(self._teacher.state_dict())

    def of(self, epoch: int, *, augment: bool, images: int | None = None) -> Tensor:
        """The logits for that epoch's view and images (`ImageData.stretch`), shape (images, classes)."""
        view = self._data.view(epoch, augment=augment)
        key = ("plain" if view.plain else f"{epoch}") + ("" if images is None else f"-{images}-of-{epoch}")
        if key not in self._known:
            indices = self._data.stretch(epoch, images)
            path = self._folder and self._folder / f"{key}.npy"
            self._known[key] = self._shared(view, indices, path) if path else self._computed(view, indices)
            if len(self._known) > self._views:
                self._known.popitem(last=False)
        return self._known[key]

    def _shared(self, view: View, indices: Tensor, path: Path) -> Tensor:
        """A view's logits from their file, which whoever needs them first writes."""
        with locked(path.with_suffix(".lock")):
            found = self._kept(path, len(indices))
            if found is None:
                found = self._computed(view, indices).cpu().numpy()
                write_whole(path, partial(_save, found))
        return torch.from_numpy(found).to(self._data.device)

    def _kept(self, path: Path, images: int) -> npt.NDArray[np.float32] | None:
        """A view's logits in a file; None if there are none, or they are damaged: then they are computed again."""
        if not path.exists():
            return None
        try:
            found = read_array(path, what="file of logits", remedy="they are computed again")
        except InputError as error:
            _log.warning("%s", error)
            return None
        fits = found.shape == (images, self._data.spec.classes) and found.dtype == np.float32
        return found if fits and bool(np.isfinite(found).all()) else None

    @torch.no_grad()
    def _computed(self, view: View, indices: Tensor) -> Tensor:
        self._teacher.eval()
        batches = indices.split(self._data.evaluation_batch)
        found = []
        for count, each in enumerate(batches):
            report("teacher's answers, batch", count, len(batches))
            found.append(self._teacher(self._data.batch(view, each)))
        logits = torch.cat(found)
        if logits.is_cuda:
            torch.cuda.current_stream().synchronize()  # other trainings read them in streams of their own
        return logits


def _save(logits: npt.NDArray[np.float32], part: Path) -> None:
    with part.open("wb") as file:
        np.save(file, logits, allow_pickle=False)
