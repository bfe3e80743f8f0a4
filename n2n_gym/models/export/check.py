"""An export is loaded where this package is not, and must compute what the network does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from n2n_gym.errors import InputError
from n2n_gym.models.export.forms import Exported

TOLERANCE = 1e-5
"""By so much of the largest logit of a batch may a logit differ, in float32."""

_PROGRAM = """
import json, sys
folder, path = sys.argv[1], json.loads(sys.argv[2])
sys.path[:] = path
for name in ("n2n_gym", "agents"):
    sys.modules[name] = None  # as if it were not installed
import numpy
{runner}
images = numpy.load(folder + "/images.npz")
numpy.savez(folder + "/logits.npz", **{{name: run(images[name]) for name in images}})
"""


@torch.no_grad()
def check_export(exported: Exported, folder: Path, form: str, runner: str) -> float:
    """Load an export in a fresh process without this package and compare its logits to the network's.

    Args:
        exported: What was exported.
        folder: Where its files are.
        form: What its form is called, for messages.
        runner: How it is run there.

    Returns:
        The largest difference, as a share of the largest logit of its batch.

    Raises:
        InputError: If it cannot be loaded, or its logits differ.
    """
    expected = [exported.module(images).numpy() for images in exported.examples]
    names = [f"batch{len(images)}" for images in exported.examples]
    images, logits = folder / "images.npz", folder / "logits.npz"
    batches: dict[str, Any] = {name: batch.numpy() for name, batch in zip(names, exported.examples, strict=True)}
    np.savez(images, **batches)
    path = json.dumps([entry for entry in sys.path if entry])
    program = _PROGRAM.format(runner=runner)
    command = [sys.executable, "-I", "-S", "-c", program, str(folder), path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise InputError(f"the {form} export does not run without this package ({reason}), and was not kept")
        with np.load(logits) as found:
            differences = [_difference(found[name], wanted) for name, wanted in zip(names, expected, strict=True)]
    finally:
        images.unlink()
        logits.unlink(missing_ok=True)
    if not max(differences) <= TOLERANCE:
        raise InputError(
            f"the {form} export's logits differ by {max(differences):.1e} of the network's, more than {TOLERANCE:g}: "
            "it was not kept; try another form"
        )
    return max(differences)


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
