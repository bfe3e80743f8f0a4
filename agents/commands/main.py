"""The command `n2n`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from agents.commands import benchmark, compare, completion, compress, export, profile, report, reproduce, table, teacher
from agents.commands.parsing import Command
from agents.commands.stopping import StoppedError, stoppable
from agents.console import console
from n2n_gym import __version__
from n2n_gym.errors import InputError, unknown
from n2n_gym.system.files import remedy_of
from n2n_gym.system.memory import is_out_of_memory, keep_freed_memory
from n2n_gym.system.offered import load_plugins


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
        except BrokenPipeError:  # whoever reads what is printed has seen enough: n2n compress --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except (OSError, MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                return _refuse(
                    "out of memory; what was done is kept, and the same command goes on from there: try fewer --workers, a "
                    "smaller --width or --train-size, or end other programs"
                )
            if not isinstance(error, OSError):
                raise
            return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}; {remedy_of(error)}")


def _refuse(reason: str) -> int:
    _say(f"n2n: error: {reason}")
    return 2


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        console(stderr=True).print(line, soft_wrap=True)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        _print_help(COMMANDS)
        return 0
    if words[0] == "--version":
        console().print(f"n2n-gym {__version__}")
        return 0
    if words[0] == "completion":
        if words[1:] in ([], ["-h"], ["--help"]):
            console().print("\n".join(["usage: n2n completion SHELL", "", *map("  {}".format, completion.SHELLS.values())]))
        else:
            completion.print_script(words[1:], COMMANDS)
        return 0
    if _below(words[0]) and words[1:] in (["-h"], ["--help"]):
        _print_help(_below(words[0]))
        if words[0] not in COMMANDS:
            return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            load_plugins()
            COMMANDS[name].run(words[length:])
            return 0
    length = 2 if _below(words[0]) else 1
    raise unknown("command", " ".join(words[:length]), COMMANDS)


_FILES = (compress, report, export, compare, reproduce, teacher, profile, table, benchmark)
COMMANDS = {name: command for file in _FILES for name, command in file.COMMANDS.items()}


def _below(word: str) -> dict[str, Command]:
    """The commands of two words whose first this is."""
    return {name: command for name, command in COMMANDS.items() if name.startswith(f"{word} ")}


def _print_help(commands: Mapping[str, Command]) -> None:
    lines = ["usage: n2n COMMAND [options]", ""]
    lines += [f"  n2n {name:<18} {command.about}" for name, command in commands.items()]
    lines += ["", "n2n COMMAND --help lists a command's options; n2n completion bash completes them as you type."]
    console().print("\n".join(lines), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
