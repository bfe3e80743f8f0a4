"""Importing teachers: a trained torch module becomes a saved teacher, with its own weights and preprocessing."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

import torch
from safetensors.torch import save
from torch import nn

from n2n_gym.data import PLAIN, DatasetSpec, DataSettings, SizesDifferError, dataset_spec, lasting_name, load_dataset
from n2n_gym.errors import InputError, check_arguments, typed
from n2n_gym.layers import Shape
from n2n_gym.models.checkpoint import save_checkpoint
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.networks.imported import IMPORTED, ImportSettings, Normalisation
from n2n_gym.networks.zoo import ZOO
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import teachers_folder
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.modules import Found
from n2n_gym.teachers.saved import making, measured, warn_of_chance
from n2n_gym.tracing import Traced, trace
from n2n_gym.training.images import ImageData

_log = logging.getLogger("n2n_gym")

COMPARED = 64
"""So many of the data set's images are compared with the module's own logits."""


def add(module: nn.Module, *, name: str, source: str = "Python", **settings: Any) -> str:
    """Import a trained network as a teacher; it is kept as it is and never trained.

    Args:
        module: Takes images of shape (N, C, H, W), float32, normalised; puts out logits, (N, classes).
        name: What it will be called: letters, digits and . - _.
        source: Where it comes from, for the record.
        **settings: Fields of `ImportSettings`: `dataset`, `mean`, `std`, `classes`, `image_size`, `device`.

    Returns:
        Its name: `teacher=` takes it.

    Raises:
        InputError: If the network cannot be read (each operator that stands in the way is named, with file and line), a number
            does not fit, or there is a teacher of that name.
        TypeError: If there is no such setting.
    """
    check_arguments("add", settings, (field.name for field in fields(ImportSettings)))
    settings = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in settings.items()}
    free = dict.fromkeys(("mean", "std", "image_size"), object)  # `ImportSettings` looks at them
    given = typed("add", settings, {**get_type_hints(ImportSettings), **free})
    return add_found(Found(module), ImportSettings(**given), name=name, source=source)


def add_found(found: Found, settings: ImportSettings, *, name: str, source: str, weights: str | None = None) -> str:
    """As `add`, for a module of which more may be known."""
    check_name(name)
    candidate = _Candidate.of(found, settings, name, _reading(settings))
    facts = {"source": source, "weights": weights, "versions": library_versions("torchvision")}
    with making(name):
        check_name(name)
        candidate.save(name, facts)
    return name


def keep(module: nn.Module, dataset: str, data: DataSettings = PLAIN, **settings: Any) -> str:
    """Keep a live module under a name made of its class and a hash of its weights; one that is kept is only found again.

    Args:
        module: As `add` takes it.
        dataset: The data set that it is compressed on; its images have the size that the module takes.
        data: How it is read.
        **settings: Other fields of `ImportSettings`, such as `mean` and `std`, by default the data set's.

    Returns:
        Its name.

    Raises:
        InputError: If it cannot be read.
    """
    candidate = _Candidate.of(Found(module), ImportSettings(dataset=dataset, **settings), type(module).__name__, data)
    name = re.sub(r"[^\w.-]|^\.", "_", f"{type(module).__name__}-{candidate.digest[:12]}")
    with making(name):
        if not (teachers_folder() / name).exists():
            candidate.save(name, {"source": type(module).__qualname__, "weights": None})
    return name


def check_name(name: str) -> None:
    """Refuse a name that an imported teacher cannot have.

    Raises:
        InputError: If so.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*", name) or name.endswith(".json"):
        raise InputError(f"a teacher's name is made of letters, digits and . - _, unlike {name!r}")
    if name in ZOO:
        raise InputError(f"{name} is a network of the zoo; choose another name")
    if (teachers_folder() / name).exists():
        raise InputError(f"there is a teacher named {name}; choose another name, or replace it with --again")


@dataclass(frozen=True)
class _Candidate:
    """A module that was read, before it is kept."""

    traced: Traced
    settings: ImportSettings
    normalisation: Normalisation
    reading: DataSettings
    dataset: DatasetSpec | None
    assumed: bool
    """Whether nobody said how its images are normalised, so that the data set's own mean and deviation are taken."""

    @classmethod
    def of(cls, found: Found, settings: ImportSettings, name: str, reading: DataSettings) -> _Candidate:
        dataset = None if settings.dataset is None else dataset_spec(settings.dataset, reading)
        normalisation = _normalisation(found, settings, dataset, name)
        shape = _input_shape(found, settings, dataset, normalisation)
        traced = trace(found.module, shape, name=name)
        classes = traced.architecture.classes
        for whose, wanted in (("classes", settings.classes), ("the data set's classes", dataset and dataset.classes)):
            if wanted is not None and wanted != classes:
                raise InputError(
                    f"{name} puts out {classes:,} numbers per image; {whose} are {wanted:,}; give a network for as many"
                )
        return cls(traced, settings, normalisation, reading, dataset, settings.mean is None and found.mean is None)

    @property
    def preprocessing(self) -> Preprocessing:
        image = None if self.dataset is None else self.dataset.input_shape[1:]
        return Preprocessing(*self.normalisation, self.traced.architecture.input_shape[1:], image)

    @property
    def digest(self) -> str:
        """A hash of what it computes: architecture, weights and preprocessing."""
        found = hashlib.sha256(self.traced.architecture.fingerprint.encode())
        found.update(json.dumps(self.preprocessing.to_json()).encode())
        found.update(save({key: value.contiguous() for key, value in self.traced.network.state_dict().items()}))
        return found.hexdigest()

    def save(self, name: str, origin: dict[str, Any]) -> None:
        """Compare it with the module on real images, measure it, and write its folder in one step."""
        if self.assumed and self.dataset is not None:
            mean, std = (" ".join(f"{number:.4g}" for number in numbers) for numbers in self.normalisation)
            _log.warning(
                "%s is taken to have been trained on images normalised as those of %s are here, with mean %s and std %s; "
                "if it was not, give mean and std to n2n teacher import, or to n2n_gym.teachers.add",
                *(name, self.dataset.name, mean, std),
            )
        architecture = self.traced.architecture
        facts = {
            "name": name,
            "teacher": name,
            "dataset": self.settings.dataset and lasting_name(self.settings.dataset),
            "read": asdict(self.reading),
            "width": 1.0,
            "train_size": None,
            "parameters": architecture.parameters,
            "macs": architecture.macs,
            "data_fingerprint": None,
            "val_accuracy": None,
            "test_accuracy": None,
            **self._measured(name),
            IMPORTED: origin,
            "places": [
                {"operator": operator, **place.to_json()}
                for operator, place in zip(self.traced.operators, self.traced.places, strict=True)
            ],
        }
        save_checkpoint(teachers_folder() / name, self.traced.network, self.preprocessing, facts)

    def _measured(self, name: str) -> dict[str, Any]:
        if self.dataset is None:
            return {}
        data = ImageData(
            load_dataset(self.dataset),
            self.traced.architecture.input_shape,
            train_size=None,
            device=torch_device(self.settings.device),
            normalisation=self.normalisation,
        )
        some = data.validation_images[torch.arange(min(COMPARED, len(data.validation_images)))]
        self.traced.check(data.preprocessing(some).cpu(), name)
        facts = measured(self.traced.network, data)
        warn_of_chance(
            name,
            facts,
            data.spec.classes,
            f"are its mean and std, its image size and the order of its classes those of {self.dataset.name}?",
        )
        return facts


def _reading(settings: ImportSettings) -> DataSettings:
    """How the data set is read: pictures that differ in size are brought to the side that the network takes."""
    if settings.dataset is None:
        return PLAIN
    try:
        dataset_spec(settings.dataset)
    except SizesDifferError:
        if settings.image_size is None or len(set(settings.image_size)) != 1:
            raise
        return DataSettings(image_size=settings.image_size[0])
    return PLAIN


def _normalisation(found: Found, settings: ImportSettings, dataset: DatasetSpec | None, name: str) -> Normalisation:
    if (settings.mean is None) != (settings.std is None):
        raise InputError("mean and std go together; give both")
    if settings.mean is not None and settings.std is not None:
        mean, std = settings.mean, settings.std
    elif found.mean is not None and found.std is not None:
        mean, std = found.mean, found.std
    elif dataset is not None:
        mean, std = dataset.mean, dataset.std
    else:
        raise InputError(f"it is not known how the images of {name} are normalised; give mean and std (0 and 1 if not at all)")
    if len(mean) != len(std):
        raise InputError(f"mean and std have one number per channel each, not {len(mean)} and {len(std)}")
    if not all(0 < number < float("inf") for number in std):
        raise InputError(f"std must be more than 0, not {min(std):g}")
    if not all(-float("inf") < number < float("inf") for number in mean):
        raise InputError("mean must be finite")
    if max(mean, default=0) > 1:
        raise InputError(f"mean is of pixels scaled to [0, 1], so at most 1, not {max(mean):g}: divide mean and std by 255")
    if dataset is not None and len(mean) != dataset.input_shape[0]:
        raise InputError(
            f"mean and std have {len(mean)} number(s), the images of {dataset.name} {dataset.input_shape[0]} channel(s)"
        )
    return mean, std


def _input_shape(found: Found, settings: ImportSettings, dataset: DatasetSpec | None, normalisation: Normalisation) -> Shape:
    channels = len(normalisation[0])
    if settings.image_size is not None:
        size = settings.image_size
        if len(size) not in (1, 2) or min(size) < 1:
            raise InputError(f"image-size is a side in pixels, or height and width, not {' '.join(map(str, size))}")
        return (channels, size[0], size[-1])
    if dataset is not None:
        return (channels, *dataset.input_shape[1:])
    if found.side is not None:
        return (channels, *found.side)
    raise InputError("the size of its images is not known; give image-size in pixels, or a data set")
