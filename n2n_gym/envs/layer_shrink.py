"""`N2N/LayerShrink-v0`: stage 2 of Algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from n2n_gym.architecture import FACTORS, Architecture, apply_shrinkages, shrink, shrink_decisions
from n2n_gym.architecture.features import decision_rows
from n2n_gym.candidate import Candidate
from n2n_gym.envs.base import CompressionEnv, Settings, Stage
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError


class ShrinkStage(Stage):
    """Shrink each configuration variable of what stage 1 left (section 3.2.2)."""

    shows_previous_action: ClassVar[bool] = True

    def __init__(self, base: Architecture) -> None:
        decisions = shrink_decisions(base)
        if not decisions:
            raise InputError("nothing is left to shrink: the network has no convolution and no hidden linear layer")
        self.base = base
        self._decisions = decisions
        self.layers = tuple(decision.layers for decision in decisions)
        self.variables = tuple(decision.variable for decision in decisions)
        self.rows = decision_rows(base, [d.layers[0] for d in decisions], self.variables)
        self.masks = np.ones((len(decisions), len(FACTORS)), dtype=np.bool_)

    @classmethod
    def of_file(cls, teacher: Architecture, path: str | None) -> ShrinkStage:
        """The stage that starts from a stage-1 result's file, or from the teacher itself."""
        return cls(teacher if path is None else Candidate.load(Path(path).expanduser(), teacher).architecture)

    def student(self, actions: Sequence[int]) -> Architecture:
        return apply_shrinkages(self.base, actions)

    def describe(self, position: int, action: int) -> str:
        return f"x {FACTORS[action]:g}"

    def resized(self, actions: Sequence[int]) -> Architecture:
        return shrink(self.base, {d: FACTORS[action] for d, action in zip(self._decisions, actions, strict=False)})


class LayerShrinkEnv(CompressionEnv):
    """
    ## Description

    An agent walks along a network and decides for each configuration variable of each layer - kernel size, padding,
    number of filters - by how much to shrink it. The student is trained for a few epochs to reproduce the teacher's
    logits and rewarded for being small and accurate: stage 2 of *N2N Learning* (Ashok et al., ICLR 2018). Episodes start
    from the student that stage 1 found; compression and accuracy are always measured against the teacher.

    ## Action Space

    `Discrete(10)`: action `a` multiplies the current variable by (a + 1) / 10, so 0 shrinks it to a tenth and 9 keeps it.
    Results are rounded, halves up; a kernel stays at least 1, a layer keeps at least 10 filters or as many as it had.

    ## Observation Space

    `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `architecture` | `Box(decisions * 9)`, float32 | one row of 9 numbers per configuration variable, row after row |
    | `layer` | `Box(9)`, float32 | the row to be decided on now; zeros when the episode is over |
    | `position` | `Discrete(decisions + 1)` | its index |
    | `previous_action` | `Discrete(11)` | 0 at the start, then the previous action + 1 |

    The columns of a row are those of `N2N/LayerRemoval-v0`, of the layer before it is shrunk, with

    | column | meaning |
    |---|---|
    | 7 variable | 1 kernel, 2 padding, 3 outputs |
    | 8 decision | 0 not decided, else action + 1 |

    Variables that must agree are one decision, led by the first layer that has them: the filters of all layers that
    meet in a sum; in a residual block, kernel and padding (the kernel stays odd, the feature map keeps its size).

    ## Starting State

    Nothing decided, position 0. Every episode starts alike.

    ## Rewards

    As in `N2N/LayerRemoval-v0`.

    ## Episode End

    `terminated` after the last variable's decision. Never `truncated`.

    ## Information

    As in `N2N/LayerRemoval-v0`.

    ## Arguments

    ```python
    gym.make("N2N/LayerShrink-v0", teacher="conv4", architecture="runs/demo/stage1.json")
    ```

    Those of `N2N/LayerRemoval-v0`, and

    | argument | default | meaning |
    |---|---|---|
    | `architecture` | None | file of the stage-1 student to start from; by default the teacher itself |

    ## Version History

    * v0: first version
    """

    def __init__(
        self,
        *,
        architecture: str | None = None,
        render_mode: Literal["ansi", "rgb_array"] | None = None,
        **settings: Any,
    ) -> None:
        chosen = Settings.of(settings)
        super().__init__(ShrinkStage.of_file(chosen.problem.architecture, architecture), chosen, render_mode)


class LayerShrinkVectorEnv(CompressionVectorEnv):
    """Episodes of `LayerShrinkEnv` side by side; takes the same arguments."""

    def __init__(self, num_envs: int = 1, *, architecture: str | None = None, **settings: Any) -> None:
        chosen = Settings.of(settings)
        super().__init__(num_envs, ShrinkStage.of_file(chosen.problem.architecture, architecture), chosen)
