"""`N2N/BothStages-v0`: both stages of Algorithm 1 in one episode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from n2n_gym.envs.documentation import takes
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.stages import BothStages, Stage
from n2n_gym.student import Student


@dataclass(frozen=True, kw_only=True)
class BothSettings(Settings):
    """The arguments of the environments whose episodes go through both stages."""

    @cached_property
    def stage(self) -> Stage:
        """The decisions."""
        return BothStages(Student(self.problem.architecture), lookahead=self.lookahead)


@takes(BothSettings)
class BothStagesEnv(CompressionEnv):
    """
    ## Description

    An agent walks along a trained network twice: first it decides for each layer whether to keep or to remove it, as in
    `N2N/LayerRemoval-v0`, then for each kernel, padding and number of filters by how much to shrink it, as in
    `N2N/LayerShrink-v0`. The student is trained once, at the end, to reproduce the teacher's logits, and rewarded for being
    small and accurate. *N2N Learning* (Ashok et al., ICLR 2018) searches one stage after the other; here a search may
    trade layers for width, in a space whose size is the product of both and whose only reward comes after all decisions.

    ## Action Space

    `Discrete(10)`. While layers are decided on (variable 0) the current layer is

    | action | meaning |
    |---|---|
    | 0 | removed; what follows then reads what came before |
    | 1 to 9 | kept; `action_masks()` offers 9 alone |

    and afterwards action `a` multiplies the current variable by (a + 1) / 10: 9 keeps, here as there.

    The same layers are protected, and the same variables decided together, as in the environments of one stage. All of the
    teacher's variables are decided on, so that every episode has the same length: what belongs to a layer that is gone has
    no effect, and `action_masks()` offers 9 alone for it. Where a removal ties layers together whose filters the teacher
    decides one by one, the first one's decision counts for all.

    ## Observation Space

    `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `architecture` | `Box(decisions * 9)`, float32 | one row of 9 numbers per layer of the main path, then one per variable |
    | `layer` | `Box(9)`, float32 | the row to be decided on now; zeros when the episode is over |
    | `position` | `Discrete(decisions + 1)` | its index |
    | `previous_action` | `Discrete(11)` | 0 at the start, then the previous action + 1 |

    The columns of a row are plain numbers from 0 on (scale them in a wrapper or in the policy, if at all):

    {columns}
    | 7 variable | what is decided: 0 the layer itself, 1 kernel, 2 padding, 3 outputs | 3 |
    | 8 decision | 0 not decided, else action + 1 | 10 |

    Columns 0 to 6 are the teacher's. Conv4 has 28 decisions, ResNet-18 has 75.

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
    gym.make("N2N/BothStages-v0", teacher="resnet18", dataset="cifar10", width=0.25)
    ```

    There are too many students for tables of all. Of a ResNet-18 x 0.125 on Fashion-MNIST the package has 500 that were
    trained, and a model predicts the others:

    ```python
    from n2n_gym.tables.sample import Sample, large_samples

    path = large_samples()["resnet18-w0.125-fashion-mnist-n1000-both"]
    gym.make("N2N/BothStages-v0", teacher=str(path), **Sample.load(path).arguments, evaluator="surrogate")
    ```

    {arguments}
    | `render_mode` | None | `"ansi"` or `"rgb_array"`; `RecordVideo` needs the latter, and MoviePy (extra `video`) |

    {notes}

    `gym.make_vec("N2N/BothStages-v0", num_envs=5, workers=2)` runs episodes side by side and trains their students in
    one batch.

    ## Version History

    * v0: first version
    """

    def __init__(self, *, render_mode: Literal["ansi", "rgb_array"] | None = None, **arguments: Any) -> None:
        settings = BothSettings.of("BothStagesEnv.__init__", arguments)
        super().__init__(settings.stage, settings, render_mode)


@takes(BothSettings)
class BothStagesVectorEnv(CompressionVectorEnv):
    """Episodes of `BothStagesEnv` side by side; takes the same arguments, and those of `CompressionVectorEnv`."""

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in self.options if name in arguments}
        settings = BothSettings.of("BothStagesVectorEnv.__init__", arguments)
        super().__init__(num_envs, settings.stage, settings, **options)
