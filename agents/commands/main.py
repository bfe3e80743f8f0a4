"""The command `n2n`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from rich.console import Console

from agents.commands import benchmark, compare, compress, export, profile, reproduce, table, teacher
from agents.commands.stopping import StoppedError, stoppable
from n2n_gym import __version__
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.memory import is_out_of_memory, keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 if the input is wrong, 128 and its number if a signal ended it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    keep_freed_memory()
    with stoppable():
        try:
            return _dispatch(words)
        except StoppedError as stop:
            _say("\nstopped; a run goes on where it was when the same command is given again")
            return stop.status
        except InputError as error:
            return _refuse(str(error))
        except (OSError, MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                return _refuse(
                    "out of memory; what was done is kept, and the same command goes on from there: try fewer --workers, a "
                    "smaller --width or --train-size, or end other programs"
                )
            if not isinstance(error, OSError):
                raise
            return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _refuse(reason: str) -> int:
    _say(f"n2n: error: {reason}")
    return 2


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(line)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        _print_help()
        return 0
    if words[0] == "--version":
        Console().print(f"n2n-gym {__version__}", highlight=False)
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            COMMANDS[name].run(words[length:])
            return 0
    length = 2 if any(name.startswith(f"{words[0]} ") for name in COMMANDS) else 1
    raise unknown("command", " ".join(words[:length]), COMMANDS)


_FILES = (compress, export, compare, reproduce, teacher, profile, table, benchmark)
COMMANDS = {name: command for file in _FILES for name, command in file.COMMANDS.items()}


def _print_help() -> None:
    lines = ["usage: n2n COMMAND [options]", ""]
    lines += [f"  n2n {name:<18} {command.about}" for name, command in COMMANDS.items()]
    lines += ["", "n2n COMMAND --help lists a command's options."]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


if __name__ == "__main__":
    sys.exit(main())
