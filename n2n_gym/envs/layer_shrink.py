"""`N2N/LayerShrink-v0`: stage 2 of Algorithm 1."""

from __future__ import annotations

from typing import Any, Literal

from gymnasium.vector import AutoresetMode

from n2n_gym.envs.settings import Settings
from n2n_gym.envs.single import CompressionEnv
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.stages.shrink import ShrinkStage


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

    | column | meaning | at most |
    |---|---|---|
    | 0 type | 1 convolution, 2 batch normalisation, 3 ReLU, 4 max pool, 5 global average pool, 6 linear | 8 |
    | 1 kernel | side of the window, pixels | 64 |
    | 2 stride | step of the window, pixels | 64 |
    | 3 padding | zeros around the image, pixels | 64 |
    | 4 outputs | filters or connections | 65,536 |
    | 5 skip start | in a residual block: layers since the shortcut began, from 1; else 0 | 1,024 |
    | 6 skip end | in a residual block: layers until it ends, to 1; else 0 | 1,024 |
    | 7 variable | what is decided: 1 kernel, 2 padding, 3 outputs | 3 |
    | 8 decision | 0 not decided, else action + 1 | 10 |

    Columns 0 to 6 are the layer's before it is shrunk.

    Variables that must agree are one decision, led by the first layer that has them: the filters of all layers that
    meet in a sum; in a residual block, kernel and padding (the kernel stays odd, the feature map keeps its size). Conv4 has
    12 decisions, ResNet-18 has 30.

    ## Starting State

    Nothing decided, position 0. Every episode starts alike.

    ## Rewards

    0 until the last decision, then R = C (2 - C) A / A_teacher, where C = 1 - student's parameters / teacher's and A is
    the accuracy on validation images that nothing was trained on. A degenerate student gets -1: no trainable layer left,
    shapes that do not fit in a residual block, a feature map smaller than its kernel, a linear layer with more than
    50,000 inputs, a student that is not smaller than the teacher, a training that failed. Discount with 1.

    `constraints` limit what a student may cost or must achieve. One that exceeds a limit gets -1 (`relaxation="hard"`), or
    epsilon_t (R + 1) - 1 (`relaxation="relaxed"`), where epsilon_t = (1 - t / 15)^4 tightens with t, the number of policy
    updates. The environment cannot see those: tell it with `env.unwrapped.set_update(t)`; the algorithms of `agents` do.

    ## Episode End

    `terminated` after the last variable's decision. Never `truncated`.

    ## Information

    Empty until the last step, then:

    | key | meaning |
    |---|---|
    | `accuracy` | validation accuracy, 0 to 1 |
    | `compression` | C |
    | `parameters`, `macs` | the student's trainable parameters; multiply-accumulates for one image |
    | `reason` | why it is degenerate, or "" |
    | `violated` | the limits that it exceeds, or "" |
    | `actions` | the episode's actions |

    `env.unwrapped.finished` holds the student's architecture and evaluation too.

    ## Arguments

    ```python
    gym.make("N2N/LayerShrink-v0", teacher="conv4", architecture="runs/demo/stage1.json")
    ```

    | argument | default | meaning |
    |---|---|---|
    | `teacher` | `"conv4"` | a network of the zoo, or an architecture's `.json` file |
    | `dataset` | `"digits"` | a data set by name, or a `.npz` file |
    | `architecture` | None | file of the stage-1 student to start from; by default the teacher itself, or the table's base |
    | `width` | 1.0 | factor on the teacher's filters |
    | `train_size` | None | number of training images; all by default |
    | `recipe` | `"paper"` | how students are trained; or `"fast"`: 2 epochs instead of 5 |
    | `reward` | `"paper"` | or `"naive"`: C A / A_teacher |
    | `constraints` | `""` | limits, with `;` between them, or a `.json` file: see below |
    | `relaxation` | `"hard"` | or `"relaxed"`, `"relaxed:UPDATES"`, `"relaxed:UPDATES:POWER"` |
    | `latency_batch_size` | 1 | images in the forward pass that `latency_ms` is measured on |
    | `evaluator` | `"distillation"` | who judges students; `"table"` and `"table:FILE.npz"` look them up: see below |
    | `seed` | None | of the students' trainings, 0 by default; with a table `"mean"` by default, or `"draw"` |
    | `device` | `"auto"` | where students are trained |
    | `workers` | 0 | processes that train students, of use in `gym.make_vec`; or `"ray"` |
    | `timeout` | None | seconds after which a student's training is given up: it gets -1 |
    | `store` | `"auto"` | SQLite file of evaluations, `$N2N_HOME/evaluations.sqlite` by default; None for none |
    | `render_mode` | None | `"ansi"` or `"rgb_array"` |

    The zoo has `conv4`, `vgg11`, `vgg13`, `vgg16`, `vgg19`, `resnet18`, `resnet34`, `resnet50`, `resnet101` and `resnet152`;
    data sets are `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `svhn` and `caltech256`.

    A limit is a weighted sum with `<=` or `>=` and a number: `parameters<=20000`, `macs<=1e6`, `model_bytes`,
    `activation_bytes` (of one image), `latency_ms` (median of repeated warm passes on `device`), `accuracy>=0.9`,
    `class_accuracy[3]>=0.9`, `parameters + 0.1*macs <= 50000`.

    With `evaluator="table"` nothing is trained: every student of the space was, with several seeds (`n2n table list`), and
    the best reward that there is, is known. `seed` says which training counts: one seed's, the `"mean"` of all, or one
    drawn anew for each episode (`"draw"`) from the random numbers that `reset(seed=)` seeds; else nothing in an episode is
    random, and `reset(seed=)` changes nothing.

    Making the environment and all steps but the last train nothing and download nothing. The teacher is trained, once,
    when the first episode ends.

    `gym.make_vec("N2N/LayerShrink-v0", num_envs=5, workers=2)` runs episodes side by side and trains their students in
    one batch.

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
        super().__init__(_stage(chosen, architecture), chosen, render_mode)


class LayerShrinkVectorEnv(CompressionVectorEnv):
    """Episodes of `LayerShrinkEnv` side by side; takes the same arguments, and those of `CompressionVectorEnv`."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        architecture: str | None = None,
        render_mode: Literal["ansi", "rgb_array"] | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        chosen = Settings.of(settings)
        super().__init__(
            num_envs,
            _stage(chosen, architecture),
            chosen,
            render_mode=render_mode,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )


def _stage(settings: Settings, architecture: str | None) -> ShrinkStage:
    if architecture is None and (table := settings.table(ShrinkStage.name)) is not None:
        return ShrinkStage(table.base)
    return ShrinkStage.of_file(settings.problem.architecture, architecture)
