"""`N2N/LayerShrink-v0`: stage 2 of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from n2n_gym.envs.documentation import takes
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.stages import ShrinkStage, Stage, stage_by_name
from n2n_gym.tables.evaluator import table_in


@dataclass(frozen=True, kw_only=True)
class ShrinkSettings(Settings):
    """The arguments of the second stage's environments."""

    architecture: str | None = None
    """File of the stage-1 student to start from; by default the teacher itself, or the table's base."""

    @cached_property
    def stage(self) -> Stage:
        """The decisions."""
        if self.architecture is None and self.uses_table:
            return ShrinkStage(table_in(self, ShrinkStage.name).start, lookahead=self.lookahead)
        return stage_by_name(ShrinkStage.name, self.problem.architecture, self.architecture, lookahead=self.lookahead)


@takes(ShrinkSettings)
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

    The columns of a row are plain numbers from 0 on (scale them in a wrapper or in the policy, if at all):

    {columns}
    | 7 variable | what is decided: 1 kernel, 2 padding, 3 outputs | 3 |
    | 8 decision | 0 not decided, else action + 1 | 10 |

    Columns 0 to 6 are the layer's before it is shrunk.

    Variables that must agree are one decision, led by the first layer that has them: the filters of all layers that
    meet in a sum; in a residual block, kernel and padding (the kernel stays odd, the feature map keeps its size). Conv4 has
    12 decisions, ResNet-18 has 30.

    ## Starting State

    Nothing decided, position 0. Every episode starts alike.

    ## Rewards

    {rewards}

    ## Episode End

    `terminated` after the last variable's decision. Never `truncated`.

    ## Information

    {information}

    ## Arguments

    ```python
    gym.make("N2N/LayerShrink-v0", teacher="conv4", architecture="runs/demo/stage1.json")
    ```

    {arguments}
    | `render_mode` | None | `"ansi"` or `"rgb_array"`; `RecordVideo` needs the latter, and MoviePy (extra `video`) |

    {notes}

    `gym.make_vec("N2N/LayerShrink-v0", num_envs=5, workers=2)` runs episodes side by side and trains their students in
    one batch.

    ## Version History

    * v0: first version
    """

    def __init__(self, *, render_mode: Literal["ansi", "rgb_array"] | None = None, **arguments: Any) -> None:
        settings = ShrinkSettings.of("LayerShrinkEnv.__init__", arguments)
        super().__init__(settings.stage, settings, render_mode)


@takes(ShrinkSettings)
class LayerShrinkVectorEnv(CompressionVectorEnv):
    """Episodes of `LayerShrinkEnv` side by side; takes the same arguments, and those of `CompressionVectorEnv`."""

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in self.options if name in arguments}
        settings = ShrinkSettings.of("LayerShrinkVectorEnv.__init__", arguments)
        super().__init__(num_envs, settings.stage, settings, **options)
