"""A trained network as files that run where this package is not; nothing is kept that does not compute the same there."""

from __future__ import annotations

import shutil
from pathlib import Path

from n2n_gym.models.checkpoint import Checkpoint
from n2n_gym.models.export.check import TOLERANCE, check_export
from n2n_gym.models.export.forms import FORMS, Exported, Form
from n2n_gym.system.files import part_of, writing

__all__ = ["FORMS", "TOLERANCE", "Form", "export_checkpoint"]


def export_checkpoint(checkpoint: Checkpoint, form: str, folder: Path, *, preprocessing: bool = True) -> list[Path]:
    """Write a trained network in another form, load it without this package, and keep it if its logits are the same.

    Args:
        checkpoint: The network.
        form: One of `FORMS`: `python`, `onnx` or `torch`.
        folder: Where its files go; those of the same names are replaced.
        preprocessing: Whether the export takes raw images, uint8 of shape (N, channels, height, width), and scales and
            normalises them itself; without, it takes what `checkpoint.preprocessing` puts out.

    Returns:
        The files.

    Raises:
        InputError: If there is no such form, what it needs is not installed, or the export differs: nothing is left then.
    """
    chosen, _ = FORMS.look_up(form)
    exported = Exported.of(checkpoint, preprocessing=preprocessing)
    part = part_of(folder.absolute())
    with writing(folder):
        part.mkdir(parents=True)
        try:
            chosen.write(exported, part)
            files = sorted(path.name for path in part.iterdir())
            check_export(exported, part, form, chosen.runner)
            folder.mkdir(exist_ok=True)
            for name in files:
                (part / name).replace(folder / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in files]
