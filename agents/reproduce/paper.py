"""The numbers of the paper's tables, to stand beside the measured ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """What the paper reports of one network.

    Attributes:
        accuracy: Test accuracy, in percent; None where the paper's table has no legible number.
        parameters: As printed, such as `1.00M`.
        ratio: Times smaller than its teacher.
    """

    accuracy: float | None
    parameters: str = ""
    ratio: float | None = None


@dataclass(frozen=True)
class Compression:
    """A teacher of table 1 and its students.

    Attributes:
        dataset: Name of the data set.
        teacher: Name of the network.
        reported: The paper's numbers for `teacher`, `stage1` and, where it has them, `student`.
    """

    dataset: str
    teacher: str
    reported: dict[str, Reported]


def _row(dataset: str, teacher: str, *numbers: tuple[float, str, float | None]) -> Compression:
    names = ("teacher", "stage1", "student")
    return Compression(dataset, teacher, {name: Reported(*values) for name, values in zip(names, numbers, strict=False)})


TABLE_1 = (
    _row("mnist", "vgg13", (99.54, "9.4M", None), (99.55, "73K", 127)),
    _row("cifar10", "vgg19", (91.97, "20.2M", None), (92.05, "1.7M", 11.8), (91.64, "984K", 20.53)),
    _row("cifar10", "resnet18", (92.01, "11.17M", None), (91.97, "2.12M", 5.26), (91.81, "1.00M", 11.10)),
    _row("cifar10", "resnet34", (92.05, "21.28M", None), (93.54, "3.87M", 5.5), (92.35, "2.07M", 10.2)),
    _row("svhn", "resnet18", (95.24, "11.17M", None), (95.66, "2.24M", 4.97), (95.38, "564K", 19.8)),
    _row("cifar100", "resnet18", (72.22, "11.22M", None), (69.64, "4.76M", 2.35), (68.01, "2.42M", 4.64)),
    _row("cifar100", "resnet34", (72.86, "21.33M", None), (70.11, "4.25M", 5.02)),
    _row("caltech256", "resnet18", (47.65, "11.31M", None), (44.71, "3.62M", 3.12)),
)

TABLE_2 = {
    ("mnist", "vgg13"): Reported(99.12, "162K", 58),
    ("cifar10", "vgg19"): Reported(91.06, "2.3M", 8.7),
}
"""Pruning."""

TABLE_3 = {
    ("svhn", "squeezenet1.1"): Reported(89.34, "727K", 15),
    ("cifar10", "fitnet4"): Reported(91.33, "1.2M", 9.3),
    ("cifar10", "vgg-small"): Reported(83.93, "1.06M", 10.5),
}
"""Knowledge distillation into hand-designed networks; the teacher is ResNet-18."""

ALSO_BY_HAND = ("resnet20", "resnet32", "resnet56", "mobilenetv2x0.5")
"""What table 3 lacks: a search that does not beat these at equal size has found a size, not an architecture."""

TABLE_4 = {
    ("mnist", "vgg13"): Reported(98.91, "", 553),
    ("cifar10", "vgg19"): Reported(None, "573K", 35),
}
"""Limits of 20,000 and 1,000,000 parameters."""

TABLE_5 = {
    ("resnet18", "resnet34"): {"reward": (0.81, 0.50), "accuracy": (79.5, 82.4)},
    ("resnet34", "resnet18"): {"reward": (0.76, 0.53), "accuracy": (82.3, 82.8)},
    ("vgg11", "vgg19"): {"reward": (0.52, -0.07), "compression": (46.0, 20.2)},
}
"""Means over the first 10 policy updates, pre-trained and from scratch; accuracy and compression in percent."""

FIGURES = {
    3: "the policies improve over time; where the searches end is table 1's",
    4: "students of a tenth of the size do almost as well as their teachers, or better; where the searches end is table 1's",
    5: "accuracy stays reasonably high; where the searches end is table 1's",
    6: "both converge at a similar rate, actor-critic is slightly more stable",
    7: "actor-critic is more stable, but ends lower",
    8: "0.03 does not converge, 0.0003 converges too slowly, 0.003 is taken",
    9: "a batch of 1 is too unstable, one of 10 not better by enough for its cost, 5 is taken",
    11: "where the searches end is table 1's",
    12: "where the searches end is table 1's",
}
"""What the paper says of figures that it prints without numbers (section 4.3, appendices 6, 7 and 9)."""

REWARDS = ((1.0, 0.25, (0.25, 0.25)), (0.25, 1.0, (0.25, 0.4375)))
"""Appendix 11.1's two students: relative accuracy, compression, and what it says that the naive and its own reward give."""
