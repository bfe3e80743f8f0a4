"""A teacher's logits, shared by all its students."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
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

PART = 8
"""Batches of images whose logits are kept in one file: processes that need a view at the same time each compute some."""


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
            parts = self._data.stretch(epoch, images).split(PART * self._data.evaluation_batch)
            logits = torch.cat(self._parts(view, parts, key))
            if logits.is_cuda:
                torch.cuda.current_stream().synchronize()  # other trainings read them in streams of their own
            self._known[key] = logits
            if len(self._known) > self._views:
                self._known.popitem(last=False)
        return self._known[key]

    def _parts(self, view: View, parts: Sequence[Tensor], key: str) -> list[Tensor]:
        """The logits of each part of a view's images; what other processes are computing is waited for at the end."""
        found: dict[int, Tensor] = {}
        for wait in (False, True):
            for number, indices in enumerate(parts):
                if number in found:
                    continue
                report("teacher's answers, part", len(found), len(parts))
                if self._folder is None:
                    found[number] = self._computed(view, indices)
                elif (shared := self._shared(view, indices, self._folder / f"{key}.{number}.npy", wait=wait)) is not None:
                    found[number] = shared
        return [found[number] for number in range(len(parts))]

    def _shared(self, view: View, indices: Tensor, path: Path, *, wait: bool) -> Tensor | None:
        """Logits from their file, which whoever has its lock first writes; None while another process does."""
        logits: npt.NDArray[np.float32] | None = None
        try:
            with locked(path.with_suffix(".lock"), wait=wait) as ours:
                if not ours:
                    return None
                logits = self._kept(path, len(indices))
                if logits is None:
                    logits = self._computed(view, indices).cpu().numpy()
                    write_whole(path, partial(_save, logits))
        except InputError as error:  # sharing only saves time
            _log.warning("%s", error)
        return self._computed(view, indices) if logits is None else torch.from_numpy(logits).to(self._data.device)

    def _kept(self, path: Path, images: int) -> npt.NDArray[np.float32] | None:
        """Logits in a file; None if there are none, or they are damaged: then they are computed again."""
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
        return torch.cat([self._teacher(self._data.batch(view, each)) for each in indices.split(self._data.evaluation_batch)])


def _save(logits: npt.NDArray[np.float32], part: Path) -> None:
    with part.open("wb") as file:
        np.save(file, logits, allow_pickle=False)
