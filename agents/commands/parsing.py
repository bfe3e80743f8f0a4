"""A command's options from the words behind it, and one line for what is wrong with them."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import textwrap
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import tyro

from n2n_gym.errors import InputError, unknown
from n2n_gym.settings import explained

Options = TypeVar("Options")


@dataclass(frozen=True)
class Command:
    """A command and what it is for; `options` finds the class of its options, for shells that complete them."""

    run: Callable[[list[str]], None]
    about: str
    options: Callable[[], type[Any]] | None = None


def parse(options: type[Options], command: str, words: list[str]) -> Options:
    """The command's options from its words.

    Raises:
        InputError: If there is no such option, or its value is not of its type.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, rest = tyro.cli(_spoken(options), prog=f"n2n {command}", args=words, return_unknown_args=True)
    except SystemExit as stop:
        if stop.code:
            raise InputError(f"{_one_line(said.getvalue())}; see n2n {command} --help") from None
        raise
    if rest:
        assert is_dataclass(options)
        kinds = get_type_hints(options, include_extras=True)
        known = [f"--{each.name.replace('_', '-')}" for each in fields(options) if not _positional(kinds[each.name])]
        if not known:
            raise InputError(f"'n2n {command}' takes no options")
        raise unknown("option", rest[0].split("=")[0], known)
    return options(**{each.name: getattr(parsed, each.name) for each in fields(options)})  # type: ignore[arg-type]


def given_options(words: list[str], options: type[Any]) -> set[str]:
    """Names of the options that a command's words give, whatever their values; `--no-speed` gives `speed`."""
    names = {each.name for each in fields(options)}
    said = {word[2:].split("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    return {name if name in names else name.removeprefix("no_") for name in said}


def _spoken(options: type[Options]) -> type[Options]:
    """The class as its help is read: whole sentences, and no None where words say what happens without the option."""
    assert is_dataclass(options)
    said, kinds = explained(options), get_type_hints(options, include_extras=True)
    plain: list[tuple[str, Any, Any]] = []
    for each in fields(options):
        kind = kinds[each.name]
        several = "tuple" in str(kind)
        wording: dict[str, Any] = {"help": said.get(each.name)}
        if each.default is None or each.default == () or (each.default is MISSING and several):
            wording["help_behavior_hint"] = ""
        if _positional(kind):  # nothing else says what goes there
            name = each.name.upper()
            wording["metavar"] = f"[{name.removesuffix('S')} ...]" if several else f"[{name}]" if _may_lack(each) else name
        if type(None) in get_args(kind):
            words = [part.__name__.upper() for part in get_args(kind) if part is not type(None)]
            wording["metavar"] = "|".join([*words, *(["None"] if each.default is not None else [])])
        same = field(default=each.default, default_factory=each.default_factory)
        plain.append((each.name, Annotated[kind, tyro.conf.arg(**wording)], same))
    spoken = make_dataclass(options.__name__, plain, bases=(options,), frozen=True, kw_only=True)
    spoken.__doc__ = options.__doc__
    return spoken


def _positional(kind: Any) -> bool:
    return tyro.conf.Positional in getattr(kind, "__metadata__", ())


def _may_lack(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


def _one_line(box: str) -> str:
    """The first paragraph of tyro's framed message, without its frame and its title."""
    lines = [line.strip("│|") for line in box.splitlines() if line.startswith(("│", "|"))]
    if not lines:  # no frame at all: the title is a line among the others, with a rule below it
        plain = box.splitlines()
        lines = plain[next((i + 1 for i, line in enumerate(plain) if _rule(line.strip())), 0) :]
    paragraph = itertools.takewhile(lambda line: line.strip() and not _rule(line.strip()), lines)
    said = textwrap.dedent("\n".join(paragraph))
    if said.startswith("Missing from"):  # names, and what they are for further to the right
        said = re.sub(r"^ {4}(\S.*\S|\S) *$", r"\1:", said, flags=re.MULTILINE).replace("(required)", "")
    return " ".join(said.split()).rstrip(".")


def _rule(line: str) -> bool:
    return bool(line) and set(line) <= set("─-+|")
