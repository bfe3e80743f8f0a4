"""Small folders of made pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., Path]


def pixels(side: int | tuple[int, int], channels: int, seed: int) -> np.ndarray:
    height, width = (side, side) if isinstance(side, int) else side
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_class(folder: Path, images: int, *, side: int | tuple[int, int] = 8, channels: int = 3, seed: int = 0) -> Path:
    """Fill the folder of a class with PNGs of noise."""
    folder.mkdir(parents=True)
    for i in range(images):
        Image.fromarray(pixels(side, channels, 1_000 * seed + i)).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def cats_and_dogs(tmp_path: Path) -> Path:
    """Train, val and test folders of two classes."""
    root = tmp_path / "animals"
    for seed, (split, images) in enumerate({"train": 10, "val": 4, "test": 5}.items()):
        for label, name in enumerate(("dog", "cat")):
            write_class(root / split / name, images, seed=2 * seed + label)
    return root


@pytest.fixture
def plain_folder(tmp_path: Path) -> Path:
    """Two classes without splits, 15 grey pictures of each."""
    for seed, name in enumerate(("no", "yes")):
        write_class(tmp_path / "plain" / name, 15, channels=1, seed=seed)
    return tmp_path / "plain"


@pytest.fixture
def kept(own_home: Path) -> Callable[[], list[Any]]:
    """What the cache holds of folders and files, locks left out."""

    def names() -> list[str]:
        folder = own_home / "datasets" / "kept"
        return sorted(path.name for path in folder.glob("*") if not path.name.endswith(".lock")) if folder.exists() else []

    return names
