"""What stands in the way of an import: each operator with its places and a remedy, all in one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from n2n_gym.errors import InputError
from n2n_gym.layers import KINDS
from n2n_gym.tracing.places import Place

SHOWN = 3
"""So many places of one refusal are named; the others are counted."""

REMEDIES = {
    "scaled_dot_product_attention": "attention is not supported: only layers that read feature maps or rows of numbers are",
    "_native_multi_head_attention": "attention is not supported: only layers that read feature maps or rows of numbers are",
    "conv_transpose2d": "transposed convolutions are not supported: a network here classifies images, and enlarges no map",
    "upsample": "enlarging feature maps is not supported: a network here classifies images",
    "softmax": "let the network return the logits that go in there: students learn from them",
    "log_softmax": "let the network return the logits that go in there: students learn from them",
    "sub": "if this normalises the images, leave it out of the network and give mean and std instead",
    "div": "if this normalises the images, leave it out of the network and give mean and std instead",
    "_weight_norm": "take the parametrisation off first (torch.nn.utils.remove_weight_norm)",
    "lstm": "recurrent layers are not supported",
    "gru": "recurrent layers are not supported",
    "to": "let the network compute in float32 throughout",
}
"""What to do about an operator, by the beginning of its name."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a network cannot be imported.

    Attributes:
        what: The operator, or what else it is about.
        reason: What is wrong with it, and what to do.
        place: Where it is.
    """

    what: str
    reason: str
    place: Place


def short(operator: str) -> str:
    """An operator's name as people write it: `conv2d` of `aten.conv2d.default`."""
    return operator.split(".")[1] if operator.startswith("aten.") else operator


def remedy(operator: str) -> str:
    """What to do about an operator that no kind of layer stands for."""
    name = short(operator).rstrip("_")
    found = [advice for start, advice in REMEDIES.items() if name.startswith(start)]
    return found[0] if found else "no kind of layer computes this; write it with supported ones"


def supported() -> list[str]:
    """Names of the operators that kinds of layer stand for, in alphabetical order."""
    return sorted({short(name).rstrip("_") for kind in KINDS.values() for name in kind.torch_names})


def refuse(what: str, refusals: Sequence[Refusal]) -> InputError:
    """The error that says them all: one line for one reason, else a line for each."""
    places: dict[tuple[str, str], list[Place]] = {}
    for refusal in refusals:
        places.setdefault((refusal.what, refusal.reason), []).append(refusal.place)
    lines = [f"{about} at {_listed(where)}: {reason}" for (about, reason), where in places.items()]
    known = supported()
    foreign = any(about.rstrip("_") not in known for about, _ in places)
    last = f"Supported: {', '.join(known)}" if foreign else ""
    if len(lines) == 1:
        return InputError(f"{what} cannot be imported: {lines[0]}{f'. {last}' if last else ''}")
    numbered = [f"  {number}. {line}" for number, line in enumerate(lines, 1)]
    return InputError("\n".join([f"{what} cannot be imported, for {len(lines)} reasons:", *numbered, *filter(None, [last])]))


def _listed(places: Sequence[Place]) -> str:
    distinct = list(dict.fromkeys(map(str, places)))
    more = f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return ", ".join(distinct[:SHOWN]) + more
