"""What stands in the way of an import: each operator with its places and a remedy, all in one answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from n2n_gym.errors import InputError
from n2n_gym.layers import KINDS
from n2n_gym.layers.reading import Operand
from n2n_gym.tracing.places import Place

SHOWN = 3
"""So many places of one refusal are named; the others are counted."""

NORMALISES = "if this normalises the images, leave it out of forward and give mean and std (--mean, --std) instead"

ALONE = (
    "it computes with weights alone; let the module keep what comes out as its weights (after torch.nn.utils.weight_norm, "
    "spectral_norm and prune, remove_weight_norm, remove_spectral_norm and prune.remove do); a learned token or position "
    "is not supported"
)

SOFTMAX = (
    "let the network return the logits that go in there, if it is its end: students learn from them; within a network "
    "(attention, weights of branches) it is not supported"
)

QUANTISES = "students are float32; import the float network that this was made from"

REMEDIES = {
    "scaled_dot_product_attention": "attention is not supported: only layers that read feature maps or rows of numbers are",
    "_native_multi_head_attention": "attention is not supported: only layers that read feature maps or rows of numbers are",
    "conv_transpose2d": "transposed convolutions are not supported: a network here classifies images, and enlarges no map",
    "upsample": "enlarging feature maps is not supported: a network here classifies images",
    "softmax": SOFTMAX,
    "log_softmax": SOFTMAX,
    "sub": NORMALISES,
    "div": NORMALISES,
    "quantize": QUANTISES,
    "dequantize": QUANTISES,
    "quantized": QUANTISES,
    "fake_quantize": QUANTISES,
    "lstm": "recurrent layers are not supported",
    "gru": "recurrent layers are not supported",
    "to": "let the network compute in float32 throughout",
}
"""What to do about an operator, by its name or the first words of it."""

_PARAMETRISED = re.compile(r"(^|\.)parametrizations\.(?P<weight>\w+)")


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

    @classmethod
    def at(cls, what: str, reason: str, place: Place) -> Refusal:
        """A refusal of an operator; whatever a parametrisation computes is one refusal of the parametrisation."""
        found = _PARAMETRISED.search(place.module)
        if found is None:
            return cls(what, reason, place)
        weight = found["weight"]
        how = f"torch.nn.utils.parametrize.remove_parametrizations(module, {weight!r})"
        advice = f"take it off first, and what it computes stays: {how}"
        return cls(f"the parametrisation of {weight}", advice, replace(place, module=place.module[: found.start()]))


def short(operator: str) -> str:
    """An operator's name as people write it: `conv2d` of `aten.conv2d.default`."""
    return operator.split(".")[1] if operator.startswith("aten.") else operator


def remedy(operator: str) -> str:
    """What to do about an operator that no kind of layer stands for."""
    name = short(operator).rstrip("_")
    found = [advice for start, advice in REMEDIES.items() if name == start or name.startswith(f"{start}_")]
    return found[0] if found else "no kind of layer computes this; write it with supported ones"


def with_weights(operator: str, reason: str, operands: Iterable[Operand]) -> str:
    """Why a call cannot be read, for in words that fit what weights that it reads are probably for.

    Args:
        operator: The operator's short name.
        reason: Why the kind that claims it cannot read it.
        operands: What it reads.
    """
    weights = [operand for operand in operands if operand.weights is not None]
    if not weights or operator.rstrip("_") not in ("add", "sub", "div"):
        return reason
    if any(operand.trained for operand in weights):
        return (
            "no layer does this with a parameter (a learned position or bias); train the network without it, or let the layer "
            "before hold it as its bias, where it is one number for each channel"
        )
    return f"no layer does this with a tensor that the module holds; {NORMALISES}"


def supported() -> list[str]:
    """Names of the operators that kinds of layer stand for, in alphabetical order."""
    return sorted({short(name).rstrip("_") for kind in KINDS.values() for name in kind.torch_names})


def refuse(what: str, refusals: Sequence[Refusal]) -> InputError:
    """The error that says them all: one line for one reason, else a line for each."""
    places: dict[tuple[str, str], list[Place]] = {}
    for refusal in refusals:
        places.setdefault((refusal.what, refusal.reason), []).append(refusal.place)
    lines = [f"{about} at {_listed(where)}: {reason}" for (about, reason), where in places.items()]
    foreign = any(reason == remedy(about) for about, reason in places)
    last = f"Supported: {', '.join(supported())}" if foreign else ""
    if len(lines) == 1:
        return InputError(f"{what} cannot be imported: {lines[0]}{f'. {last}' if last else ''}")
    numbered = [f"  {number}. {line}" for number, line in enumerate(lines, 1)]
    return InputError("\n".join([f"{what} cannot be imported, for {len(lines)} reasons:", *numbered, *filter(None, [last])]))


def _listed(places: Sequence[Place]) -> str:
    distinct = list(dict.fromkeys(map(str, places)))
    more = f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return ", ".join(distinct[:SHOWN]) + more
