import gzip
import json
import os
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.search.options import Search
from envs_tests.conftest import toy_arrays
from n2n_gym.data import DATASETS, DataSettings, dataset_spec, downloads, load_dataset, npz
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem


def test_digits_are_those_of_scikit_learn():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    theirs = sklearn_datasets.load_digits()
    ours = load_dataset("digits")
    images = np.concatenate([ours.train[0], ours.test[0]])[..., 0]
    labels = np.concatenate([ours.train[1], ours.test[1]])
    expected = np.round(theirs.images * 255 / 16).astype(np.uint8)
    as_set = {(image.tobytes(), int(label)) for image, label in zip(expected, theirs.target, strict=True)}
    assert {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)} == as_set
    assert (len(ours.train[0]), len(ours.test[0])) == (1438, 359)


def test_splits_are_disjoint_stratified_and_fixed():
    dataset = load_dataset("digits")
    train, validation = dataset.split()
    assert len(set(train) | set(validation)) == len(train) + len(validation) == 1438
    assert len(validation) == 360
    shares = np.bincount(dataset.train[1][validation]) / len(validation)
    np.testing.assert_allclose(shares, np.bincount(dataset.train[1]) / 1438, atol=0.01)
    small, same_validation = dataset.split(100)
    assert set(small) < set(train)
    np.testing.assert_array_equal(validation, same_validation)
    assert np.bincount(dataset.train[1][small]).min() >= 8


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("mnist", 60_000, 10_000), ("fashion-mnist", 60_000, 10_000), ("cifar10", 50_000, 10_000)],
)
def test_real_data(real_dataset, name, train, test):
    real_dataset(name)
    dataset = load_dataset(name)
    assert (len(dataset.train[0]), len(dataset.test[0])) == (train, test)
    mean = dataset.train[0][:5000].mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, dataset.spec.mean, atol=0.06)
    assert np.bincount(dataset.train[1], minlength=10).min() > 5000 * train // 60_000 // 1.2


def test_a_users_file(tmp_path):
    path = tmp_path / "mine.npz"
    arrays = toy_arrays()
    np.savez(path, **arrays)
    spec = dataset_spec(str(path))
    assert (spec.input_shape, spec.classes) == ((1, 8, 8), 3)
    assert spec.mean[0] == pytest.approx(arrays["x_train"].mean() / 255)
    np.savez(path, **{**arrays, "y_train": arrays["y_train"] % 2, "y_test": arrays["y_test"] % 2})
    assert dataset_spec(str(path)).classes == 2  # a changed file is read again
    assert dataset_spec(str(path)).digest != spec.digest


def broken(change):
    arrays = toy_arrays()
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("y_test"), "has x_test but lacks y_test"),
        (lambda a: a.pop("x_train"), "lacks x_train"),
        (lambda a: a.update(y_train=np.eye(3)[a["y_train"]]), r"y_train must be integers .* write y_train.argmax\(1\)"),
        (
            lambda a: a.update(y_train=np.stack([a["y_train"]] * 2, 1)),
            r"not int64 of shape \(120, 2\); give each image the number of its one class",
        ),
        (lambda a: a.update(y_train=a["y_train"] / 3), "not float64 .*; give each image the number of its one class"),
        (lambda a: a.update(y_train=a["y_train"].astype(str)), r"number the classes: class_names, y_train = numpy.uni"),
        (
            lambda a: a.update(class_names=np.array(["a", "b"])),
            "there are 2 class names for 3 classes; give one for each label",
        ),
        (lambda a: a.update(class_names=np.array([b"a", b"\xff", b"c"])), r"class_names has b'\\xff', which is no UTF-8"),
        (lambda a: a.update(y_train=a["y_train"].astype(np.uint64) + 2**63), "from 0, found 9223372036854775810"),
        (lambda a: a.update(y_test=a["y_test"] + 2**40), "test labels must count classes from 0, found 1099511627776"),
        (
            lambda a: a.update(y_train=a["y_train"].astype(object)),
            r'y_train: objects.*; .astype\("int64"\) makes them numbers',
        ),
        (
            lambda a: a.update(class_names=np.array(["a", "b", "c"], object)),
            r"class_names: objects, .* .astype\(str\) texts",
        ),
        (lambda a: a.update(x_val=a["x_test"]), "has x_val but lacks y_val"),
        (lambda a: a.update(x_train=a["x_train"][..., 0]), r"x_train must be uint8 of shape \(N, H, W, C\)"),
        (lambda a: a.update(x_train=a["x_train"].astype(float)), "not float64"),
        (lambda a: a.update(x_test=a["x_test"][:, :4]), r"x_test must be uint8 of shape \(N, 8, 8, 1\)"),
        (lambda a: a.update(y_train=a["y_train"][:-1]), "y_train must be integers"),
        (lambda a: a.update(y_test=a["y_test"].astype(float)), r"y_test must be integers .* write y_test.astype\(.int64.\)"),
        (lambda a: a.update(y_test=a["y_test"] + 3), "test labels must lie in 0 ... 2, found 3 ... 5"),
        (lambda a: a.update(y_train=a["y_train"] - 1), "training labels must count classes from 0, found -1"),
        (lambda a: a["y_train"].__setitem__(0, 4), "training labels must be 0 to 4 with images of each; none has label 3"),
    ],
)
def test_a_malformed_file_is_said_in_one_line(tmp_path, change, message):
    path = tmp_path / "mine.npz"
    np.savez(path, **broken(change))
    with pytest.raises(InputError, match=message) as caught:
        dataset_spec(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        lambda y: y[:, None],
        lambda y: y[:, None].astype(np.uint8),  # as Keras has those of CIFAR-10
        lambda y: y.astype(">i4"),
        lambda y: y > 0,
        lambda y: y[:, None] > 0,
    ],
)
def test_labels_come_in_several_forms(tmp_path, own_home, form):
    arrays = {name: array if name[0] == "x" else form(array) for name, array in toy_arrays().items()}
    np.savez(tmp_path / "mine.npz", **arrays)
    (own_home / "datasets").mkdir(parents=True, exist_ok=True)
    np.savez(own_home / "datasets" / "cifar10.npz", **arrays | {"x_train": rgb(120, 32, 32), "x_test": rgb(60, 32, 32)})
    for name in (str(tmp_path / "mine.npz"), "cifar10"):
        dataset = load_dataset(name)
        for split in ("train", "test"):
            labels = getattr(dataset, split)[1]
            assert labels.dtype == np.int64
            np.testing.assert_array_equal(labels, arrays[f"y_{split}"].ravel())


def test_class_names_may_be_bytes(tmp_path):
    names = np.array([name.encode() for name in ("a", "ö", "c")])
    np.savez(tmp_path / "mine.npz", **toy_arrays(), class_names=names)
    assert dataset_spec(str(tmp_path / "mine.npz")).class_names == ("a", "ö", "c")


def rgb(images, height=8, width=8):
    return np.random.default_rng(0).integers(0, 256, (images, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("change", "remedies"),
    [
        (lambda x: x.transpose(0, 3, 1, 2), ["x_train.transpose(0, 2, 3, 1)"]),
        (lambda x: x / 255, ['(255 * x_train).round().astype("uint8")']),
        (lambda x: x.astype(np.float32), ['x_train.round().astype("uint8")']),
        (lambda x: x.transpose(0, 3, 1, 2) / 255, ["transpose(0, 2, 3, 1), then x_train = (255 * x_train)"]),
        (lambda x: (x / 255 - 0.5) / 0.25, ["without its normalisation", "its values lie in -2 ... 2"]),
        (lambda x: x[..., 0], ["x_train[..., None]"]),
        (lambda x: x.astype(np.int64), ['x_train = x_train.astype("uint8")']),
        (lambda x: x > 100, ['x_train = 255 * x_train.astype("uint8")']),
        (lambda x: (x / 255).astype(np.float16), ['(255 * x_train).round().astype("uint8")']),
        (lambda x: x.astype(np.uint16) * 257, ["x_train scaled to 0 ... 255: its values lie in 0 ... 65,535"]),
        (lambda x: x.astype(np.int16) - 128, ["without its normalisation", "its values lie in -128 ... 127"]),
        (lambda x: np.where(x == 7, np.nan, x / 255), ["x_train without NaN and infinite values"]),
        (lambda x: x.astype(str), ["not <U3 of shape"]),
        (lambda x: np.concatenate([x] * 3, 3).transpose(0, 3, 1, 2), ["x_train.transpose(0, 2, 3, 1)"]),
    ],
)
def test_arrays_of_another_form_are_refused_with_the_remedy(tmp_path, change, remedies):
    path = tmp_path / "mine.npz"
    arrays = toy_arrays() | {"x_train": rgb(120), "x_test": rgb(60)}
    np.savez(path, **arrays | {"x_train": change(arrays["x_train"])})
    with pytest.raises(InputError, match="x_train must be uint8 of shape") as caught:
        dataset_spec(str(path))
    for remedy in remedies:
        assert remedy in str(caught.value)
    namespace = {"x_train": change(arrays["x_train"])}
    if "; write x_train = " in str(caught.value):  # the remedy is Python that mends it
        for line in str(caught.value).split("; write ")[1].split(", if ")[0].split(", then "):
            exec(line, namespace)
        shape = namespace["x_train"].shape[1:]
        np.savez(path, **arrays | {"x_train": namespace["x_train"], "x_test": np.zeros((60, *shape), np.uint8)})
        assert dataset_spec(str(path)).input_shape == (shape[2], *shape[:2])


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (1, 40), (8, 8)])
def test_odd_shapes_are_no_mistakes(tmp_path, caplog, shape):
    path = tmp_path / "mine.npz"
    np.savez(path, **toy_arrays() | {"x_train": rgb(120, *shape), "x_test": rgb(60, *shape)})
    assert dataset_spec(str(path)).input_shape == (3, *shape)
    said = f"x_train of shape (120, {shape[0]}, {shape[1]}, 3) is taken as (N, H, W, C); its sizes do not tell"
    assert (said in caplog.text) == (shape in [(3, 8), (1, 40)])


def test_without_test_images_a_share_of_a_file_is_held_out(tmp_path, caplog):
    arrays = toy_arrays()
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=arrays["x_train"], y_train=arrays["y_train"])
    dataset = load_dataset(str(path))
    assert dataset.spec.test_held_out
    assert "mine.npz has no test images" in caplog.text
    assert (len(dataset.train[0]), len(dataset.test[0])) == (96, 24)
    images = np.concatenate([dataset.train[0], dataset.test[0]])
    assert sorted(map(bytes, images)) == sorted(map(bytes, arrays["x_train"]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_are_mapped_into_memory(tmp_path, own_home, save):
    save(tmp_path / "mine.npz", **toy_arrays())
    assert isinstance(load_dataset(str(tmp_path / "mine.npz")).train[0], np.memmap)
    images = rgb(20, 32, 32)
    (own_home / "datasets").mkdir(parents=True, exist_ok=True)
    arrays = {"x_train": images, "y_train": np.arange(20) % 10, "x_test": images[:10], "y_test": np.arange(10)}
    save(own_home / "datasets" / "cifar10.npz", **arrays)
    known = load_dataset("cifar10")
    assert isinstance(known.train[0], np.memmap) == (save is np.savez)
    np.testing.assert_array_equal(known.train[0], images)
    np.testing.assert_array_equal(known.test[0], images[:10])


def test_a_damaged_file_is_said_whoever_it_is_from(tmp_path, own_home):
    (own_home / "datasets").mkdir(parents=True)
    known, own = own_home / "datasets" / "fashion-mnist.npz", tmp_path / "mine.npz"
    arrays = toy_arrays(side=28)
    for path in (known, own):
        np.savez(path, **arrays)
        path.write_bytes(path.read_bytes().replace(arrays["x_train"][3].tobytes(), arrays["x_train"][4].tobytes()))
    with pytest.raises(InputError, match=r"Bad CRC-32 for file 'x_train.npy'\); write it again with numpy.savez"):
        dataset_spec(own)
    dataset = load_dataset("fashion-mnist")
    with pytest.raises(InputError, match=r"Bad CRC-32 for file 'x_train.npy'\); remove it to have it fetched again"):
        _ = dataset.train
    np.testing.assert_array_equal(dataset.test[0], arrays["x_test"])


def test_kept_images_that_were_changed_are_said(tmp_path, kept):
    np.savez(tmp_path / "mine.npz", **toy_arrays())
    spec = dataset_spec(tmp_path / "mine.npz")
    _ = load_dataset(spec)
    images = Path(spec.store) / "x_test.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    os.utime(images, ns=(1, 10**15))
    with pytest.raises(InputError, match="holds other images than were kept; remove it to have the images converted again"):
        load_dataset(spec)
    shutil.rmtree(spec.store)
    assert load_dataset(tmp_path / "mine.npz").spec == spec


def test_a_path_is_as_good_as_its_text(tmp_path, toy_teacher):
    path, file = tmp_path / "mine.npz", tmp_path / "validation.txt"
    np.savez(path, **toy_arrays())
    file.write_text("1\n2\n")
    text = DataSettings(validation=str(file))
    assert dataset_spec(path, DataSettings(validation=file)) == dataset_spec(str(path), text)
    assert DataSettings(validation=file) == text
    assert load_dataset(path).spec == dataset_spec(str(path))
    assert Problem(toy_teacher, path).name == Problem(toy_teacher, str(path)).name
    search = Search(teacher=Path(toy_teacher), dataset=path, validation=file, train_size=30)
    assert search == Search(teacher=toy_teacher, dataset=str(path), validation=str(file), train_size=30)
    assert json.loads(json.dumps(search.configuration))["dataset"] == str(path)


@pytest.mark.parametrize("change", ["x_train", "y_train", "x_test", "y_test"])
def test_what_a_known_data_set_holds_is_what_it_is_known_by(own_home, change):
    prints = set()
    for changed in (False, True):
        arrays = {"x_train": rgb(20, 32, 32), "y_train": np.arange(20) % 10}
        arrays |= {"x_test": rgb(10, 32, 32), "y_test": np.arange(10)}
        if changed:
            arrays[change] = arrays[change][::-1]
        (own_home / "datasets").mkdir(parents=True, exist_ok=True)
        np.savez(own_home / "datasets" / "cifar10.npz", **arrays)
        prints.add(load_dataset("cifar10").fingerprint)
    assert len(prints) == 2


def test_a_known_data_set_is_read_once_for_what_it_is_known_by(own_home, monkeypatch):
    digested = []
    monkeypatch.setattr("n2n_gym.data.dataset.digest", lambda arrays: digested.append(arrays) or npz.digest(arrays))
    first = load_dataset("digits").fingerprint
    for _ in range(3):
        again = load_dataset("digits")
        assert again.fingerprint == first
        assert "train" not in vars(again)
        assert "test" not in vars(again)
    assert len(digested) == 1
    [mark] = (own_home / "checked").iterdir()
    for damaged in (mark.read_bytes()[:-1], mark.read_bytes().replace(b" ", b" 0", 3), b"", b"\xff"):
        mark.write_bytes(damaged)  # it is not believed
        assert load_dataset("digits").fingerprint == first
    assert len(digested) == 5


@pytest.mark.parametrize("keep", [0, 10, 500, -40])
def test_a_truncated_file(tmp_path, keep):
    path = tmp_path / "mine.npz"
    np.savez(path, **toy_arrays())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as a .npz data set"):
        dataset_spec(str(path))


def test_a_file_with_pickled_objects_is_not_opened(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **{**toy_arrays(), "x_train": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(InputError, match="cannot be read"):
        dataset_spec(str(path))


def test_odd_files(tmp_path):
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    array.rename(tmp_path / "array.npz")
    with pytest.raises(InputError, match="cannot be read as a .npz"):
        dataset_spec(str(tmp_path / "array.npz"))
    empty = {name: values[:0] if name.endswith("train") else values for name, values in toy_arrays().items()}
    np.savez(tmp_path / "empty.npz", **empty)
    with pytest.raises(InputError, match="x_train holds no images"):
        dataset_spec(str(tmp_path / "empty.npz"))
    far = toy_arrays()
    far["y_train"][0] = 10**12
    np.savez(tmp_path / "far.npz", **far)
    with pytest.raises(InputError, match="training labels must count classes from 0"):
        dataset_spec(str(tmp_path / "far.npz"))
    np.savez(tmp_path / "two.npz", **{name: values[:2] for name, values in toy_arrays().items()})
    with pytest.raises(InputError, match=r"2 of 2 classes \(label 0, label 1\) have too few training images; each needs 2"):
        dataset_spec(str(tmp_path / "two.npz"))


def test_unknown_and_missing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="Did you mean 'cifar10'"):
        dataset_spec("cifar-10")
    with pytest.raises(InputError, match="no data set at"):
        dataset_spec(str(tmp_path / "none.npz"))

    def no_internet(*_args, **_kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", no_internet)
    with pytest.raises(InputError, match=r"mnist is not at .*mnist.npz and could not be downloaded .* put a .npz file with"):
        load_dataset("mnist")


def test_train_size_out_of_range():
    with pytest.raises(InputError, match="train-size 5,000 is more than the 1,078 training images of digits"):
        load_dataset("digits").split(5000)
    with pytest.raises(InputError, match="train-size must be at least 10 images, one of each class of digits, not 9"):
        load_dataset("digits").split(9)


def test_every_class_is_trained_on_however_few_images_are(tmp_path):
    labels = np.array([0] * 60 + [1] * 50 + [2] * 2 + [3] * 2)  # a rare class comes late in the order
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    dataset = load_dataset(tmp_path / "mine.npz")
    everything, validation = dataset.split()
    for size in range(4, len(everything) + 1):
        train, same = dataset.split(size)
        assert len(set(train)) == size
        assert set(dataset.train[1][train]) == {0, 1, 2, 3}
        np.testing.assert_array_equal(validation, same)
        where = np.flatnonzero(np.isin(everything, train))
        np.testing.assert_array_equal(everything[where], train)  # in the order of all
        if set(dataset.train[1][everything[:size]]) == {0, 1, 2, 3}:
            np.testing.assert_array_equal(train, everything[:size])
    with pytest.raises(InputError, match="at least 4 images, one of each class of .*mine.npz, not 3"):
        dataset.split(3)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    with gzip.open(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def small_images(count, side, channels):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.fixture
def raw_files(tmp_path, monkeypatch):
    """Small files in each data set's original format, where torchvision would have put its download."""
    import torchvision.datasets as tv

    def prepare(name):
        images, labels = small_images(20, 32, 3), np.arange(20) % 10

        def into(folder):
            if name in ("mnist", "fashion-mnist"):
                raw = folder / ("MNIST" if name == "mnist" else "FashionMNIST") / "raw"
                raw.mkdir(parents=True)
                for stem, n in (("train", 20), ("t10k", 10)):
                    from torchvision.datasets.utils import extract_archive

                    for kind, array in (("images-idx3", images[:n, :28, :28, 0]), ("labels-idx1", labels[:n])):
                        archive = raw / f"{stem}-{kind}-ubyte.gz"
                        write_idx(archive, array)
                        extract_archive(str(archive), str(raw))
            elif name.startswith("cifar"):
                cls = tv.CIFAR10 if name == "cifar10" else tv.CIFAR100
                base = folder / cls.base_folder
                base.mkdir(parents=True)
                monkeypatch.setattr(cls, "_check_integrity", lambda self: True)
                monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
                key = "labels" if name == "cifar10" else "fine_labels"
                for file, _ in cls.train_list + cls.test_list:
                    flat = images.transpose(0, 3, 1, 2).reshape(20, -1)
                    (base / file).write_bytes(pickle.dumps({"data": flat, key: labels.tolist()}))
                (base / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: [str(i) for i in range(10)]}))
            elif name == "svhn":
                scipy_io = pytest.importorskip("scipy.io")
                monkeypatch.setattr(tv.SVHN, "_check_integrity", lambda self: True)
                monkeypatch.setattr(tv.SVHN, "download", lambda self: None)
                mat = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
                for split in ("train", "test"):
                    scipy_io.savemat(folder / f"{split}_32x32.mat", mat)
            else:
                monkeypatch.setattr(tv.Caltech256, "_check_integrity", lambda self: True)
                monkeypatch.setattr(tv.Caltech256, "download", lambda self: None)
                for category in range(3):
                    place = folder / "caltech256" / "256_ObjectCategories" / f"{category + 1:03d}.thing"
                    place.mkdir(parents=True)
                    for i in range(5):
                        mode = "L" if i == 0 else "RGB"
                        Image.new(mode, (40, 30), 50 * (category + 1) if mode == "L" else (50 * (category + 1),) * 3).save(
                            place / f"{category + 1:03d}_{i + 1:04d}.jpg"
                        )

        folder = tmp_path / "raw"
        folder.mkdir()
        into(folder)

        class Here:
            def __enter__(self):
                return str(folder)

            def __exit__(self, *_):
                pass

        monkeypatch.setattr(downloads.tempfile, "TemporaryDirectory", Here)
        return images, labels

    return prepare


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_loaders_read_the_original_format(raw_files, own_home, name):
    images, labels = raw_files(name)
    dataset = load_dataset(name)
    stored = dataset.train[0]
    if name.endswith("mnist"):
        np.testing.assert_array_equal(stored, images[:, :28, :28, :1])
    else:
        np.testing.assert_array_equal(stored[:20], images)
    np.testing.assert_array_equal(dataset.train[1][:20], labels)
    assert dataset.spec.input_shape == DATASETS[name].input_shape
    assert [path.name for path in (own_home / "datasets").iterdir()] == [f"{name}.npz"]


def test_caltech256_is_resized_and_split_within_each_category(raw_files, monkeypatch):
    raw_files("caltech256")
    dataset = load_dataset("caltech256")
    assert dataset.train[0].shape == (12, 224, 224, 3)
    assert np.bincount(dataset.train[1]).tolist() == [4, 4, 4]
    assert np.bincount(dataset.test[1]).tolist() == [1, 1, 1]
    for image, label in zip(*dataset.train, strict=True):
        assert abs(int(image.mean()) - 50 * (label + 1)) <= 3
