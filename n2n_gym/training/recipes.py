"""How networks are trained: every number of a training as data (section 4.2, appendix 10.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from n2n_gym.data import OWN, DatasetSpec
from n2n_gym.errors import by_name, unknown


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training, with the loss hard * cross-entropy + soft * mean squared error to the teacher's logits (section 3.5).

    Attributes:
        name: What the recipe is called in results.
        epochs: Passes over the training images; with `patience`, at most so many.
        batch_size: Images a step.
        optimizer: `adam`; `sgd` with momentum 0.9, or `nesterov` with Nesterov's.
        learning_rate: Its learning rate at the start; with `one_cycle`, the highest.
        one_cycle: Whether the learning rate rises from step to step, in a line from almost nothing for the first `RISING` of
            all steps, and then falls in a line to nothing.
        weight_decay: Its L2 penalty.
        milestones: Epochs after which the learning rate is divided by 10.
        hard: Weight of the cross-entropy with the labels.
        soft: Weight of the distillation loss; the paper's lambda in final training.
        images: So many of the training images an epoch, the next ones in each; all by default.
        inherits: Whether a student starts from its teacher's weights, as far as they fit (`n2n_gym.models.inherit`), and not
            from fresh ones.
        augment: Whether images are mirrored and cropped as their data set says.
        patience: Stop after this many epochs without a better validation accuracy (the learning rate falls to a third
            after every third of them) and keep the best epoch's weights. Without it, the last epoch's weights stay.
    """

    name: str
    epochs: int
    batch_size: int
    optimizer: Literal["adam", "sgd", "nesterov"] = "adam"
    learning_rate: float = 5e-4
    one_cycle: bool = False
    weight_decay: float = 5e-4
    milestones: tuple[int, ...] = ()
    hard: float = 0.0
    soft: float = 0.0
    images: int | None = None
    inherits: bool = False
    augment: bool = True
    patience: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON data; what a recipe of before had no word for is left out where it is as it was."""
        data = {**asdict(self), "milestones": list(self.milestones)}
        return {name: value for name, value in data.items() if value or name not in _ADDED}

    def rate(self, share: float) -> float:
        """The learning rate of the one cycle after a share of all steps."""
        return self.learning_rate * (share / RISING if share < RISING else (1 - share) / (1 - RISING))


_ADDED = ("one_cycle", "images", "inherits")

RISING = 0.2
"""Share of the steps of one cycle in which the learning rate rises."""


FULL_SIZE = 50_000
"""From so many training images on, batches have the authors' size; below, proportionally fewer images."""

SMALLEST_BATCH = 16

_FAST: dict[str, Any] = {"epochs": 2, "learning_rate": 5e-3, "one_cycle": True, "hard": 1.0}

_INHERIT: dict[str, Any] = {"epochs": 2, "learning_rate": 2e-3, "inherits": True}

SEARCH_RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "fast": _FAST,
    "steady": {**_FAST, "epochs": 5},
    "inherit": _INHERIT,
    "sample": {**_INHERIT, "one_cycle": True, "images": 8_000},
}
"""Recipes by which a student is trained before it is rewarded, and what each does otherwise than `paper`."""


def search_recipe(name: str, dataset: DatasetSpec, train_size: int | None = None) -> Recipe:
    """The recipe of that name for students on so many images of a data set.

    `paper`: 5 epochs of distillation (section 4.2); Adam, weight decay and batch sizes as in the authors' code. Fewer
    images than the paper has come in smaller batches, so that 5 epochs remain enough steps for a student to show what it
    is good for.

    `fast`: 2 epochs in one cycle of the learning rate, at most 0.005, from labels and logits. It ranks students as training to
    convergence does better than `paper`, in less than half the time (docs/speed.md has the figures of both).

    `steady`: as `fast`, but 5 epochs: two trainings of a student differ by about half as much, or less, for twice the time.
    The benchmark's tables are made by it (docs/benchmark.md).

    `inherit`: 2 epochs at 0.002; students start from their teacher's weights.

    `sample`: as `inherit`, but in one cycle of the learning rate, and an epoch has at most 8,000 images, other ones in each:
    for large data sets on small machines.

    Args:
        name: One of `SEARCH_RECIPES`.
        dataset: What students are trained on.
        train_size: On how many images of it; all by default.

    Raises:
        InputError: If the name is unknown.
    """
    if name not in SEARCH_RECIPES:
        raise unknown("recipe", name, SEARCH_RECIPES)
    images = train_size or dataset.images
    numbers = dict(SEARCH_RECIPES[name])
    if (most := numbers.pop("images", images)) < images:
        images = numbers["images"] = most
    scaled = round(dataset.batch_size * images / FULL_SIZE)
    batch_size = min(dataset.batch_size, max(SMALLEST_BATCH, scaled))
    return replace(Recipe(name=name, epochs=5, batch_size=batch_size, soft=1.0), **numbers)


# Appendix 10.2 gives epochs, learning rates and batch sizes; it does not name the optimiser. Adam fits a rate of
# 0.001, momentum a rate of 0.01.
_TEACHERS = {
    "digits": Recipe(
        name="digits", epochs=30, batch_size=64, learning_rate=2e-3, weight_decay=0.0, milestones=(20,), hard=1.0
    ),
    "mnist": Recipe(
        name="paper-mnist", epochs=50, batch_size=64, optimizer="sgd", learning_rate=0.01, milestones=(30,), hard=1.0
    ),
    "cifar": Recipe(name="paper-cifar", epochs=150, batch_size=128, learning_rate=1e-3, milestones=(80, 120), hard=1.0),
    "caltech": Recipe(
        name="paper-caltech", epochs=50, batch_size=64, optimizer="sgd", learning_rate=0.01, milestones=(50,), hard=1.0
    ),
}


OWN_STEPS = 6_000
OWN_EPOCHS = (12, 60)


def own_recipe(images: int) -> Recipe:
    """A recipe for teachers of a user's data, of which nothing is known but how many images there are.

    About 6,000 steps of Adam, but at least 12 and at most 60 epochs; the learning rate of 0.001 is divided by 10 after 60% and
    after 85% of them. Batches of 64, or fewer images where there are less than 3,200, so that an epoch has 50 steps.
    docs/settings.md compares it to the paper's.

    Args:
        images: How many it is trained on.
    """
    batch_size = min(64, max(SMALLEST_BATCH, images // 50))
    least, most = OWN_EPOCHS
    epochs = min(most, max(least, round(OWN_STEPS * batch_size / images)))
    return Recipe(
        name="own",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=1e-3,
        milestones=(round(0.6 * epochs), round(0.85 * epochs)),
        hard=1.0,
    )


def teacher_recipe(dataset: DatasetSpec, train_size: int | None = None) -> Recipe:
    """The recipe by which teachers are trained on so many images of a data set (all by default).

    The paper's (appendix 10.2), whatever the number; a shorter one for digits; `own_recipe` for a user's data.
    """
    if dataset.teacher == OWN:
        return own_recipe(train_size or dataset.images)
    return by_name("teacher recipe", dataset.teacher, _TEACHERS)


_FINAL: dict[str, dict[str, Any]] = {
    "cifar": {"optimizer": "nesterov", "learning_rate": 0.05, "weight_decay": 5e-4},
}
"""What final trainings on data sets with that teacher recipe do otherwise (docs/settings.md compares them)."""

FINAL_STEPS = 3_000
FINAL_EPOCHS = (30, 60)


def final_recipe(dataset: DatasetSpec, train_size: int | None = None, *, distillation_weight: float = 1.0) -> Recipe:
    """The final training of a found student: to convergence with hard and soft labels (section 3.5).

    About 3,000 steps of Adam, on CIFAR's images of Nesterov's momentum, but at least 30 and at most 60 epochs, in one cycle of
    the learning rate (docs/settings.md compares it with stopping early).

    Args:
        dataset: What it is trained on.
        train_size: On how many images of it; all by default.
        distillation_weight: The paper's lambda, which it leaves open.
    """
    batch_size = teacher_recipe(dataset, train_size).batch_size
    least, most = FINAL_EPOCHS
    recipe = Recipe(
        name="final",
        epochs=min(most, max(least, round(FINAL_STEPS * batch_size / (train_size or dataset.images)))),
        batch_size=batch_size,
        learning_rate=1e-2,
        one_cycle=True,
        weight_decay=0.0,
        hard=1.0,
        soft=distillation_weight,
    )
    return replace(recipe, **_FINAL.get(dataset.teacher, {}))
