"""What stage 1 may do to an architecture: remove layers (section 3.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from n2n_gym.architecture.blocks import IMAGE, Node
from n2n_gym.architecture.channels import makers_of_classes, makers_of_parts
from n2n_gym.architecture.graph import Architecture
from n2n_gym.layers import Channels, Layer

KEEP, REMOVE = 0, 1
"""The two actions of layer removal."""


@dataclass(frozen=True, slots=True)
class RemovalDecision:
    """One layer of the main path; a protected layer stays whatever the action says."""

    layer: int
    protected: bool


@lru_cache(maxsize=64)
def removal_decisions(architecture: Architecture) -> tuple[RemovalDecision, ...]:
    """Stage 1's decisions in order: every layer on the main path but the frames of blocks.

    Sums, concatenations, parts and the activation behind a sum frame a block and are no decisions; neither are shortcuts, nor
    the layers of a gate: that a map is scaled by its gate is one decision, the gate goes with it. Protected are the first
    layer, strided convolutions, the last pool and the last linear layer, which tie the student to its images, its resolutions
    and its classes, whatever else makes the classes or gives channels that are divided into parts, and in a block what changes
    a feature map's height or width. ResNet-18 has 45 decisions, ResNet-34 has 85.
    """
    path = architecture.main_path
    layers = {index: architecture.nodes[index].layer for index in path}
    pools = [index for index in path if layers[index].pools]
    linears = [index for index in path if layers[index].flattens]
    makers = makers_of_classes(architecture) | makers_of_parts(architecture)
    protected = {path[0], *pools[-1:], *linears[-1:], *makers, *_resizers(architecture)}
    return tuple(
        RemovalDecision(index, index in protected or layer.strided)
        for index, layer in layers.items()
        if not _frames(layer) and not architecture.is_block_activation(index)
    )


def _frames(layer: Layer) -> bool:
    return layer.channels is Channels.PART or (layer.joins and not layer.gates)


def _resizers(architecture: Architecture) -> set[int]:
    """Layers in blocks that change height or width: without one, its branch does not fit the others."""
    if not architecture.shapes:
        return set()
    members = frozenset().union(*(block.members for block in architecture.blocks))
    return {i for i in members if architecture.shapes[i][1:] != architecture.input_shapes(i)[0][1:]}


class Cut(NamedTuple):
    """What is left of an architecture.

    Attributes:
        architecture: It.
        origins: For each of its layers, the index that the layer had before.
    """

    architecture: Architecture
    origins: tuple[int, ...]


def cut(architecture: Architecture, layers: Collection[int]) -> Cut:
    """The architecture without these layers; what followed each reads what came before it.

    Where a branch of a sum no longer has the channels that the sum needs, or one of a concatenation those that it had, the
    last layer left in it that has channels of its own gives them. The branch of a sum that had such layers, and has none left,
    goes as a whole; so does that of a concatenation if what is left of it are channels that the others bring, too. A gate gets
    the channels of what it scales; it goes where nothing is left of the layers whose output that was.

    Two things that compute nothing go too: a sum of which only the shortcut is left, and a rectifier directly
    behind a rectifier. So students that compute the same are more often equal, and equal ones are trained once.
    """
    left = _Left(architecture)
    for index, node in enumerate(architecture.nodes):
        inputs = tuple(left.places[i] for i in node.inputs)
        if node.layer.joins:
            inputs = left.joined(index, inputs)
            gone = len(inputs) == 1
        else:
            gone = _absorbed(node.layer, left.nodes, inputs[0])
        if gone or index in layers:
            left.places[index] = inputs[0]
        else:
            left.append(index, Node(node.layer, inputs))
    return left.finished()


class _Left:
    """What is left of an architecture so far.

    Attributes:
        nodes: Its layers.
        origins: Where each stood.
        channels: Of each one's output.
        places: Where the output of each layer of the architecture is to be found now.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._before = architecture
        self._blocks = {block.join: block for block in architecture.blocks}
        self.nodes: list[Node] = []
        self.origins: list[int] = []
        self.channels: list[int] = []
        self._stems: list[int] = []  # which layers each one's channels come from, as the bits of a number
        self.places = {IMAGE: IMAGE}

    def append(self, origin: int, node: Node) -> None:
        self.places[origin] = len(self.nodes)
        self.nodes.append(Node(node.layer.reading(self._channels_of(node.inputs[0])), node.inputs))
        self.origins.append(origin)
        self.channels.append(self._output_channels(self.nodes[-1]))
        own = node.layer.channels in (Channels.FREE, Channels.PART)
        self._stems.append(1 << len(self.nodes) if own else self._stems_of(node.inputs))

    def joined(self, join: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """Those inputs of a sum, a gate or a concatenation that are left, made to fit."""
        before = self._before.nodes[join]
        if before.layer.channels is Channels.STACKED:
            return self._stacked(join, inputs)
        if before.layer.gates:
            return self._gated(join, inputs)
        inputs = self._fitted(join, inputs)
        return inputs[:1] if len(set(inputs)) == 1 and self._read_several(join) else inputs

    def _stacked(self, join: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The inputs of a concatenation without those that only repeat others, the rest as wide as before if they can."""
        ends, branches = self._before.nodes[join].inputs, self._blocks[join].branches
        if all(self.origins[i] == end if i != IMAGE else end == IMAGE for i, end in zip(inputs, ends, strict=True)):
            return inputs  # each branch still ends as it did
        left = [self._givers(i, branch) for i, branch in zip(inputs, branches, strict=True)]
        kept = list(range(len(inputs)))
        for place, (end, branch) in enumerate(zip(ends, branches, strict=True)):
            gave = givers(self._before.nodes, end, branch)
            others = [other for other in kept if other != place]
            if not gave or not others or not {self.origins[i] for i in left[place]}.isdisjoint(gave):
                continue
            if not self._stems_of([inputs[place]]) & ~self._stems_of([inputs[other] for other in others]):
                kept = others
            elif left[place] and all(set(left[place]).isdisjoint(left[other]) for other in others):
                self._give(left[place], self._before.widths[end])
        return tuple(inputs[place] for place in kept)

    def _gated(self, join: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """A map and its gate, if there is still something to scale and the gate has, or can be given, the map's channels."""
        features, gate = inputs
        entry = self._entry(join)
        merged = features == gate and self._read_several(join)
        if merged or (entry is not None and features == self.places[entry]):
            return (features,)
        needed = self._channels_of(features)
        if self._channels_of(gate) != needed:
            giving = self._givers(gate, self._blocks[join].branches[1])
            if not giving:
                return (features,)
            self._give(giving, needed)
        return inputs

    def _entry(self, join: int) -> int | None:
        """What the layers read whose output a gate scales; None if none compute anything but those that others read, too."""
        nodes = self._before.nodes
        within = {join, *self._blocks[join].branches[1]}
        entry = index = nodes[join].inputs[0]
        while index != IMAGE and not _frames(nodes[index].layer) and not nodes[index].layer.gates:
            if not self._before.readers[index] <= within:
                break
            within.add(index)
            index = nodes[index].inputs[0]
        return None if self._sources[index] == self._sources[entry] else index

    def _read_several(self, join: int) -> bool:
        """Whether a join read different maps: one that reads a map twice, as a square does, computes something with it."""
        return len({self._sources[i] for i in self._before.nodes[join].inputs}) > 1

    @cached_property
    def _sources(self) -> dict[int, int]:
        """For each layer of the architecture, the one whose output its own is: itself, unless it computes nothing there."""
        nodes = self._before.nodes
        found = {IMAGE: IMAGE}
        for index, node in enumerate(nodes):
            source = found[node.inputs[0]]
            found[index] = source if not node.layer.joins and _absorbed(node.layer, nodes, source) else index
        return found

    def _fitted(self, join: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The inputs of a sum, made to have the same channels."""
        sizes = [self._channels_of(i) for i in inputs]
        if len(set(sizes)) == 1:
            return inputs
        branches = self._blocks[join].branches
        left = [self._givers(i, branch) for i, branch in zip(inputs, branches, strict=True)]
        gave = [
            bool(givers(self._before.nodes, i, branch))
            for i, branch in zip(self._before.nodes[join].inputs, branches, strict=True)
        ]
        shortcuts = {size for size, has, had in zip(sizes, left, gave, strict=True) if not has and not had}
        needed = shortcuts.pop() if len(shortcuts) == 1 else self._before.widths[join]
        kept = []
        for source, size, has, had in zip(inputs, sizes, left, gave, strict=True):
            if size != needed and has:
                self._give(has, needed)
            if size == needed or has or not had:
                kept.append(source)
        return tuple(kept) or inputs

    def finished(self) -> Cut:
        """The architecture of what the output still depends on."""
        output = self.places[len(self._before.nodes) - 1] if self._before.nodes else IMAGE
        needed = {output} - {IMAGE}
        for index in range(output, -1, -1):
            if index in needed:
                needed.update(i for i in self.nodes[index].inputs if i != IMAGE)
        order = sorted(needed)
        renumbered = {IMAGE: IMAGE} | {old: new for new, old in enumerate(order)}
        nodes = tuple(Node(self.nodes[i].layer, tuple(renumbered[k] for k in self.nodes[i].inputs)) for i in order)
        origins = tuple(self.origins[i] for i in order)
        return Cut(Architecture(nodes, self._before.input_shape, self._before.classes), origins)

    def _channels_of(self, place: int) -> int:
        return self._before.input_shape[0] if place == IMAGE else self.channels[place]

    def _output_channels(self, node: Node) -> int:
        return node.layer.output_channels([self._channels_of(i) for i in node.inputs])

    def _stems_of(self, places: Iterable[int]) -> int:
        stems = 0
        for place in places:
            stems |= 1 if place == IMAGE else self._stems[place]
        return stems

    def _givers(self, place: int, branch: frozenset[int]) -> list[int]:
        return _givers(self.nodes, place, lambda index: index != IMAGE and self.origins[index] in branch)

    def _give(self, giving: Sequence[int], channels: int) -> None:
        for index in giving:
            self.nodes[index] = Node(self.nodes[index].layer.giving(channels), self.nodes[index].inputs)
        for index in range(min(giving), len(self.nodes)):
            node = self.nodes[index]
            self.nodes[index] = Node(node.layer.reading(self._channels_of(node.inputs[0])), node.inputs)
            self.channels[index] = self._output_channels(self.nodes[index])


def _absorbed(layer: Layer, nodes: Sequence[Node], source: int) -> bool:
    """Whether a layer computes nothing where it reads that one, or `IMAGE`."""
    return source != IMAGE and layer.absorbed_by(nodes[source].layer)


def givers(nodes: Sequence[Node], index: int, branch: frozenset[int]) -> list[int]:
    """The layers of a branch that give an output its channels; none if others do, or parts or several of them."""
    return _givers(nodes, index, branch.__contains__)


def _givers(nodes: Sequence[Node], index: int, within: Callable[[int], bool]) -> list[int]:
    found: list[int] = []
    waiting = [index]
    while waiting:
        index = waiting.pop()
        if not within(index) or nodes[index].layer.channels in (Channels.STACKED, Channels.PART):
            return []
        if nodes[index].layer.channels is Channels.FREE:
            found.append(index)
        else:
            waiting += nodes[index].inputs
    return found


def remove(architecture: Architecture, layers: Collection[int]) -> Architecture:
    """What `cut` leaves, without where it comes from."""
    return cut(architecture, layers).architecture


def removed_layers(architecture: Architecture, actions: Sequence[int]) -> frozenset[int]:
    """The layers that stage 1's actions remove: one `KEEP` or `REMOVE` per decision; protected layers stay.

    Raises:
        ValueError: If there is not one valid action per decision.
    """
    decisions = removal_decisions(architecture)
    check_actions(actions, len(decisions), 2)
    pairs = zip(decisions, actions, strict=True)
    return frozenset(d.layer for d, action in pairs if action == REMOVE and not d.protected)


def apply_removals(architecture: Architecture, actions: Sequence[int]) -> Architecture:
    """The architecture that stage 1's actions leave; arguments as of `removed_layers`."""
    return remove(architecture, removed_layers(architecture, actions))


def check_actions(actions: Sequence[int], decisions: int, choices: int) -> None:
    """Refuse what is not one valid action per decision.

    Raises:
        ValueError: Then.
    """
    if len(actions) != decisions or not all(0 <= action < choices for action in actions):
        raise ValueError(f"expected {decisions} actions from 0 to {choices - 1}, received {list(actions)}")
