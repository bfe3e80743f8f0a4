"""`N2N/LayerRemoval-v0`: stage 1 of Algorithm 1."""

from __future__ import annotations

from typing import Any, Literal

from n2n_gym.envs.documentation import takes
from n2n_gym.envs.settings import Settings
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.envs.vector import CompressionVectorEnv


@takes(Settings)
class LayerRemovalEnv(CompressionEnv):
    """
    ## Description

    An agent walks along a trained network, the teacher, from its first layer to its last and decides for each whether
    to keep or to remove it. What is left, the student, is trained for a few epochs to reproduce the teacher's logits,
    and is rewarded for being small and accurate: stage 1 of *N2N Learning* (Ashok et al., ICLR 2018). The reward
    comes at the end alone, it is noisy as trainings are, and thousands of students share nearly the same one.

    ## Action Space

    `Discrete(2)`: the current layer is

    | action | meaning |
    |---|---|
    | 0 | kept |
    | 1 | removed; what follows then reads what came before |

    The first layer, strided convolutions, the last pool, the last linear layer and what else makes the classes are protected,
    and in a block what changes a feature map's size: removing one has no effect. `action_masks()` is 0 for such actions.

    Where a branch of a residual block no longer has the channels that the sum needs, the last convolution left in it gives
    them; a branch with none left goes as a whole where it does not fit.

    ## Observation Space

    `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `architecture` | `Box(decisions * 9)`, float32 | one row of 9 numbers per layer of the main path, row after row |
    | `layer` | `Box(9)`, float32 | the row to be decided on now; zeros when the episode is over |
    | `position` | `Discrete(decisions + 1)` | its index |

    The columns of a row are plain numbers from 0 on (scale them in a wrapper or in the policy, if at all):

    {columns}
    | 7 variable | 0: the layer itself is decided on | 3 |
    | 8 decision | 0 not decided, 1 kept, 2 removed | 10 |

    Sums, the activation behind a sum, and shortcuts belong to the frame of a residual block and are not decided on.
    ResNet-18 has 45 decisions, ResNet-34 has 85, Conv4 has 16.

    ## Starting State

    Nothing decided, position 0. Every episode starts alike.

    ## Rewards

    {rewards}

    ## Episode End

    `terminated` after the last layer's decision. Never `truncated`.

    ## Information

    {information}

    ## Arguments

    ```python
    gym.make("N2N/LayerRemoval-v0", teacher="resnet18", dataset="cifar10", width=0.25)
    ```

    {arguments}
    | `render_mode` | None | `"ansi"` or `"rgb_array"`; `RecordVideo` needs the latter, and MoviePy (extra `video`) |

    {notes}

    `gym.make_vec("N2N/LayerRemoval-v0", num_envs=5, workers=2)` runs episodes side by side and trains their students in
    one batch.

    ## Version History

    * v0: first version
    """

    def __init__(self, *, render_mode: Literal["ansi", "rgb_array"] | None = None, **arguments: Any) -> None:
        settings = Settings.of("LayerRemovalEnv.__init__", arguments)
        super().__init__(settings.stage, settings, render_mode)


@takes(Settings)
class LayerRemovalVectorEnv(CompressionVectorEnv):
    """Episodes of `LayerRemovalEnv` side by side; takes the same arguments, and those of `CompressionVectorEnv`."""

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in self.options if name in arguments}
        settings = Settings.of("LayerRemovalVectorEnv.__init__", arguments)
        super().__init__(num_envs, settings.stage, settings, **options)
