"""`n2n compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.commands.parsing import Command, parse
from agents.console import console
from agents.display import ProgressDisplay
from n2n_gym.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class Compare(DeviceSettings):
    """Two trained networks side by side: accuracies as they were measured once, sizes, and forward passes timed in turn."""

    a: tyro.conf.Positional[str]
    """A run's folder (its student), a saved network's folder, or one of n2n teacher list."""
    b: tyro.conf.Positional[str]
    """Another one."""
    device: str = "auto"
    """Where passes are timed besides the CPU: auto, cpu, cuda."""
    out: str | None = None
    """A JSON file to write the comparison to."""


def _compare(words: list[str]) -> None:
    options = parse(Compare, "compare", words)
    screen = console()
    with ProgressDisplay(screen):
        from agents.search.comparison import compare, comparison_table
        from n2n_gym.system.device import torch_device
        from n2n_gym.system.files import write_json

        found = compare(options.a, options.b, device=str(torch_device(options.device)))
    screen.print(comparison_table(found, "a", "b"))
    if found["warning"]:
        screen.print(found["warning"], soft_wrap=True)
    if options.out is not None:
        path = Path(options.out).expanduser()
        write_json(path, found)
        screen.print(str(path), soft_wrap=True)


COMMANDS = {"compare": Command(_compare, "two trained networks side by side: accuracy, size, speed", lambda: Compare)}
