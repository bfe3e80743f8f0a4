import os
from dataclasses import replace

import numpy as np
import pytest

from envs_tests.conftest import toy_arrays
from n2n_gym.data import DATASETS, Dataset, DataSettings, dataset_spec, load_dataset
from n2n_gym.data.splits import drawn_split, test_split
from n2n_gym.errors import InputError

held_out_for_testing = test_split
test_split = None  # the name is for tests here


@pytest.mark.parametrize("per_class", [2, 3, 5, 40])
def test_every_class_has_validation_images(per_class):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(30), per_class))
    train, validation = drawn_split(labels, 0.1)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert np.bincount(labels[validation], minlength=30).min() >= 1
    assert np.bincount(labels[train], minlength=30).min() >= 1
    assert len(validation) == max(30, round(3 * per_class))


def test_classes_of_one_image_are_trained_on_or_not_but_never_both():
    train, validation = drawn_split(np.array([0] * 20 + [1]), 0.1)
    assert not set(train) & set(validation)
    assert len(train) + len(validation) == 21


@pytest.mark.parametrize("per_class", [3, 4, 10])
def test_images_held_out_for_testing_leave_two_of_each_class(per_class):
    labels = np.repeat(np.arange(12), per_class)
    train, test = held_out_for_testing(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert np.bincount(labels[train]).min() >= 2
    assert len(test) == round(12 * per_class * 0.2)


@pytest.fixture
def named(tmp_path):
    """Writes a text file and reads a data set with it."""

    def read(text, dataset="digits"):
        file = tmp_path / "validation.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_dataset(dataset_spec(dataset, DataSettings(validation=str(file))))

    return read


ONE_OF_EACH = (0, 1, 2, 3, 4, 11, 5, 6, 7, 20)
"""The first image of each digit."""


def lines(*more, of=ONE_OF_EACH):
    return "\n".join(map(str, [*of, *more]))


def test_numbers_of_validation_images(named):
    dataset = named(lines("", " 000700 ", "1437", ""))
    train, validation = dataset.split()
    assert validation.tolist() == sorted([*ONE_OF_EACH, 700, 1437])
    assert len(train) == 1426
    assert not set(train) & set(validation)
    assert dataset.spec.validation_given
    assert dataset.fingerprint not in (load_dataset("digits").fingerprint, named("3\n7\n").fingerprint)
    assert dataset.spec.identity != "digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names 0 of 1438 training images"),
        ("1\n2\n1\n", "names 1 images twice"),
        (
            "1\n1438\ncat.png\n",
            "names 2 images that are not among the training images: 1438, cat.png; known are numbers from 0",
        ),
        ("1438\n", "names 1 images that are not among the training images: 1438"),
        ("\n".join(map(str, range(1437))), "leave at least 2 for training"),
        (lines(of=ONE_OF_EACH[1:]), r"validation.txt: 1 of 10 classes \(label 0\) have no validation image; add one of each"),
        ("9" * 5000, "names 1 images that are not among the training images: 999"),
        ("1\n²\n", "images: ²; known"),
        (lines().encode("utf-16"), "is no UTF-8 text; save it as UTF-8"),
        (lines().encode("utf-16-be"), "is no UTF-8 text; save it as UTF-8"),
        (b"1\n\xff.png", "is no UTF-8 text; save it as UTF-8"),
    ],
)
def test_validation_images_that_cannot_be(named, text, message):
    with pytest.raises(InputError, match=message) as caught:
        named(text).split()
    assert "\n" not in str(caught.value)


def test_validation_images_that_leave_a_class_untrained(tmp_path, named):
    arrays = toy_arrays()
    arrays["y_train"][:] = [0, 1] * 58 + [2] * 4
    names = {"class_names": np.array(["low", "middle", "high"])}
    np.savez(tmp_path / "mine.npz", **arrays, **names)
    assert named("0\n1\n118\n119", str(tmp_path / "mine.npz")).split()[1].tolist() == [0, 1, 118, 119]
    with pytest.raises(InputError, match=r"names all images of 1 classes \(high\) for validation; leave one of each for"):
        named("116\n117\n118\n119", str(tmp_path / "mine.npz")).split()


def test_paths_of_validation_images(cats_and_dogs, named):
    for name in ("cat", "dog"):
        for path in (cats_and_dogs / "val" / name).iterdir():
            path.unlink()
        (cats_and_dogs / "val" / name).rmdir()
    (cats_and_dogs / "val").rmdir()
    dataset = named("train/cat/003.png\ndog/000.png\n", str(cats_and_dogs))
    assert dataset.split()[1].tolist() == [3, 10]
    with pytest.raises(
        InputError, match="names 1 images that are not among .* such as train/cat/000.png, or numbers from 0 to 19"
    ):
        named("dog/000.png\ncow/1.png", str(cats_and_dogs)).split()


def test_a_mark_at_the_beginning_is_none_of_the_text(named):
    assert named(b"\xef\xbb\xbf" + lines().encode()).split()[1].tolist() == sorted(ONE_OF_EACH)


def test_a_pipe_is_refused_by_the_name_that_was_given():
    reader, writer = os.pipe()
    os.write(writer, lines().encode())
    os.close(writer)
    try:
        with pytest.raises(InputError, match=f"^/dev/fd/{reader} is no file; validation images are read several times"):
            dataset_spec("digits", DataSettings(validation=f"/dev/fd/{reader}"))
    finally:
        os.close(reader)


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_drawn_splits_without_a_class_are_refused(tmp_path, share):
    labels = np.array([0] * 20 + [1])
    np.savez(tmp_path / "d.npz", x_train=np.zeros((21, 8, 8, 1), np.uint8), y_train=labels)
    spec = replace(DATASETS["digits"], classes=2, validation_share=share)
    with pytest.raises(InputError, match=r"1 of 2 classes \(label 1\) have no validation image"):
        Dataset(spec, tmp_path / "d.npz").split()


def test_validation_images_that_were_given_before(cats_and_dogs, plain_folder, named):
    with pytest.raises(InputError, match="brings validation images of its own; leave validation out"):
        named("1", str(cats_and_dogs))
    with pytest.raises(InputError, match="has no test images; give some with validation"):
        named("1", str(plain_folder))
    with pytest.raises(InputError, match="no validation images at .*nowhere.txt: No such file"):
        dataset_spec("digits", DataSettings(validation="nowhere.txt"))


def test_validation_images_in_a_file(tmp_path):
    arrays = toy_arrays()
    path = tmp_path / "mine.npz"
    own = {"x_val": arrays["x_test"][:9], "y_val": arrays["y_test"][:9], "class_names": np.array(["low", "middle", "high"])}
    np.savez(path, **arrays, **own)
    dataset = load_dataset(str(path))
    assert dataset.spec.class_names == ("low", "middle", "high")
    train, validation = dataset.split()
    assert sorted(train) == list(range(120))
    np.testing.assert_array_equal(dataset.train[0][validation], arrays["x_test"][:9])
    assert dataset.spec.validation_given


def test_flips_and_crops_are_part_of_what_it_is_known_by(toy_data):
    plain = dataset_spec(toy_data)
    assert (plain.flip, plain.crop_padding) == (False, 0)
    mirrored = dataset_spec(toy_data, DataSettings(flip=True))
    moved = dataset_spec(toy_data, DataSettings(crop_padding=2))
    assert (mirrored.flip, moved.crop_padding) == (True, 2)
    assert len({spec.identity for spec in (plain, mirrored, moved)}) == 3
    assert len({load_dataset(spec).fingerprint for spec in (plain, mirrored, moved)}) == 3
    assert dataset_spec("cifar10", DataSettings(flip=True, crop_padding=4)) == dataset_spec("cifar10")
    assert dataset_spec("cifar10", DataSettings(crop_padding=0)).label.startswith("cifar10-")
    for padding in (-1, 8):
        with pytest.raises(InputError, match="crop-padding must be 0 or more pixels and less than an image's side"):
            dataset_spec(toy_data, DataSettings(crop_padding=padding))


def test_the_shape_of_images_is_part_of_what_they_are_known_by(tmp_path):
    arrays = toy_arrays()
    prints, identities = set(), set()
    for name, shape in {"square": (8, 8), "wide": (4, 16)}.items():
        reshaped = {key: a.reshape(-1, *shape, 1) if key.startswith("x") else a for key, a in arrays.items()}
        np.savez(tmp_path / f"{name}.npz", **reshaped)
        dataset = load_dataset(str(tmp_path / f"{name}.npz"))
        prints.add(dataset.fingerprint)
        identities.add(dataset.spec.identity)
    assert len(prints) == len(identities) == 2
