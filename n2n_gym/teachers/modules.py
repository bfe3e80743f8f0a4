"""A torch module by what its user calls it: code of the user's own, or a network of torchvision or timm."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from n2n_gym.errors import InputError, unknown
from n2n_gym.registry import Registry
from n2n_gym.tracing.failures import running


@dataclass(frozen=True)
class Found:
    """A module, and what is known of its images.

    Attributes:
        module: It, with the weights that it came with.
        side: Height and width of its images, in pixels; None if that is not known.
        mean: Subtracted from pixels scaled to [0, 1]; None if that is not known.
        std: What the result is divided by; None if that is not known.
        fresh: Whether its weights are random.
    """

    module: nn.Module
    side: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    fresh: bool = False


LIBRARIES: Registry[Callable[[str, int | None], Found]] = Registry("library of networks")
"""Who makes `LIBRARY:NAME`, given the name and the number of classes (None: as published)."""


def find_module(source: str, classes: int | None = None) -> Found:
    """The module that a source names; code of the user's own is run for it.

    Args:
        source: `package.module:callable` or `path/to/file.py:callable`, where the callable takes nothing and gives a module,
            or is one; `torchvision:NAME` or `timm:NAME`.
        classes: Of a library's network: how many it tells apart.

    Raises:
        InputError: If there is none, or the user's code fails.
    """
    where, colon, name = source.rpartition(":")
    if source.endswith(".pt2"):
        raise InputError(
            f"{source}: an exported program cannot be read without running what it may hold (torch evaluates expressions that "
            "stand in it); give the code that makes the module, path/to/file.py:callable, and --weights"
        )
    if source.endswith((".pt", ".pth", ".safetensors", ".ckpt", ".bin")):
        raise InputError(f"{source} holds weights and no network; give path/to/file.py:callable --weights {source}")
    if not colon or not where or not name:
        known = ("package.module:callable", "path/to/file.py:callable", "torchvision:NAME", "timm:NAME")
        raise unknown("source of a network", source, known)
    if where in LIBRARIES:
        return LIBRARIES[where](name, classes)
    path = Path(where).expanduser() if where.endswith(".py") else None
    if path is not None and not path.is_file():
        raise InputError(f"no file at {path}")
    with _found_in(path.resolve().parent if path else Path.cwd()), running(source):
        made = _call(_attribute(_run(path) if path else _imported(where), name, source), source)
    if not isinstance(made, nn.Module):
        raise InputError(f"{source} gives {type(made).__name__}, which is no torch module")
    return Found(made)


def _run(path: Path) -> ModuleType:
    """The user's file as a module."""
    spec = importlib.util.spec_from_file_location(f"_imported_{path.stem}", path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # classes look themselves up there
    spec.loader.exec_module(module)
    return module


def _imported(where: str) -> ModuleType:
    """The user's module by its name in Python."""
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is not None and (where == error.name or where.startswith(f"{error.name}.")):
            raise InputError(f"there is no Python module {where} here; give path/to/file.py:callable for a file") from None
        raise


def _attribute(module: ModuleType, name: str, source: str) -> Any:
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown(f"name in {source.rpartition(':')[0]}", name, public)
    return getattr(module, name)


def _call(found: Any, source: str) -> Any:
    if isinstance(found, nn.Module) or not callable(found):
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise InputError(f"{source} is called without arguments ({error}): give a function that takes none") from None
    except ValueError:  # some of what is written in C does not say what it takes
        pass
    return found()


@contextmanager
def _found_in(folder: Path) -> Iterator[None]:
    """Python looks for modules in a folder first."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have taken it away
            sys.path.remove(str(folder))


def _torchvision(name: str, classes: int | None) -> Found:
    from torchvision import models

    known = list(models.list_models(models))
    if name not in known:
        raise unknown("network of torchvision", name, known)
    options = {} if classes is None else {"num_classes": classes}
    published = models.get_model_weights(name)
    with running(f"torchvision:{name}"):
        module = models.get_model(name, weights=None, **options)
    if not len(published):
        return Found(module, fresh=True)
    seen: Any = next(iter(published)).transforms()
    side = seen.crop_size[0]
    return Found(module, (side, side), tuple(seen.mean), tuple(seen.std), fresh=True)


def _timm(name: str, classes: int | None) -> Found:
    try:
        import timm
    except ImportError:
        raise InputError("networks of timm need it: pip install 'n2n-gym[timm]'") from None
    if name not in (known := timm.list_models()):
        raise unknown("network of timm", name, known)
    options = {} if classes is None else {"num_classes": classes}
    with running(f"timm:{name}"):
        module = timm.create_model(name, pretrained=False, **options)
    seen = module.pretrained_cfg
    _, height, width = seen["input_size"]
    return Found(module, (height, width), tuple(seen["mean"]), tuple(seen["std"]), fresh=True)


LIBRARIES.register("torchvision", _torchvision, argument="NAME")
LIBRARIES.register("timm", _timm, argument="NAME")
