"""What decides, besides task and seed, what a run is: code and data, as one hash."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

import agents
import n2n_gym
from agents.algorithms.registry import STAGES, algorithm
from agents.algorithms.saving import pretrained_policies
from agents.benchmark.runs import versions

AGENTS = Path(str(agents.__file__)).parent

JUDGES = tuple(AGENTS / "benchmark" / name for name in ("runs.py", "exhaustive.py", "large.py"))
"""How a run goes, and what it is judged by."""

UNFOLLOWED = (AGENTS / "__init__.py", AGENTS / "algorithms" / "registry.py")
"""They name all algorithms: what they import is not what one of them depends on."""


def sources(agent: str) -> str:
    """A hash of all that decides what an algorithm and its environments do; comments and docstrings are none of it.

    That is the code of the algorithm, of what it imports, of the judges and of the whole of `n2n_gym`, and the policies and
    accuracies that come with the package. Libraries that are installed have versions instead.

    Args:
        agent: One of this package's algorithms, or the `.py` file of one's own.

    Raises:
        InputError: If there is none of that name.
    """
    if agent.endswith(".py"):
        files, beside, packages, settings = [Path(agent)], [Path(agent).parent], {"agents"}, ""
    else:
        found = algorithm(agent)
        modules = [found.kind.__module__, type(found).__module__]
        files, beside, settings = [Path(str(sys.modules[name].__file__)) for name in modules], [], repr(found)
        packages = {"agents", *(name.partition(".")[0] for name in modules)} - {name.replace("-", "_") for name in versions()}
    code = [*with_imports([*files, *JUDGES], beside, packages), *sorted(Path(str(n2n_gym.__file__)).parent.rglob("*.py"))]
    [pretrained] = {path.parent for path in pretrained_policies().values()}
    data = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(pretrained.iterdir()) if file.is_file()]
    parts = (settings, repr(sorted(STAGES.items())), *(_hash_of(file.read_bytes()) for file in code), *data)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


@cache
def _hash_of(source: bytes) -> str:
    return hashlib.sha256(code_of(source).encode()).hexdigest()


def with_imports(files: Sequence[Path], beside: Sequence[Path] = (), packages: Collection[str] = ("agents",)) -> list[Path]:
    """Some modules, and those that they import, directly or not, as far as they are neither Python's own nor installed.

    Args:
        files: The modules.
        beside: Folders that are searched first.
        packages: Of these everything is followed, installed or not.
    """
    everywhere = [*beside, *map(Path, sys.path)]
    own = [*beside, *(folder for folder in map(Path, sys.path) if not _of_libraries(folder))]
    known: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in known:
            continue
        known.add(file)
        for level, name in _names(file.read_bytes()) if file not in UNFOLLOWED else ():
            top = name.partition(".")[0]
            if level:
                waiting += _located(name, file.parents[level - 1 : level])
            elif top != n2n_gym.__name__:  # all of it counts, anyway
                waiting += _located(name, everywhere if top in packages else own)
    return sorted(known)


@cache
def _names(source: bytes) -> tuple[tuple[int, str], ...]:
    """What a module's source imports: how many dots stand before a name, and the name, maybe of something in a module."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, f"{node.module or ''}.{alias.name}".removeprefix(".")) for alias in node.names]
    return tuple(found)


def _located(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Files of a module, and of the packages that it lies in."""
    for part in name.split("."):
        for folder in folders:
            if found := [file for file in (folder / part / "__init__.py", folder / f"{part}.py") if file.is_file()]:
                yield found[0]
                break
        folders = [folder / part for folder in folders if (folder / part).is_dir()]


def _of_libraries(folder: Path) -> bool:
    """Whether a folder holds what is installed, or Python's own modules."""
    installed = not {"site-packages", "dist-packages"}.isdisjoint(folder.parts)
    return installed or folder.is_relative_to(sysconfig.get_path("stdlib"))


def code_of(source: str | bytes) -> str:
    """What Python makes of a module's source, without strings that stand by themselves."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
