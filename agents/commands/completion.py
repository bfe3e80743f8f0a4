"""`n2n completion`: what a shell needs to complete commands and options as they are typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, make_dataclass
from typing import Annotated, Any, Union, get_args

import tyro

from agents.commands.parsing import Command
from n2n_gym.errors import unknown

SHELLS = {
    "bash": "n2n completion bash > ~/.local/share/bash-completion/completions/n2n",
    "zsh": "n2n completion zsh > ~/.zfunc/_n2n",
}
"""The shells that tyro knows, and how each is told."""


def print_script(words: Sequence[str], commands: Mapping[str, Command]) -> None:
    """Print a shell's script.

    Args:
        words: The shell.
        commands: What there is to complete.

    Raises:
        InputError: If there is no such shell.
    """
    shell = words[0] if len(words) == 1 else " ".join(words)
    if shell not in SHELLS:
        raise unknown("shell", shell, [f"{name} ({way})" for name, way in SHELLS.items()])
    flat = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
    tyro.cli(_tree(commands), prog="n2n", args=["--tyro-print-completion", shell], config=flat)


def _tree(commands: Mapping[str, Command]) -> Any:
    """All commands as sub-commands of one, those of two words as sub-commands of their first."""
    branches: dict[str, dict[str, Any]] = {}
    for name, command in commands.items():
        first, _, second = name.partition(" ")
        options = command.options() if command.options is not None else make_dataclass("Options", [])
        branches.setdefault(first, {})[second] = Annotated[options, tyro.conf.subcommand(second or first)]
    return _either([_branch(first, below) for first, below in branches.items()])


def _branch(first: str, below: dict[str, Any]) -> Any:
    if list(below) == [""]:
        return below[""]
    deeper = _either([each for second, each in below.items() if second])
    if "" not in below:
        group = make_dataclass(first, [("command", deeper)])
    else:  # a command by itself, too
        rest = field(default_factory=lambda: None)
        group = make_dataclass(
            first, [("command", deeper | None, rest)], bases=(get_args(below[""])[0],), frozen=True, kw_only=True
        )
    return Annotated[group, tyro.conf.subcommand(first)]


def _either(kinds: Sequence[Any]) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007
