"""Things by name: a name that is checked is the name that is dispatched."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from n2n_gym.errors import InputError, unknown
from n2n_gym.system.offered import offered, resolved

Thing = TypeVar("Thing")

NAME = r"[\w.-]+"
"""What a name looks like; what another package offers by another name is not seen."""

_log = logging.getLogger("n2n_gym")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """What there is of a kind, by name; there is no name without a thing.

    A name may have an argument, behind a colon: `table:FILE.npz`. Another package offers things of its own as entry points,
    each of which is loaded when it is asked for:

    ```toml
    [project.entry-points."n2n_gym.evaluator"]
    mine = "my_package.my_module:make"
    ```

    What is offered counts as being in it; iteration is over what was registered or loaded so far.

    Args:
        what: What the things are, for messages and for the group of entry points: `evaluator`.
        others: What can stand where a name can, for messages: `a number`.
        kind: What each of the things is an instance of.
        wanted: The same in words, for messages: `a function (settings, order) that gives an Evaluator`.
    """

    def __init__(self, what: str, *, others: tuple[str, ...] = (), kind: Any = object, wanted: str = "") -> None:
        self.what = what
        self._others = others
        self._kind = kind
        self._wanted = wanted
        self._things: dict[str, Thing] = {}
        self._arguments: dict[str, str] = {}

    def register(self, name: str, thing: Thing, *, argument: str = "") -> None:
        """Add a thing.

        Args:
            name: Letters, digits, and `.`, `-`, `_`; taken names are refused.
            thing: It.
            argument: What may stand behind a colon, for messages: `FILE.npz`; nothing by default. If it begins with FILE, what
                stands there is the path of a file, which a run finds again from any folder.

        Raises:
            ValueError: If the name is malformed or taken, or the thing is of another kind.
        """
        if not re.fullmatch(NAME, name):
            raise ValueError(f"a name of the kind {self.what} is made of letters, digits and . - _, unlike {name!r}")
        if name in self._things:
            raise ValueError(f"there is a thing of the kind {self.what} by the name of {name!r} already; choose another name")
        if not isinstance(thing, self._kind):
            raise InputError(f"{self.what} {name}: register {self._wanted}, not {thing!r}")
        self._things[name] = thing
        self._arguments[name] = argument

    def look_up(self, text: str) -> tuple[Thing, str]:
        """The thing that a text names, and its argument, which may be empty.

        Raises:
            InputError: If there is no such thing, it has no argument, or another package offers it and it cannot be loaded.
        """
        name, colon, argument = text.partition(":")
        if name not in self:
            raise unknown(self.what, text, self.spellings)
        thing = self[name]
        if colon and not self._arguments[name]:
            raise InputError(f"nothing goes behind a colon of {self.what} {name}; leave {colon}{argument} out")
        return thing, argument

    def file_in(self, text: str) -> str | None:
        """The file that a text has as its argument, as `table:mine.npz` has; None if it has none, or names no thing.

        What stands behind a colon is a file where the argument was registered as one: `FILE`, `FILE.npz`.

        Raises:
            InputError: If another package offers the thing and it cannot be loaded.
        """
        name, _, argument = text.partition(":")
        known = argument and self.get(name) is not None  # one that is offered has said what its argument is once it is loaded
        return argument if known and self._arguments[name].startswith("FILE") else None

    @property
    def spellings(self) -> tuple[str, ...]:
        """All that can be written: names, names with their arguments, and what can stand there instead."""
        written = ((name, f"{name}:{argument}") if argument else (name,) for name, argument in self._arguments.items())
        not_yet = (name for name in self._offered() if name not in self._things)
        return (*itertools.chain.from_iterable(written), *not_yet, *self._others)

    def load_offered(self) -> None:
        """Add all that other packages offer as entry points; one that cannot be loaded is logged, and stops no other."""
        for name, point in self._offered().items():
            if name not in self._things:
                try:
                    self._load(point)
                except InputError as error:
                    _log.warning("%s", error)

    def _offered(self) -> dict[str, EntryPoint]:
        found = offered(f"n2n_gym.{self.what.replace(' ', '_')}")
        return {name: point for name, point in found.items() if re.fullmatch(NAME, name)}

    def _load(self, point: EntryPoint) -> None:
        thing = resolved(point, self.what)
        if point.name not in self._things:  # its module may have registered it, with an argument
            self.register(point.name, thing)

    def __getitem__(self, name: str) -> Thing:
        if name not in self._things and (point := self._offered().get(name)) is not None:
            self._load(point)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things or name in self._offered()

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
