"""Things by name: a name that is checked is the name that is dispatched."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from n2n_gym.errors import InputError, unknown

Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """What there is of a kind, by name; there is no name without a thing.

    A name may have an argument, behind a colon: `table:FILE.npz`. Another package offers things of its own as entry points,
    which are loaded when they are asked for:

    ```toml
    [project.entry-points."n2n_gym.evaluator"]
    mine = "my_package.my_module:make"
    ```

    Args:
        what: What the things are, for messages and for the group of entry points: `evaluator`.
        others: What can stand where a name can, for messages: `a number`.
    """

    def __init__(self, what: str, *, others: tuple[str, ...] = ()) -> None:
        self.what = what
        self._others = others
        self._things: dict[str, Thing] = {}
        self._arguments: dict[str, str] = {}

    def register(self, name: str, thing: Thing, *, argument: str = "") -> None:
        """Add a thing.

        Args:
            name: Letters, digits, and `.`, `-`, `_`; taken names are refused.
            thing: It.
            argument: What may stand behind a colon, for messages: `FILE.npz`; nothing by default.

        Raises:
            ValueError: If the name is malformed or taken.
        """
        if not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"a name of the kind {self.what} is made of letters, digits and . - _, unlike {name!r}")
        if name in self._things:
            raise ValueError(f"there is a thing of the kind {self.what} by the name of {name!r} already; choose another name")
        self._things[name] = thing
        self._arguments[name] = argument

    def look_up(self, text: str) -> tuple[Thing, str]:
        """The thing that a text names, and its argument, which may be empty.

        Raises:
            InputError: If there is no such thing, or it has no argument.
        """
        name, colon, argument = text.partition(":")
        if name not in self._things:
            self.load_offered()
        if name not in self._things:
            raise unknown(self.what, text, self.spellings)
        if colon and not self._arguments[name]:
            raise InputError(f"nothing goes behind a colon of {self.what} {name}; leave {colon}{argument} out")
        return self._things[name], argument

    @property
    def spellings(self) -> tuple[str, ...]:
        """All that can be written: names, names with their arguments, and what can stand there instead."""
        written = ((name, f"{name}:{argument}") if argument else (name,) for name, argument in self._arguments.items())
        return (*itertools.chain.from_iterable(written), *self._others)

    def load_offered(self) -> None:
        """Add what other packages offer as entry points."""
        for point in entry_points(group=f"n2n_gym.{self.what.replace(' ', '_')}"):
            if point.name not in self._things:
                self.register(point.name, point.load())

    def __getitem__(self, name: str) -> Thing:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
