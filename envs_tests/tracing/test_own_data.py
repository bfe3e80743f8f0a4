"""An imported teacher brings the data along that it was imported with; nothing else is put in their place."""

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.commands.main import main
from agents.search.compress import compress
from agents.search.options import Search
from envs_tests.agents.test_cli import fails
from envs_tests.data.conftest import write_class
from envs_tests.tracing.networks import Residual
from n2n_gym import teachers
from n2n_gym.errors import InputError
from n2n_gym.models.checkpoint import load_checkpoint
from n2n_gym.system.files import teachers_folder
from n2n_gym.teachers.saved import ready_teacher, teacher_facts, teacher_names

HERE = Path(__file__).parent / "networks.py"
QUICK = ["--device", "cpu", "--images", "10", "--renewed", "0"]
SHORT = {
    "iterations": 1,
    "rollouts": 2,
    "finalists": 1,
    "final_trainings": 1,
    "final_epochs": 1,
    "beside": (),
    "workers": 0,
    "device": "cpu",
    "speed": False,
}


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Residual()


@pytest.fixture
def of_several_sizes(tmp_path):
    """Grey pictures of three classes, in several sizes."""
    folder = tmp_path / "pictures"
    for split, images in (("train", 20), ("test", 5)):
        for name, side in (("a", 8), ("b", (12, 9)), ("c", 10)):
            write_class(folder / split / name, images, side=side, channels=1)
    return folder


def test_pictures_of_several_sizes_are_brought_to_the_network(of_several_sizes, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["teacher", "import", f"{HERE}:Residual", "--name", "mine", "--device", "cpu", "--dataset", "pictures"]
    assert "3 sizes, such as 8 x 8" in fails(capsys, *words)
    assert main([*words, "--image-size", "8"]) == 0
    kept = teacher_facts("mine")
    assert kept["test_accuracy"] is not None
    assert (kept["dataset"], kept["read"]["image_size"]) == (str(of_several_sizes), 8)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Search(teacher="mine").problem.data.input_shape == (1, 8, 8)
    assert ready_teacher(Search(teacher="mine").problem, device=torch.device("cpu")).name == "mine"
    assert main(["teacher", "profile", "mine", *QUICK]) == 0
    assert json.loads(Path("profiles/mine/profile.json").read_text())["dataset"] == str(of_several_sizes)
    named = Search(teacher="mine", dataset=of_several_sizes).problem
    assert named == Search(teacher="mine").problem
    moved = of_several_sizes.rename(tmp_path / "moved")
    said = f"mine was imported with {of_several_sizes}, which is not there; say where it is: dataset"
    capsys.readouterr()
    assert said in fails(capsys, "compress", "--teacher", "mine")
    assert Search(teacher="mine", dataset=moved).problem.data.input_shape == (1, 8, 8)
    assert f"{of_several_sizes} is not there" in fails(
        capsys, "compress", "--dataset", str(of_several_sizes), "--image-size", "8"
    )


def test_pictures_of_one_size_stay_as_they_are(module, tmp_path):
    for name in ("a", "b", "c"):
        write_class(tmp_path / "even" / "train" / name, 20, side=(12, 9), channels=1)
        write_class(tmp_path / "even" / "test" / name, 5, side=(12, 9), channels=1)
    teachers.add(module, name="mine", dataset=tmp_path / "even", image_size=8, device="cpu")
    assert teacher_facts("mine")["read"]["image_size"] is None
    assert Search(teacher="mine").problem.data.input_shape == (1, 12, 9)


def test_no_rectangle_for_pictures_of_several_sizes(module, of_several_sizes):
    with pytest.raises(InputError, match="bring them to a square: say its side in pixels with image-size"):
        teachers.add(module, name="mine", dataset=of_several_sizes, image_size=(8, 9), device="cpu")
    teachers.add(module, name="mine", dataset=of_several_sizes, image_size=(8, 8), device="cpu")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": "3"}, "add: classes must be a whole number or None, not '3'"),
        ({"dataset": 3}, "add: dataset must be text or None, not 3"),
        ({"image_size": "16"}, "image_size must be whole numbers, not '16'"),
        ({"image_size": 8.0}, "image_size must be whole numbers, not 8.0"),
        ({"mean": "x"}, "mean must be numbers, not 'x'"),
        ({"name": None}, "a teacher's name is made of letters"),
    ],
)
def test_arguments_of_another_type_are_refused_in_a_line(module, wrong, message):
    with pytest.raises(InputError, match=f"^{message}"):
        teachers.add(module, **{"name": "mine"} | wrong)


def test_its_export_takes_the_data_sets_images(module, capsys, tmp_path, toy_data, caplog):
    smaller = tmp_path / "smaller.npz"
    arrays = dict(np.load(toy_data))
    np.savez(smaller, **arrays | {name: arrays[name][:, ::2, ::2] for name in ("x_train", "x_test")})
    teachers.add(module, name="mine", dataset=str(smaller), image_size=(8,), device="cpu")
    assert "smaller.npz are here, with mean" in caplog.text
    assert main(["export", "mine", "--to", "torch", "--out", str(tmp_path / "out")]) == 0
    program = torch.export.load(str(next((tmp_path / "out").glob("*.pt2")))).module()
    images = torch.tensor(np.load(smaller)["x_test"][:5]).permute(0, 3, 1, 2)
    checkpoint = load_checkpoint(teachers_folder() / "mine")
    with torch.no_grad():
        torch.testing.assert_close(program(images), checkpoint.network(checkpoint.preprocessing(images)))


def test_a_live_module_is_measured_on_the_pictures_as_they_are_read(module, of_several_sizes):
    gym.make("N2N/LayerRemoval-v0", teacher=module, dataset=str(of_several_sizes), image_size=8, store=None, device="cpu")
    [name] = teacher_names()
    assert teacher_facts(name)["read"]["image_size"] == 8
    with pytest.raises(InputError, match=r"needs the data set that it is for: dataset$"):
        gym.make("N2N/LayerRemoval-v0", teacher=module)


def test_a_search_is_on_the_teachers_own_data(module, toy_data, tmp_path):
    teachers.add(module, name="mine", dataset=toy_data, device="cpu")
    result = compress(teacher="mine", out=str(tmp_path / "run"), **SHORT)
    assert result["teacher"]["dataset"] == toy_data
    assert json.loads((tmp_path / "run" / "config.json").read_text())["configuration"]["dataset"] == toy_data
    assert compress(resume=str(tmp_path / "run"))["teacher"]["dataset"] == toy_data
    other = tmp_path / "other.npz"
    np.savez(other, **np.load(toy_data))
    assert Search(teacher="mine", dataset=str(other)).resumed(()).dataset == str(other)
    assert Search().resumed(()).dataset == "digits"


def test_without_data_it_has_to_be_said_which(module, toy_data, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teachers.add(module, name="bare", mean=(0.5,), std=(0.5,), image_size=(8,), device="cpu")
    said = "bare was imported without a data set; say which its students are trained on: dataset"
    with pytest.raises(InputError, match=said):
        gym.make("N2N/LayerRemoval-v0", teacher="bare")
    assert said in fails(capsys, "compress", "--teacher", "bare")
    assert said in fails(capsys, "teacher", "profile", "bare")
    assert main(["teacher", "profile", "bare", "--dataset", toy_data, *QUICK]) == 0


def test_a_trained_teachers_whole_name_stands_for_its_data(toy_teacher, toy_data, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = Search(teacher=toy_teacher, dataset=toy_data).problem.name
    assert name in teacher_names()
    said = fails(capsys, "teacher", "profile", name, "--dataset", "mnist", "--width", "0.5")
    assert f"{name} was trained for data of its own; leave out dataset, width, or name its network: " in said


def test_a_trained_teacher_is_found_with_how_its_data_were_read(toy_data, toy_teacher, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--teacher", toy_teacher, "--dataset", "toy.npz", "--flip", "--device", "cpu"]
    assert main(["teacher", "train", *words]) == 0
    name = Search(teacher=toy_teacher, dataset=toy_data, flip=True).problem.name
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["teacher", "profile", name, *QUICK]) == 0
    arrays = dict(np.load(toy_data))
    arrays["y_train"][:5] = 1
    np.savez(toy_data, **arrays)
    capsys.readouterr()
    assert f"{name} was trained on other data than are there now" in fails(capsys, "teacher", "profile", name)
