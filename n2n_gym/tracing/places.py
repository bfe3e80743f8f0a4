"""Where in the user's code a layer stands."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx, nn

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_NOT_THE_USERS = (Path(torch.__file__).parent, Path(__file__).parents[1])
_PYTHONS = Path(sysconfig.get_paths()["stdlib"])
_INSTALLED = ("site-packages", "dist-packages")  # within Python's own folder, and not Python's


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operator is called.

    Attributes:
        module: The submodule's path, such as `layer1.0.conv2`; empty for the network itself.
        file: The user's file, as seen from the current folder or from where Python finds modules; empty if it is not known.
        line: Its line there, from 1 on; 0 if it is not known.
    """

    module: str
    file: str = ""
    line: int = 0

    @classmethod
    def of(cls, node: fx.Node) -> Place:
        """Where a node of a traced graph comes from."""
        modules = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        frames = [(m["file"], int(m["line"])) for m in _FRAME.finditer(node.meta.get("stack_trace") or "")]
        return cls(modules[-1].partition("@")[0] if modules else "", *_users(frames))

    @classmethod
    def of_error(cls, error: BaseException, network: nn.Module | None = None) -> Place:
        """The user's line, and the submodule of the network that was run, that led to an error."""
        frames: list[tuple[FrameType, int]] = []
        cause: BaseException | None = error
        while cause is not None:
            frames[:0] = traceback.walk_tb(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        paths = {id(part): path for path, part in network.named_modules()} if network is not None else {}
        called = [paths[own] for frame, _ in frames if (own := id(frame.f_locals.get("self"))) in paths]
        return cls(called[-1] if called else "", *_users([(frame.f_code.co_filename, line) for frame, line in frames]))

    def to_json(self) -> dict[str, Any]:
        """The place as JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        if not self.module:
            return where or "an unknown line"
        return f"{self.module} ({where})" if where else f"module {self.module}"  # a number alone would tell nothing


def _users(frames: list[tuple[str, int]]) -> tuple[str, int]:
    """The innermost frame that is not torch's, Python's or ours."""
    for file, line in reversed(frames):
        path = Path(file)
        pythons = path.is_relative_to(_PYTHONS) and not any(part in _INSTALLED for part in path.parts)
        if not (file.startswith("<") or pythons or any(path.is_relative_to(folder) for folder in _NOT_THE_USERS)):
            return _shown(file), line
    return "", 0


def _shown(file: str) -> str:
    """A file's name as seen from the nearest of the folders that Python looks in: the same on every machine."""
    path = Path(file)
    roots = [Path.cwd(), *(Path(root) for root in sys.path if root)]
    seen = [str(path.relative_to(root)) for root in roots if path.is_relative_to(root)]
    return min(seen, key=len, default=file)
