"""`n2n export`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay


@dataclass(frozen=True)
class Export:
    """Write a trained network as files that run without this package; each is loaded so, and its logits compared, first."""

    network: tyro.conf.Positional[str]
    """A run's folder (its student), a saved network's folder, or one of n2n teacher list."""
    to: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """python (the default: student.py and student.safetensors, plain PyTorch), onnx (needs the extra export) or torch (a
    program of torch.export); may be given again."""
    out: str | None = None
    """The files' folder; by default export in the run's folder, or the network's."""
    preprocessing: bool = True
    """The export scales and normalises images itself; without, its caller does, and it reads floats as the network does."""


def _export(words: list[str]) -> None:
    options = parse(Export, "export", words)
    screen = console()
    with ProgressDisplay(screen) as display:
        from agents.search.student import export
        from n2n_gym.models.export import FORMS

        forms = options.to or ("python",)
        for form in forms:
            FORMS.look_up(form)  # before any is written
        for form in forms:
            for path in export(options.network, form, options.out, preprocessing=options.preprocessing):
                display.say(f"{path}  {path.stat().st_size:,} bytes")


COMMANDS = {
    "export": Command(_export, "write a trained network as plain PyTorch, ONNX or a torch.export program", lambda: Export)
}
