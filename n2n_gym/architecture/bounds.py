"""What no student of a teacher can go below, whatever both stages do."""

from __future__ import annotations

from collections.abc import Mapping

from n2n_gym.architecture.edits import FACTORS, Variable, removal_decisions, shrink, shrink_decisions
from n2n_gym.architecture.graph import IMAGE, Architecture
from n2n_gym.architecture.layers import FLOAT_BYTES, LayerKind


def smallest_student(teacher: Architecture) -> Mapping[str, float]:
    """Lower bounds on a student's parameters, MACs and bytes; students come close to that on parameters.

    Every layer that cannot be removed stays, with its least outputs and kernel, reading as few channels as any layer
    before it may put out, from a feature map of one pixel.
    """
    decisions = shrink_decisions(teacher)
    least = shrink(teacher, dict.fromkeys((d for d in decisions if d.variable is not Variable.PADDING), FACTORS[0]))
    removable = {decision.layer for decision in removal_decisions(teacher) if not decision.protected}
    parameters = macs = 0
    narrowest: list[int] = []  # the fewest channels that each layer's output may have
    for index, node in enumerate(least.nodes):
        layer = node.layer
        sources = [teacher.input_shape[0] if i == IMAGE else narrowest[i] for i in node.inputs]
        channels = sum(sources) if layer.kind is LayerKind.CONCAT else min(sources)
        outputs = layer.outputs or channels
        if index in removable:
            narrowest.append(min(channels, outputs))
            continue
        narrowest.append(outputs)
        pixel = (channels, 1, 1)
        parameters += layer.parameters([pixel])
        macs += layer.macs([pixel], (outputs, 1, 1))
    return {
        "parameters": parameters,
        "macs": macs,
        "model_bytes": FLOAT_BYTES * parameters,
        "activation_bytes": FLOAT_BYTES * teacher.classes,
    }
