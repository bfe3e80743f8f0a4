"""One command for each table and figure of the paper: `n2n reproduce TARGET --scale tiny|cpu|paper`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.display import Display
from agents.reproduce.document import Document, collect
from agents.reproduce.figures import agents_figure, figure10, figure13, search_figure, settings_figure
from agents.reproduce.lab import Lab
from agents.reproduce.tables import table1, table2, table3, table4, table5
from n2n_gym.errors import by_name

TARGETS: dict[str, Callable[[Lab], Document]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "figure3": search_figure(3, [("conv4", "mnist"), ("vgg13", "mnist")]),
    "figure4": search_figure(4, [("vgg19", "cifar10"), ("resnet18", "cifar10"), ("resnet34", "cifar10")]),
    "figure5": search_figure(5, [("resnet18", "cifar100"), ("resnet34", "cifar100")]),
    "figure6": agents_figure(6, "vgg13", "mnist", "architecture-compression"),
    "figure7": agents_figure(7, "resnet18", "cifar10"),
    "figure8": settings_figure(
        8, "learning rates", {f"lr = {rate}": {"learning_rate": rate} for rate in (0.03, 0.003, 0.0003)}
    ),
    "figure9": settings_figure(9, "batch sizes", {f"batch size {size}": {"rollouts": size} for size in (1, 5, 10)}),
    "figure10": figure10,
    "figure11": search_figure(11, [("resnet18", "svhn")]),
    "figure12": search_figure(12, [("resnet18", "caltech256")]),
    "figure13": figure13,
}
"""Every table and figure that reports measurements."""


def reproduce(
    target: str,
    *,
    scale: str = "cpu",
    out: str | None = None,
    display: Display | None = None,
    **settings: Any,
) -> Document:
    """Regenerate a table or figure; a call that was interrupted goes on where it was.

    Rows and pictures name the data that they were really measured on.

    Args:
        target: One of `TARGETS`.
        scale: `tiny`, `cpu` or `paper`.
        out: Folder for runs and results, `runs/reproduce-SCALE` by default; targets share the runs in it.
        display: Shows progress.
        **settings: Fields of `Search` that all runs get, such as `device` and `workers`.

    Returns:
        What was written as `TARGET.json` and `TARGET.md`; a figure's pictures are beside them, their names begin with TARGET.
        `results.md` holds all targets that the folder has.

    Raises:
        InputError: If a name is unknown.
    """
    regenerate = by_name("target", target, TARGETS)
    folder = Path(out or f"runs/reproduce-{scale}").expanduser()
    with display or Display() as shown:
        lab = Lab(scale, folder, display=shown, **settings)
        document = regenerate(lab)
        command = f"n2n reproduce {target} --scale {scale}"
        document.write(folder, target, scale=scale, about=lab.scale.about, command=command)
        collect(folder, list(TARGETS))
    return document
