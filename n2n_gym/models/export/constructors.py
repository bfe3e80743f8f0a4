"""Torch modules as the code that makes them: calls of their constructors, and the classes that torch lacks."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from n2n_gym.errors import InputError

PLACES = ("device", "dtype")
"""Arguments of torch's constructors that say where, not what."""

SIDES = ("kernel_size", "output_size")
"""Arguments without a default that take one number for both sides."""


def constructor(module: nn.Module) -> str:
    """The call that makes a module like this one, such as `nn.Conv2d(16, 32, 3, padding=1, bias=False)`.

    Arguments are read from the module's attributes of the same names, those that equal their defaults are left out.

    Raises:
        InputError: If an argument cannot be read.
    """
    if isinstance(module, nn.Sequential):
        return f"nn.Sequential({', '.join(map(constructor, module))})"
    kind = type(module)
    words = []
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.name in PLACES or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        needed = parameter.default is parameter.empty
        if not needed and not hasattr(module, parameter.name):
            continue
        value = _value(module, parameter)
        if needed:
            words.append(repr(value))
        elif value != parameter.default:
            words.append(f"{parameter.name}={value!r}")
    return f"{'' if is_own(kind) else 'nn.'}{kind.__name__}({', '.join(words)})"


def _value(module: nn.Module, parameter: inspect.Parameter) -> Any:
    try:
        value = getattr(module, parameter.name)
    except AttributeError:
        kind = type(module).__name__
        raise InputError(
            f"no code can be written for {kind}: it does not keep its argument {parameter.name} as an attribute"
        ) from None
    if isinstance(parameter.default, bool) and (value is None or isinstance(value, Tensor)):
        return value is not None  # whether there is a bias
    one_number = type(parameter.default) is int or parameter.name in SIDES
    if one_number and isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value


def is_own(kind: type[nn.Module]) -> bool:
    """Whether a class of modules is not one of torch's."""
    return getattr(nn, kind.__name__, None) is not kind


def own_code(modules: Iterable[nn.Module]) -> tuple[list[str], list[str]]:
    """The code of all that torch lacks and these modules are made of.

    Returns:
        The import statements that it needs, and the definitions, each behind those that it names.

    Raises:
        InputError: If a class has no source.
    """
    parts = (part for module in modules for part in module.modules())
    kinds = dict.fromkeys(type(part) for part in parts if is_own(type(part)))
    found: dict[str, str] = {}
    for kind in kinds:
        _define(kind, found)
    used = {name for source in found.values() for name in _names(source)}
    lines: dict[str, None] = {}
    for file in dict.fromkeys(sys.modules[kind.__module__] for kind in kinds):
        for statement in ast.parse(inspect.getsource(file)).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                statement.names = [alias for alias in statement.names if (alias.asname or alias.name) in used]
                if statement.names:
                    lines[ast.unparse(statement)] = None
    return list(lines), list(found.values())


def _define(thing: Any, found: dict[str, str]) -> None:
    """Add the source of a class or function, and before it of those of its file that it names."""
    if thing.__name__ in found:
        return
    try:
        source = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        raise InputError(f"no code can be written for {thing.__name__}: its source is not there") from None
    home = vars(sys.modules[thing.__module__])
    for name in _names(source):
        other = home.get(name)
        if other is not thing and getattr(other, "__module__", None) == thing.__module__:
            _define(other, found)
    found[thing.__name__] = source


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
