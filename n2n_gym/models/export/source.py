"""A network as plain PyTorch, as a person would write it: `student.py`."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.layers import Activation, Affine, Dropout
from n2n_gym.layers.modules import Concatenation, Product, Sum
from n2n_gym.models.build import Network
from n2n_gym.models.export.constructors import constructor, own_code
from n2n_gym.models.preprocessing import Preprocessing

WEIGHTS = "student.safetensors"

OPERATORS = (Sum, Product, Concatenation)
"""Modules of ours that are written as an operator, or a function of torch's."""

NUMBERWISE = (Activation, Affine, Dropout)
"""Layers that treat each number by itself: they read flat numbers as well as feature maps."""

VARIABLES = {"add": "shortcut", "multiply": "gate"}
"""What a variable is called that a layer of this kind reads besides the main path."""

LONGEST = 90
"""Characters of an expression; what is longer goes on in the next line."""


def student_source(network: Network, preprocessing: Preprocessing | None, facts: dict[str, Any]) -> str:
    """The text of a file that needs nothing but torch: a class, and `load()`, which reads `student.safetensors` beside it.

    Args:
        network: What it computes.
        preprocessing: What its images go through first; None leaves it to the caller.
        facts: What is known of the network, for the file's docstring.

    Raises:
        InputError: If no code can be written for a layer.
    """
    layers = named_layers(network)
    others, definitions = own_code(layer.module for layer in layers if not isinstance(layer.module, OPERATORS))
    lines = {"import json", "from pathlib import Path", "import torch", "from torch import Tensor, nn", *others}
    if preprocessing is not None:
        lines.add("from torch.nn import functional")
    parts = [
        f'"""{_about(network.architecture, facts)}\n"""\n',
        "from __future__ import annotations\n",
        *_imports(lines),
        *(f"\n{text.rstrip()}\n" for text in (*definitions, _class(network.architecture, layers, preprocessing), _LOAD)),
    ]
    return "\n".join(parts)


def _imports(lines: set[str]) -> list[str]:
    """Import statements in order: the standard library's, a blank line, the others."""
    ordered = sorted(lines - {"from __future__ import annotations"}, key=lambda line: (line.startswith("from"), line))
    standard = [line for line in ordered if line.split()[1].split(".")[0] in sys.stdlib_module_names]
    return [*standard, "", *(line for line in ordered if line not in standard), ""]


def student_weights(network: Network) -> dict[str, Tensor]:
    """The network's weights by the names that they have in `student.py`."""
    return {
        f"{layer.name}.{name}": value.detach().cpu().contiguous()
        for layer in named_layers(network)
        for name, value in layer.module.state_dict().items()
    }


@dataclass(frozen=True)
class NamedLayer:
    """A layer of the class.

    Attributes:
        name: Of its attribute.
        module: What it holds.
        flattens: Whether it reads flat numbers, shape (N, features), and puts such out.
    """

    name: str
    module: nn.Module
    flattens: bool = False

    @property
    def heavy(self) -> bool:
        """Whether it has a matrix of weights: it begins a line of its own."""
        return any(weight.dim() > 1 for weight in self.module.parameters())


def named_layers(network: Network) -> list[NamedLayer]:
    """The attributes that a network's layers are in `student.py`, one a node; equal ones without weights share one."""
    counts: Counter[str] = Counter()
    shared: dict[tuple[str, str], str] = {}
    found = []
    for node, module in zip(network.architecture.nodes, network.layers, strict=True):
        kind = node.layer.kind
        core = _dense(module)
        if module.state_dict():
            counts[kind] += 1
            name = f"{kind}{counts[kind]}"
        else:
            key = (kind, constructor(module))  # not its repr, which need not say all numbers
            number = sum(other == kind for other, _ in shared) + 1
            name = shared.setdefault(key, kind if number == 1 else f"{kind}_{number}")
        found.append(NamedLayer(name, module if core is None else core, core is not None))
    return found


def _dense(module: nn.Module) -> nn.Linear | None:
    """The linear layer of a module that flattens what it reads; None for another module."""
    match list(module) if isinstance(module, nn.Sequential) else []:
        case [nn.Flatten(), nn.Linear() as dense, nn.Unflatten()]:
            return dense
    return None


def _about(architecture: Architecture, facts: dict[str, Any]) -> str:
    lines = [
        f"A trained image classifier: {architecture.parameters:,} parameters, {architecture.macs:,} multiply-accumulates."
    ]
    measured = {"validation": facts.get("val_accuracy"), "test": facts.get("test_accuracy")}
    said = ", ".join(f"{value:.2%} of the {name} images" for name, value in measured.items() if value is not None)
    if said:
        lines += ["", f"It classifies {said} correctly."]
    if names := facts.get("class_names"):
        lines += ["", f"Classes: {', '.join(f'{index} {name}' for index, name in enumerate(names))}."]
    lines += [
        "",
        f"It needs PyTorch and the file {WEIGHTS}:",
        "",
        "    from student import load",
        "",
        "    logits = load()(images)",
    ]
    return "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")


def _class(architecture: Architecture, layers: Sequence[NamedLayer], preprocessing: Preprocessing | None) -> str:
    channels, height, width = architecture.input_shape
    init = ["super().__init__()"]
    if preprocessing is None:
        reads = f"Takes normalised images of shape (N, {channels}, {height}, {width})"
        begin = []
    else:
        reads = f"Takes images of shape (N, {channels}, height, width), uint8 or floats from 0 to 1"
        numbers = preprocessing.to_json()
        for name in ("mean", "std"):
            shortest = [float(str(np.float32(number))) for number in numbers[name]]
            values = f"torch.tensor({shortest}).view(1, -1, 1, 1)"
            init.append(f'self.register_buffer("{name}", {values}, persistent=False)')
        begin = [
            "x = images.float() / 255 if images.dtype == torch.uint8 else images.float()",
            f"if x.shape[2:] != {preprocessing.side}:",
            f'    x = functional.interpolate(x, {preprocessing.side}, mode="bilinear", antialias=True)',
            "x = (x - self.mean) / self.std",
        ]
    called = {layer.name: layer.module for layer in layers if not isinstance(layer.module, OPERATORS)}
    init += [f"self.{name} = {constructor(module)}" for name, module in called.items()]
    forward = [*begin, *_Forward(architecture, layers, "images" if preprocessing is None else "x").lines()]
    return "\n".join(
        [
            "class Student(nn.Module):",
            f'    """{reads}; puts out logits of shape (N, {architecture.classes})."""',
            "",
            "    def __init__(self) -> None:",
            *(f"        {line}" for line in init),
            "",
            "    def forward(self, images: Tensor) -> Tensor:",
            *(f"        {line}" for line in forward),
        ]
    )


class _Forward:
    """Writes the lines of `forward`: the main path is `x`, what is needed later has a name of its own.

    Args:
        architecture: The graph.
        layers: Its nodes' attributes.
        image: The variable that holds what the network reads.
    """

    def __init__(self, architecture: Architecture, layers: Sequence[NamedLayer], image: str) -> None:
        self._nodes = architecture.nodes
        self._layers = layers
        self._main = set(architecture.main_path)
        self._readers: dict[int, list[int]] = {i: [] for i in range(IMAGE, len(self._nodes))}
        for index, node in enumerate(self._nodes):
            for source in node.inputs:
                self._readers[source].append(index)
        self._left = {value: len(readers) for value, readers in self._readers.items()}
        self._held = {IMAGE: image}  # which variable holds which value
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        """All of them, the return statement last."""
        waiting = self._groups()
        while waiting:
            ready = [group for group in waiting if all(i in self._held for i in self._nodes[group[0]].inputs)]
            group = next((group for group in ready if group[0] not in self._main), ready[0])  # branches before the main path
            waiting.remove(group)
            self._write(group)
        result = self._lines.pop().split(" = ", 1)[1]
        return [*self._lines, f"return {result}" if self._flat(len(self._nodes) - 1) else f"return torch.flatten({result}, 1)"]

    def _groups(self) -> list[list[int]]:
        """Nodes that make a line each: a layer with weights, a join or a pool, and what follows it alone."""
        groups: list[list[int]] = []
        ends: dict[int, list[int]] = {}
        for index, node in enumerate(self._nodes):
            group = ends.pop(node.inputs[0], None) if not (node.layer.joins or self._layers[index].heavy) else None
            if group is None or len(self._readers[node.inputs[0]]) > 1 or self._too_long([*group, index]):
                group = []
                groups.append(group)
            group.append(index)
            ends[index] = group
        return groups

    def _too_long(self, group: list[int]) -> bool:
        return sum(len(f"self.{self._layers[i].name}()") for i in group) > LONGEST

    def _write(self, group: list[int]) -> None:
        """Add a group's line, and before it one that keeps what the line would write over."""
        sources, last = self._nodes[group[0]].inputs, group[-1]
        code = self._called(group[0], [self._held[i] for i in sources])
        for index in group[1:]:
            code = self._called(index, [code])
        freed = []
        for source in sources:
            self._left[source] -= 1
            if not self._left[source]:
                freed.append(self._held.pop(source))
        if last not in self._main:
            mine = [name for name in freed if name not in ("x", "images")]
            self._held[last] = mine[0] if mine else self._free_name(last)
        else:
            for value in [value for value, name in self._held.items() if name == "x"]:
                self._held[value] = self._free_name(value)
                self._lines.append(f"{self._held[value]} = x")
            self._held[last] = "x"
        self._lines.append(f"{self._held[last]} = {code}")

    def _called(self, index: int, operands: list[str]) -> str:
        """The layer's expression of its operands."""
        layer = self._layers[index]
        match layer.module:
            case Sum():
                return " + ".join(operands)
            case Product():
                return " * ".join(operands)
            case Concatenation():
                return f"torch.cat([{', '.join(operands)}], dim=1)"
        if not layer.flattens:
            return f"self.{layer.name}({', '.join(operands)})"
        [operand] = operands
        operand = operand if self._flat(self._nodes[index].inputs[0]) else f"torch.flatten({operand}, 1)"
        return f"self.{layer.name}({operand})" + ("" if self._flat(index) else "[:, :, None, None]")

    def _flat(self, value: int) -> bool:
        """Whether a value is held with shape (N, features): linear layers read it, and what treats each number by itself."""
        if value == IMAGE or not self._may_be_flat(value):
            return False
        passes = isinstance(self._nodes[value].layer, NUMBERWISE)
        return self._layers[value].flattens or (passes and self._flat(self._nodes[value].inputs[0]))

    def _may_be_flat(self, value: int) -> bool:
        for reader in self._readers[value]:
            passes = isinstance(self._nodes[reader].layer, NUMBERWISE) and self._may_be_flat(reader)
            if not (self._layers[reader].flattens or passes):
                return False
        return True

    def _free_name(self, value: int) -> str:
        """A variable that holds nothing now, called after what the value is for."""
        while not self._nodes[reader := max(self._readers[value])].layer.joins and self._readers[reader]:
            value = reader
        word = VARIABLES.get(self._nodes[reader].layer.kind, "branch")
        taken = set(self._held.values())
        numbered = (f"{word}{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([word], numbered) if name not in taken)


_LOAD = f'''def load(path: str | Path | None = None) -> Student:
    """The trained network, in evaluation mode; by default from {WEIGHTS} beside this file."""
    data = bytearray((Path(path) if path else Path(__file__).with_name("{WEIGHTS}")).read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")  # the header's length, the header, the numbers
    dtypes = {{"F32": torch.float32, "I64": torch.int64}}
    weights = {{}}
    for name, entry in json.loads(data[8:begin]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            numbers = torch.frombuffer(data[begin + first : begin + last], dtype=dtypes[entry["dtype"]])
            weights[name] = numbers.reshape(entry["shape"])
    student = Student()
    student.load_state_dict(weights)
    return student.eval()
'''
