"""The data sets known by name."""

from __future__ import annotations

from n2n_gym.data.spec import DatasetSpec

CALTECH_SIDE = 224

_HALF = (0.5, 0.5, 0.5)  # what the paper subtracts
_ONE = (1.0, 1.0, 1.0)


def _cifar(name: str, classes: int) -> DatasetSpec:
    shape = (3, 32, 32)
    return DatasetSpec(
        name, shape, classes, _HALF, _ONE, crop_padding=4, flip=True, teacher="cifar", batch_size=200, images=50_000
    )


DATASETS = {
    spec.name: spec
    for spec in (
        DatasetSpec("digits", (1, 8, 8), 10, (0.3055,), (0.3759,), validation_share=0.25, teacher="digits", images=1_437),
        DatasetSpec("mnist", (1, 28, 28), 10, (0.1307,), (0.3081,)),
        DatasetSpec("fashion-mnist", (1, 28, 28), 10, (0.2860,), (0.3530,)),
        _cifar("cifar10", 10),
        _cifar("cifar100", 100),
        DatasetSpec("svhn", (3, 32, 32), 10, _HALF, _ONE, teacher="cifar", batch_size=200, images=73_257),
        DatasetSpec(
            "caltech256",
            (3, CALTECH_SIDE, CALTECH_SIDE),
            257,
            _HALF,
            _ONE,
            crop_padding=CALTECH_SIDE // 8,  # the paper crops, too, and does not say how far; this is CIFAR's share
            flip=True,
            teacher="caltech",
            batch_size=200,
            images=30_607,
        ),
    )
}
"""The data sets known by name. Caltech-256 has 257 categories: the paper's 30,607 images include the clutter category."""
