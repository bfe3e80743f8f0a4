import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from envs_tests.data.conftest import pixels, write_class
from n2n_gym.data import DataSettings, dataset_spec, folder, load_dataset
from n2n_gym.data.folder import SUFFIXES
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem


def test_splits_of_a_folder(cats_and_dogs):
    spec = dataset_spec(str(cats_and_dogs))
    assert (spec.input_shape, spec.classes, spec.class_names) == ((3, 8, 8), 2, ("cat", "dog"))
    assert (spec.images, spec.validation_given, spec.test_held_out) == (28, True, False)
    dataset = load_dataset(spec)
    assert isinstance(dataset.train[0], np.memmap)
    assert dataset.test[1].tolist() == [0] * 5 + [1] * 5
    train, validation = dataset.split()
    assert sorted([*train, *validation]) == list(range(28))
    for row, (split, name) in {0: ("train", "cat"), 10: ("train", "dog"), 20: ("val", "cat"), 27: ("val", "dog")}.items():
        assert dataset.train[1][row] == ("cat", "dog").index(name)
        assert (row in validation) == (split == "val")
    with Image.open(cats_and_dogs / "val" / "dog" / "003.png") as image:
        np.testing.assert_array_equal(dataset.train[0][27], np.asarray(image))
    assert spec.mean == pytest.approx(dataset.train[0].mean((0, 1, 2)) / 255)
    assert spec.std == pytest.approx((dataset.train[0] / 255).std((0, 1, 2)))


def test_a_folder_called_as_a_known_data_set_is_not_passed_over_in_silence(plain_folder, monkeypatch, caplog):
    plain_folder.rename(plain_folder.with_name("digits"))
    monkeypatch.chdir(plain_folder.parent)
    for _ in range(2):
        assert dataset_spec("digits").classes == 10
    assert caplog.text.count("the data set called digits is used; write ./digits for the folder") == 1
    caplog.clear()
    for path in ("./digits", "digits/"):
        assert dataset_spec(path).classes == 2
    assert dataset_spec("mnist").name == "mnist"
    assert "is used" not in caplog.text


def test_classes_and_images_are_those_of_torchvision(plain_folder):
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert set(SUFFIXES) == set(IMG_EXTENSIONS)
    (plain_folder / "yes" / "deeper").mkdir()
    shutil.copy(plain_folder / "yes" / "000.png", plain_folder / "yes" / "deeper" / "A.PNG")
    (plain_folder / "yes" / "notes.txt").write_text("no image")
    theirs = ImageFolder(str(plain_folder), loader=lambda path: np.asarray(Image.open(path)))
    ours = load_dataset(str(plain_folder))
    images = np.concatenate([ours.train[0], ours.test[0]])[..., 0]
    labels = np.concatenate([ours.train[1], ours.test[1]])
    expected = sorted((image.tobytes(), label) for image, label in theirs)
    assert sorted((image.tobytes(), label) for image, label in zip(images, labels.tolist(), strict=True)) == expected
    assert list(ours.spec.class_names) == theirs.classes


def test_without_test_images_a_stratified_share_is_held_out_and_said(plain_folder, caplog):
    dataset = load_dataset(str(plain_folder))
    assert dataset.spec.test_held_out
    assert "has no test images: a share of the training images is held out for testing" in caplog.text
    assert np.bincount(dataset.test[1]).tolist() == [3, 3]
    assert np.bincount(dataset.train[1]).tolist() == [12, 12]
    assert dataset.spec.input_shape == (1, 8, 8)
    seen = {image.tobytes() for split in (dataset.train, dataset.test) for image in split[0]}
    assert len(seen) == 30


def test_converted_once_until_something_changes(plain_folder, kept, monkeypatch):
    first = dataset_spec(str(plain_folder))
    assert len(kept()) == 1
    with monkeypatch.context() as patch:
        patch.setattr("n2n_gym.data.folder._parts", lambda *_: pytest.fail("converted again"))
        assert dataset_spec(str(plain_folder)) == first
    file = plain_folder / "yes" / "003.png"
    Image.fromarray(pixels(8, 1, 77)).save(file)
    os.utime(file, ns=(1, 10**15))
    changed = dataset_spec(str(plain_folder))
    assert changed.digest != first.digest
    assert len(kept()) == 2
    file.rename(plain_folder / "no" / "a.png")  # another class
    assert dataset_spec(str(plain_folder)).digest not in (first.digest, changed.digest)


def test_what_it_is_known_by_is_what_it_holds(plain_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(plain_folder, copy, copy_function=shutil.copy)  # other times
    ours, theirs = dataset_spec(str(plain_folder)), dataset_spec(str(copy))
    assert ours.store != theirs.store
    assert ours.identity == theirs.identity
    assert load_dataset(ours).fingerprint == load_dataset(theirs).fingerprint


def test_corrected_test_labels_change_what_it_is_known_by(cats_and_dogs):
    before = load_dataset(str(cats_and_dogs))
    (cats_and_dogs / "test" / "cat" / "000.png").rename(cats_and_dogs / "test" / "dog" / "z.png")
    after = load_dataset(str(cats_and_dogs))
    assert before.spec.identity != after.spec.identity
    assert before.fingerprint != after.fingerprint
    np.testing.assert_array_equal(before.train[0], after.train[0])


def test_image_size(plain_folder):
    wide = np.zeros((20, 40), np.uint8)
    wide[:, 10:30] = 200  # the middle
    Image.fromarray(wide).save(plain_folder / "yes" / "wide.png")
    with pytest.raises(InputError, match=r"have 2 sizes, such as 8 x 8 \(no/000.png\) and 40 x 20 \(yes/wide.png\)"):
        dataset_spec(str(plain_folder))
    dataset = load_dataset(dataset_spec(str(plain_folder), DataSettings(image_size=10)))
    assert dataset.spec.input_shape == (1, 10, 10)
    images = np.concatenate([dataset.train[0], dataset.test[0]])
    assert any((image == 200).all() for image in images)
    with pytest.raises(InputError, match="image-size must be at least 1 pixel, not 0"):
        dataset_spec(str(plain_folder), DataSettings(image_size=0))


def test_pictures_of_many_kinds(tmp_path, caplog):
    root = tmp_path / "many"
    write_class(root / "a", 5)
    write_class(root / "b", 5, channels=1, seed=9)
    Image.fromarray(np.full((8, 8, 4), 255, np.uint8)).save(root / "a" / "opaque.png")
    Image.fromarray(pixels(8, 3, 3)).convert("P").save(root / "a" / "palette.png")
    dataset = load_dataset(str(root))
    assert dataset.spec.input_shape == (3, 8, 8)
    assert "5 of the 12 images" in caplog.text
    assert "are grey: they are kept as RGB" in caplog.text
    grey = dataset.train[0][dataset.train[1] == 1]
    assert (grey[..., 0] == grey[..., 2]).all()
    assert any((image == 255).all() for split in (dataset.train, dataset.test) for image in split[0])


def seen_through(path):
    Image.fromarray(np.full((8, 8, 4), 128, np.uint8)).save(path)


def of_sixteen_bits(path):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda path: path.write_bytes(b"no picture"), "no readable image; mend or remove it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "mend or remove it"),
        (lambda path: path.write_bytes(b""), "no readable image"),
        (seen_through, "transparent in places; put a background behind it"),
        (of_sixteen_bits, "more than 8 bits a channel; scale the values"),
    ],
)
def test_images_that_cannot_be_used_are_named_and_counted(cats_and_dogs, kept, write, why):
    for i in range(7):
        write(cats_and_dogs / "train" / "cat" / f"{i:03d}.png")
    with pytest.raises(InputError, match=rf"7 of the 38 images in .* cannot be used: train/cat/000.png \(.*{why}") as caught:
        dataset_spec(str(cats_and_dogs))
    assert "004.png" in str(caught.value)
    assert "005.png" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept() == []


@pytest.mark.parametrize(
    ("link", "target"),
    [("no/self", "."), ("no/up", ".."), ("no/deep/er", "../../no"), ("no/far", "../.."), ("again", ".")],
)
def test_a_link_that_leads_back_is_named(plain_folder, kept, link, target):
    (plain_folder / "no" / "deep").mkdir()
    (plain_folder / link).symlink_to(target)
    with pytest.raises(InputError, match=rf"{link} leads back to a folder that it lies in \(.*\); remove the link"):
        dataset_spec(str(plain_folder))
    assert kept() == []


def test_other_links_are_followed(plain_folder, tmp_path):
    write_class(tmp_path / "elsewhere" / "deep", 3, channels=1, seed=7)
    (plain_folder / "no" / "more").symlink_to(tmp_path / "elsewhere")
    (plain_folder / "perhaps").symlink_to(tmp_path / "elsewhere" / "deep")
    dataset = load_dataset(str(plain_folder))
    assert len(dataset.train[1]) + len(dataset.test[1]) == 15 + 15 + 3 + 3


@pytest.mark.parametrize("name", [b"b\xff", b"no/x\xff.png", b"no/d\xff/1.png"])
def test_names_that_are_no_utf_8_are_refused(plain_folder, kept, name):
    path = plain_folder / os.fsdecode(name)
    if path.suffix:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(plain_folder / "no" / "000.png", path)
    else:
        write_class(path, 3, channels=1)
    with pytest.raises(InputError, match=r"rename '.*\\udcff.*': its name is no UTF-8") as caught:
        dataset_spec(str(plain_folder))
    assert str(caught.value).isascii()
    assert kept() == []


def test_what_is_no_file_is_not_waited_for(plain_folder):
    os.mkfifo(plain_folder / "no" / "999.png")
    with pytest.raises(InputError, match=r"no/999.png cannot be read: it is no file; remove it"):
        dataset_spec(str(plain_folder))


def foreign_class(root):
    write_class(root / "test" / "cow", 2)


def validation_twice(root):
    write_class(root / "valid" / "cat", 2)


def something_beside(root):
    write_class(root / "extra" / "cat", 2)


def no_dog_to_validate(root):
    shutil.rmtree(root / "val" / "dog")


def one_class(root):
    for split in ("train", "val", "test"):
        shutil.rmtree(root / split / "dog")


def no_folders(root):
    for each in root.iterdir():
        shutil.rmtree(each)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "test" / "owl").mkdir(), r"test: 1 class folders hold no images \(owl\)"),
        (no_folders, "holds no folders; give each class a folder"),
        (foreign_class, "test holds classes that train does not: cow"),
        (validation_twice, "holds validation images twice: val, valid"),
        (something_beside, "holds train/ with classes in it, and beside it extra"),
        (no_dog_to_validate, r"1 of 2 classes \(dog\) have no validation image"),
        (one_class, "has only one class"),
    ],
)
def test_a_folder_that_cannot_be_used_is_said_in_one_line(cats_and_dogs, kept, change, message):
    change(cats_and_dogs)
    with pytest.raises(InputError, match=message) as caught:
        dataset_spec(str(cats_and_dogs))
    assert "\n" not in str(caught.value)
    assert kept() == []


@pytest.mark.parametrize("images", [1, 2])
def test_very_few_images(tmp_path, kept, images):
    for name in ("a", "b"):
        write_class(tmp_path / "few" / name, images)
    with pytest.raises(InputError, match="too few to hold some out for testing"):
        dataset_spec(str(tmp_path / "few"))
    assert kept() == []


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Val", "Test"),
        ("training", "valid", "testing"),
        ("TRAINING", "Validation", "TEST"),
    ],
)
def test_splits_have_several_names(cats_and_dogs, tmp_path, names):
    lower = dataset_spec(cats_and_dogs)
    for old, new in zip(("train", "val", "test"), names, strict=True):
        (cats_and_dogs / old).rename(cats_and_dogs / new)
    dataset = load_dataset(cats_and_dogs)
    assert dataset.spec.class_names == ("cat", "dog")
    assert dataset.spec.identity == lower.identity
    assert (len(dataset.split()[1]), len(dataset.test[1])) == (8, 10)
    shutil.rmtree(cats_and_dogs / names[1])
    (tmp_path / "v.txt").write_text(f"cat/003.png\n{names[0]}/dog/000.png\n".replace(f"{names[0]}/", "", 1))
    named = load_dataset(dataset_spec(cats_and_dogs, DataSettings(validation=str(tmp_path / "v.txt"))))
    assert named.split()[1].tolist() == [3, 10]


def flat(root):
    for image in list(root.rglob("*.png")):
        image.rename(image.parent.parent / f"{image.parent.name}{image.name}")
    for split in root.iterdir():
        for name in ("cat", "dog"):
            (split / name).rmdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "train"), "holds val, test with folders in it, but no train/ with class folders"),
        (lambda root: (root / "train").rename(root / "cow"), "holds val, test with folders in it, but no train/"),
        (lambda root: shutil.rmtree(root / "val") or (root / "train").rename(root / "TEST2"), "holds test with folders in it"),
        (
            lambda root: shutil.copytree(root / "train", root / "Training"),
            "holds train images twice: Training, train; keep one",
        ),
        (lambda root: shutil.copytree(root / "test", root / "testing"), "holds test images twice: test, testing; keep one"),
        (flat, "holds train, val, test with no folders in them; give each class a folder with its images"),
    ],
)
def test_splits_that_cannot_be_told_are_said_in_one_line(cats_and_dogs, kept, change, message):
    change(cats_and_dogs)
    with pytest.raises(InputError, match=message) as caught:
        dataset_spec(cats_and_dogs)
    assert "\n" not in str(caught.value)
    assert kept() == []


def test_a_class_of_one_image_is_said(plain_folder, kept):
    write_class(plain_folder / "perhaps", 1, channels=1, seed=9)
    with pytest.raises(
        InputError, match=r"1 of 3 classes \(perhaps\) have too few training images; each needs 2, one of them"
    ):
        dataset_spec(plain_folder)
    assert kept() == []


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        write_class(tmp_path / "vehicles" / name, 5)
    assert dataset_spec(str(tmp_path / "vehicles")).class_names == ("bus", "train")
    for name in ("valid", "void"):
        write_class(tmp_path / "tickets" / name, 5)
    assert dataset_spec(str(tmp_path / "tickets")).class_names == ("valid", "void")


def test_what_begins_with_a_dot_is_passed_over(tmp_path):
    for name in ("cat", "dog"):
        write_class(tmp_path / "pets" / name, 5)
        write_class(tmp_path / "pets" / name / ".ipynb_checkpoints", 3)
    (tmp_path / "pets" / "cat" / "._0.png").write_bytes(b"what macOS leaves beside a file")
    assert dataset_spec(str(tmp_path / "pets")).images == 8  # of 5 each; one each is held out for testing


def test_a_folder_that_changes_while_it_is_read_is_not_kept(plain_folder, kept, monkeypatch):
    read = folder.picture

    def meddling(*given, **more):
        shutil.copy(plain_folder / "yes" / "014.png", plain_folder / "yes" / "new.png")
        return read(*given, **more)

    monkeypatch.setattr(folder, "picture", meddling)
    with pytest.raises(InputError, match="changed while they were read"):
        dataset_spec(str(plain_folder))
    assert kept() == []


def spec_of(path, home, ready, found):
    os.environ["N2N_HOME"] = str(home)
    read = folder._parts
    conversions = []

    def slow(*given):
        conversions.append(given)
        time.sleep(0.5)
        return read(*given)

    folder._parts = slow
    ready.wait()
    _ = dataset_spec(str(path))
    found.put(len(conversions))


def test_two_processes_that_want_it_convert_it_once(plain_folder, own_home, kept):
    context = multiprocessing.get_context("spawn")
    ready, found = context.Barrier(2), context.Queue()
    processes = [context.Process(target=spec_of, args=(plain_folder, own_home, ready, found)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(found.get(timeout=60) for _ in processes) == [0, 1]
    for process in processes:
        process.join()
    assert len(kept()) == 1


def test_a_damaged_cache_is_said(plain_folder):
    spec = dataset_spec(str(plain_folder))
    (Path(spec.store) / "dataset.json").write_text("{}")
    with pytest.raises(InputError, match="is not a readable kept data set: .*; remove .* to have the images converted again"):
        dataset_spec(str(plain_folder))


def test_a_problem_of_a_folder(cats_and_dogs):
    problem = Problem("conv4", str(cats_and_dogs))
    assert problem.architecture.input_shape == (3, 8, 8)
    assert problem.name == f"conv4-animals-{problem.data.digest[:8]}"
    mirrored = Problem("conv4", str(cats_and_dogs), flip=True)
    assert mirrored.name != problem.name
    assert Problem("conv4", str(cats_and_dogs), crop_padding=0).name == problem.name
