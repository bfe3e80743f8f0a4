from dataclasses import replace

import pytest

from n2n_gym.data import DATASETS, OWN, DatasetSpec
from n2n_gym.errors import InputError
from n2n_gym.training.recipes import search_recipe, teacher_recipe


@pytest.mark.parametrize(
    ("dataset", "train_size", "batch_size"),
    [
        ("mnist", None, 64),
        ("mnist", 25_000, 32),
        ("mnist", 5_000, 16),
        ("cifar10", None, 200),
        ("cifar10", 45_000, 180),
        ("cifar10", 5_000, 20),
        ("svhn", None, 200),
        ("digits", None, 16),
    ],
)
def test_fewer_images_come_in_smaller_batches(dataset, train_size, batch_size):
    recipe = search_recipe("paper", DATASETS[dataset], train_size)
    assert (recipe.batch_size, recipe.epochs, recipe.soft, recipe.hard) == (batch_size, 5, 1.0, 0.0)
    assert (recipe.learning_rate, recipe.weight_decay) == (5e-4, 5e-4)


def test_fast_is_named_as_such_and_shorter():
    paper, fast = (search_recipe(name, DATASETS["mnist"], 5_000) for name in ("paper", "fast"))
    assert fast.name == "fast"
    assert (fast.epochs, fast.batch_size, fast.soft) == (2, paper.batch_size, 1.0)
    assert fast.one_cycle
    assert fast.to_json() != paper.to_json()


def test_unknown_recipe():
    with pytest.raises(InputError, match="Did you mean 'paper'"):
        search_recipe("papr", DATASETS["digits"])


@pytest.mark.parametrize(
    ("images", "epochs", "batch_size"), [(30, 60, 16), (1_000, 60, 20), (3_200, 60, 64), (20_000, 19, 64), (200_000, 12, 64)]
)
def test_teachers_of_own_data_are_trained_by_its_size(images, epochs, batch_size):
    spec = DatasetSpec("mine.npz", (3, 32, 32), 5, (0.5,) * 3, (0.2,) * 3, teacher=OWN, images=images)
    recipe = teacher_recipe(spec)
    assert teacher_recipe(replace(spec, images=10**6), images) == recipe
    assert (recipe.name, recipe.epochs, recipe.batch_size) == ("own", epochs, batch_size)
    assert 0 < recipe.milestones[0] < recipe.milestones[1] < epochs
