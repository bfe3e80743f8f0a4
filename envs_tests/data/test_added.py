import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

from envs_tests.data.conftest import pixels
from n2n_gym.data import add, added_names, dataset_spec, load_dataset, remove
from n2n_gym.data.folder import folder_spec
from n2n_gym.data.pixels import pixels_of
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem


def noise(images=30, channels=3, classes=3, seed=0):
    return [(pixels(8, channels, 100 * seed + i), i % classes) for i in range(images)]


def test_found_by_name_from_then_on(own_home):
    train, test = noise(), noise(9, seed=1)
    spec = add(train, test, name="mine", class_names=["a", "b", "c"])
    assert dataset_spec("mine") == spec
    assert (spec.input_shape, spec.classes, spec.class_names) == ((3, 8, 8), 3, ("a", "b", "c"))
    dataset = load_dataset("mine")
    assert isinstance(dataset.train[0], np.memmap)
    np.testing.assert_array_equal(dataset.train[0], [image for image, _ in train])
    np.testing.assert_array_equal(dataset.test[1], [label for _, label in test])
    assert Problem("conv4", "mine").name == f"conv4-mine-{spec.digest[:8]}"
    assert [path.name for path in (own_home / "datasets" / "added").iterdir() if path.is_dir()] == ["mine"]


@pytest.mark.parametrize(
    "form",
    [
        lambda image: image,
        Image.fromarray,
        lambda image: torch.from_numpy(image).permute(2, 0, 1),
        lambda image: torch.from_numpy(image).permute(2, 0, 1) / 255,
        lambda image: (torch.from_numpy(image).permute(2, 0, 1) / 255).half(),
        lambda image: (image / 255).astype(np.float32),
        torch.from_numpy,
        lambda image: image.transpose(2, 0, 1),
    ],
)
def test_images_come_in_many_forms(form):
    train = noise()
    add([(form(image), torch.tensor(label)) for image, label in train], noise(9), name="mine")
    np.testing.assert_array_equal(load_dataset("mine").train[0], [image for image, _ in train])


@pytest.mark.parametrize("kind", [np.array, torch.from_numpy])
@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((8, 9, 1), (8, 9, 1)),
        ((1, 8, 9), (8, 9, 1)),
        ((8, 9, 3), (8, 9, 3)),
        ((3, 8, 9), (8, 9, 3)),
        ((9, 9, 7), (9, 9, 7)),
        ((7, 9, 9), (9, 9, 7)),
        ((4, 4, 3), (4, 4, 3)),
        ((3, 4, 4), (4, 4, 3)),
        ((3, 8, 3), None),
        ((1, 8, 1), None),
        ((7, 8, 9), None),
    ],
)
def test_where_the_channels_are_is_what_sizes_tell(kind, shape, kept):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    last = kind is np.array if kept is None else shape == kept  # sizes that do not tell are as is usual for the kind
    np.testing.assert_array_equal(pixels_of(kind(image)), image if last else image.transpose(1, 2, 0))


def test_floats_that_numpy_lacks():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    np.testing.assert_array_equal(pixels_of(image), pixels_of(image.float()))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_labels_that_no_training_image_has(split):
    given = {"test": noise(9), split: [(pixels(8, 3, 0), 7)]}
    with pytest.raises(InputError, match=f"mine: {split} labels must lie in 0 ... 2, found 7 ... 7"):
        add(noise(), name="mine", **given)
    with pytest.raises(InputError, match=f"mine: {split} labels must count classes from 0, found 10"):
        add(noise(), name="mine", **{**given, split: [(pixels(8, 3, 0), 10**9)]})


def test_black_and_white_images():
    image = pixels(8, 1, 0) > 100
    for form in (image, torch.from_numpy(image), Image.fromarray(image)):
        np.testing.assert_array_equal(pixels_of(form)[..., 0], np.where(image, 255, 0))


@pytest.mark.parametrize("form", [np.array, torch.tensor, np.int8, bool, lambda label: np.array([label]), np.bool_])
def test_labels_come_in_many_forms(form):
    add([(image, form(label)) for image, label in noise(classes=2)], noise(9, classes=2), name="mine")
    assert load_dataset("mine").train[1].tolist() == [0, 1] * 15


def test_grey_images():
    train = [(Image.fromarray(image), label) for image, label in noise(channels=1)]
    assert add(train, train, name="pictures").input_shape == (1, 8, 8)
    flat = TensorDataset(torch.rand(30, 8, 8), torch.arange(30) % 2)
    assert add(flat, flat, name="tensors").input_shape == (1, 8, 8)


def test_a_folder_that_torchvision_reads_gives_the_same_images(plain_folder):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Grayscale

    add(ImageFolder(str(plain_folder), Grayscale()), name="mine")
    ours, theirs = load_dataset("mine"), load_dataset(folder_spec(plain_folder, None))
    assert ours.spec.class_names == ("no", "yes")
    assert ours.spec.content == theirs.spec.content


def test_validation_images_of_its_own():
    validation = noise(6, seed=5)
    spec = add(noise(), noise(9, seed=1), name="mine", validation=validation)
    assert spec.validation_given
    dataset = load_dataset("mine")
    train, held_out = dataset.split(20)
    np.testing.assert_array_equal(dataset.train[0][held_out], [image for image, _ in validation])
    assert len(set(train)) == 20
    assert max(train) < 30


def test_without_test_images_a_share_is_held_out():
    spec = add(noise(60), name="mine")
    assert spec.test_held_out
    assert np.bincount(load_dataset("mine").test[1]).tolist() == [4, 4, 4]


def test_the_same_again_is_nothing_new_and_another_is_refused():
    first = add(noise(), noise(9), name="mine")
    assert add(noise(), noise(9), name="mine") == first
    with pytest.raises(InputError, match=r"there is another data set mine; .* n2n_gym.data.remove\('mine'\) first"):
        add(noise(), noise(12), name="mine")
    remove("mine")
    assert added_names() == []
    with pytest.raises(InputError, match="unknown data set 'mine'"):
        dataset_spec("mine")
    assert add(noise(), noise(12), name="mine").content != first.content
    with pytest.raises(InputError, match=r"unknown added data set 'min'. Did you mean 'mine'"):
        remove("min")


class Endless(IterableDataset):
    def __iter__(self):
        yield from noise()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (Endless(), "train has no length; give a map-style data set"),
        ([], "train holds no images"),
        ([1, 2, 3], "item 0 of train is no pair"),
        ([*noise(5), (pixels(8, 3, 0), "cat")], "the label of image 5 of train is no integer, but 'cat'"),
        ([(pixels(8, 3, 0), np.eye(300)[3])], "image 0 of train is no integer, but array.*; give its argmax"),
        ([(pixels(8, 3, 0), torch.eye(300)[3])], "image 0 of train is no integer, but tensor.*; give its argmax"),
        ([(pixels(8, 3, 0), 0.5)], "image 0 of train is no integer, but 0.5"),
        ([*noise(5), (pixels(8, 3, 0), -1)], "labels count from 0; image 5 of train has -1"),
        (
            [*noise(5), (pixels(9, 3, 0), 0)],
            r"image 5 of train has .* channels \(9, 9, 3\), image 0 \(8, 8, 3\)",
        ),
        ([(np.full((8, 8, 3), -0.5), 0)], r"floats from -0.5 to -0.5, not in \[0, 1\]; leave Normalize out"),
        ([(np.full((8, 8, 3), np.nan), 0)], r"not in \[0, 1\]"),
        ([(np.full((8, 8, 3), 200.0), 0)], r"floats from 200 to 200, not in \[0, 1\]; divide them by 255"),
        ([(np.zeros((8, 8, 3), np.int64), 0)], "int64, neither uint8 nor floats .* bring it to 0 ... 255, then to uint8"),
        ([(np.zeros(8, np.uint8), 0)], r"but of shape \(8,\)"),
        ([(Image.fromarray(np.zeros((8, 8), np.uint16)), 0)], "more than 8 bits a channel"),
        ([*noise(30), (pixels(8, 3, 0), 3)], r"1 of 4 classes \(label 3\) have too few training images; each needs 2"),
        (noise(classes=1), "test labels must lie in 0 ... 0, found 0 ... 2"),
        ([*noise(), (pixels(8, 3, 0), 2**40)], "mine: training labels must count classes from 0, found 0 ... 1099511627776"),
        ([*noise(), (pixels(8, 3, 0), 10**8)], "training labels must count classes from 0, found 0 ... 100000000; number"),
        ([*noise(), (pixels(8, 3, 0), 2**70)], "labels count from 0; image 30 of train has 1180591620717411303424"),
        ([{"image": pixels(8, 3, 0), "label": 0}], r"no pair of an image and a label, but dict; give .* \(image, label\)"),
        ({"a", "b"}, "train gives no item by its number"),
        ([(torch.zeros(3, 8, 8).to_sparse(), 0)], "a tensor that cannot be read as an array"),
    ],
)
def test_what_cannot_be_added_is_said_in_one_line_and_leaves_nothing(own_home, train, message):
    with pytest.raises(InputError, match=message) as caught:
        add(train, noise(3), name="mine")
    assert "\n" not in str(caught.value)
    folder = own_home / "datasets" / "added"
    assert [path for path in folder.iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "mine.npz", "digits"])
def test_names_that_cannot_be(name):
    with pytest.raises(InputError, match="cannot be a data set's name"):
        add(noise(), name=name)


@pytest.mark.parametrize("form", [np.array, tuple, iter, lambda names: np.array(names, "S")])
def test_class_names_come_in_many_forms(form):
    assert add(noise(), noise(9), name="mine", class_names=form(["a", "b", "c"])).class_names == ("a", "b", "c")


def test_a_number_of_classes_names_none():
    class Counted(list):
        classes = 3

    assert add(Counted(noise()), noise(9), name="mine").class_names == ()


def test_names_and_images_that_do_not_go_together():
    with pytest.raises(InputError, match="there are 2 class names for 3 classes"):
        add(noise(), noise(9), name="mine", class_names=["a", "b"])
    for wrong in (3, "abc"):
        with pytest.raises(InputError, match="class_names must be a name for each label, from 0, not"):
            add(noise(), noise(9), name="mine", class_names=wrong)
    with pytest.raises(InputError, match="images differ in height, width and channels"):
        add(noise(), noise(9, channels=1), name="mine")
