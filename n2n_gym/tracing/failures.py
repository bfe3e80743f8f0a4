"""How the user's code failed, in one line: what it said, where, and what to do about it."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from contextlib import contextmanager

from n2n_gym.errors import InputError
from n2n_gym.system.documents import shown
from n2n_gym.tracing.places import Place

FAILURES = (Exception, SystemExit)
"""All that the user's code may raise; a file that is meant to be run may end the process."""

REMEDIES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...] = (
    (ModuleNotFoundError, "", "install it in this Python, or let it lie beside your file and import it at the top of that"),
    (ImportError, "", "install the version that your code was written for"),
    (
        SystemExit,
        "",
        "it ends the process: what is to be done only when the file is run belongs under if __name__ == '__main__'",
    ),
    (
        (RuntimeError, AssertionError),
        r"\bcuda\b|\bnvidia\b|\bmps\b|\b(on|expected|same|different|meta) devices?\b|\bdevice type\b",
        "all is done on the CPU here: use x.device, and map_location='cpu' to load",
    ),
    (RuntimeError, r"\bdtype\b|\btype \(|\bscalar type\b", "let the network compute in float32 throughout"),
)
"""What to do about an error: its type or types, what it says (a pattern), the remedy; the first that fits is given."""

_SHAPES = re.compile(r"shape|size|channel|dimension|\bdims?\b|height|width|too small", re.IGNORECASE)


def failed(what: str, error: BaseException, place: Place, remedy: str = "") -> InputError:
    """The error that says how the user's code failed.

    Args:
        what: What was run.
        error: What it raised.
        place: Where.
        remedy: What to do, where nothing better is known of such an error.
    """
    fits = (
        advice for kind, words, advice in REMEDIES if isinstance(error, kind) and re.search(words, str(error), re.IGNORECASE)
    )
    advice = next(fits, remedy)
    where = f" at {place}" if place != Place("") else ""
    said = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
    return InputError(f"{what} fails{where}: {said}{f'; {advice}' if advice else ''}")


@contextmanager
def running(what: str) -> Iterator[None]:
    """Say in one line how the user's code failed.

    Raises:
        InputError: If it did.
    """
    try:
        yield
    except InputError:
        raise
    except FAILURES as error:
        raise failed(what, error, Place.of_error(error)) from error


def is_of_shapes(error: BaseException, place: Place) -> bool:
    """Whether an error seems to be about the shape of what was given; an assertion may say so in its code alone."""
    code = linecache.getline(place.file, place.line) if isinstance(error, AssertionError) else ""
    kinds = (RuntimeError, ValueError, IndexError, AssertionError)
    return isinstance(error, kinds) and _SHAPES.search(f"{error} {code}") is not None


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type's name if it says nothing."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return shown(lines[0] if lines else type(error).__name__).rstrip(".")
