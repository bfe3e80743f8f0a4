"""What each layer is worth: against the same by hand."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from agents.commands.main import main
from agents.commands.profile import _cells
from agents.search import profile as profiling
from agents.search.profile import profile
from agents.search.profile_picture import draw_profile, kept
from envs_tests.conftest import made_once, toy_arrays
from n2n_gym import teachers
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import batch_norm, conv, linear, max_pool, relu
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student
from n2n_gym.system.files import write_json
from n2n_gym.teachers.saved import load_teacher, ready_teacher
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import SEARCH_RECIPES

NORMALISED = Architecture.chain(
    [conv(20), batch_norm(), relu(), conv(20), batch_norm(), relu(), max_pool(), linear(3)], (1, 8, 8), 3
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with the teacher, trained once for all tests."""

    def make(folder):
        write_json(folder / "mine.json", NORMALISED.to_json())
        np.savez(folder / "hard.npz", **toy_arrays(images=600, brightness=20))
        ready_teacher(Problem(str(folder / "mine.json"), str(folder / "hard.npz")), device=torch.device("cpu"))

    return made_once(tmp_path_factory, "profiled", make)


@pytest.fixture
def problem(trained, own_home):
    """Of images that are hard enough for a layer to matter."""
    shutil.copytree(trained / "home", own_home)
    return Problem(str(trained / "mine.json"), str(trained / "hard.npz"))


def accuracy_of(found, student, problem):
    teacher = load_teacher(found["name"]).checkpoint.network
    network = Network(student.architecture, torch.Generator().manual_seed(0)).eval()
    inherit(network, student, teacher)
    return ImageData.of(problem, torch.device("cpu")).validation_score(network).accuracy


def test_each_row_is_that_change_alone(problem):
    found = profile(problem, renewed=0, device="cpu")
    assert found["statistics"] == "the teacher's"
    assert [row["kind"] for row in found["layers"]] == [node.layer.kind for node in NORMALISED.nodes]
    assert sum(row["parameters"] for row in found["layers"]) == found["parameters"] == NORMALISED.parameters
    assert sum(row["macs"] for row in found["layers"]) == NORMALISED.macs
    assert sum(row["time_share"] for row in found["layers"]) == pytest.approx(1)
    removal, shrink = RemovalStage(Student(NORMALISED)), ShrinkStage(Student(NORMALISED))
    without = removal.student([int(layers == (3,)) for layers in removal.layers])
    row = found["layers"][3]
    assert row["removed"]["lost"] == pytest.approx(found["accuracy"] - accuracy_of(found, without, problem))
    assert row["removed"]["parameters"] == NORMALISED.parameters - without.architecture.parameters
    assert row["removed"]["inherited"] == 1
    pairs = zip(shrink.layers, shrink.variables, strict=True)
    outputs = [layers == (3,) and variable.name == "OUTPUTS" for layers, variable in pairs]
    halved = shrink.student([4 if this else shrink.keep for this in outputs])
    assert halved.architecture.nodes[3].layer.outputs == 10
    assert row["halved"]["lost"] == pytest.approx(found["accuracy"] - accuracy_of(found, halved, problem))
    assert row["halved"]["parameters"] == NORMALISED.parameters - halved.architecture.parameters
    assert found["layers"][0]["removed"] is None  # protected
    assert found["layers"][1]["halved"] is None
    assert found["layers"][6]["removed"] is None  # the last pool


def test_statistics_are_renewed_only_when_they_are_to_be(problem):
    kept, renewed = (profile(problem, renewed=count, device="cpu") for count in (0, 50))
    assert renewed["statistics"] == "renewed on 50 training images"
    assert kept["accuracy"] == renewed["accuracy"]
    losses = [[row["removed"]["lost"] for row in found["layers"] if row["removed"]] for found in (kept, renewed)]
    assert losses[0] != losses[1]
    again = profile(problem, renewed=50, device="cpu")
    assert [row["removed"] for row in again["layers"]] == [row["removed"] for row in renewed["layers"]]


def test_the_estimate_says_what_it_assumes(problem, monkeypatch):
    monkeypatch.setattr("n2n_gym.system.machine.cores", lambda: 4)
    found = profile(problem, images=5, device="cpu")
    assert found["images"] == 5
    assert found["decisions"] == {"removal": {"all": 8, "free": 5}, "shrink": {"all": 6, "free": 6}}
    search = found["search"]
    assert set(search["seconds_a_student"]) == {"removal", "shrink"}
    a_student = sum(search["seconds_a_student"].values())
    assert 100 * a_student / 4 <= search["seconds"] < 100 * a_student / 4 + 10
    assert "100 students a stage" in search["assumes"]
    assert "recipe fast (2 epochs on 540 images" in search["assumes"]


def test_the_estimate_of_a_recipe_with_some_images_an_epoch(problem, monkeypatch):
    monkeypatch.setitem(SEARCH_RECIPES["sample"], "images", 200)
    asked = []
    monkeypatch.setattr(profiling, "train", lambda *args, **kwargs: asked.append(args[2].images) or train(*args, **kwargs))
    search = profile(problem, images=5, recipe="sample", device="cpu")["search"]
    assert "recipe sample (2 epochs on 200 images" in search["assumes"]
    assert set(asked) == {None}  # all that are timed are trained on, and count for as many


def test_a_network_that_was_not_changed_has_lost_nothing(own_home, tmp_path, monkeypatch):
    """Filters stay at least `MIN_FILTERS`: 16 become 10, and 8 stay 8; and ReLU after ReLU does nothing."""
    np.savez(tmp_path / "toy.npz", **toy_arrays(images=200, brightness=20))
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.ReLU()]
    module = nn.Sequential(*first, nn.Conv2d(16, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 3)).eval()
    teachers.add(module, name="narrow", dataset=str(tmp_path / "toy.npz"))  # as it is: nothing is trained
    monkeypatch.setattr(profiling, "_estimate", lambda *_: {})
    problem = Problem("narrow", str(tmp_path / "toy.npz"))
    found = profile(problem, renewed=8, device="cpu")
    assert found["accuracy_renewed"] != found["accuracy"]
    assert found["layers"][3]["removed"]["lost"] == 0
    first, second = found["layers"][0]["halved"], found["layers"][4]["halved"]
    assert (first["outputs"], first["of"], kept(first)) == (10, 16, "10 of 16")
    assert second == {"reason": "no effect", "layers": [4]}
    assert kept({"outputs": 10, "of": 20}) == kept({"outputs": 11, "of": 21}) == kept({"lost": 0.1}) == ""
    shrink = ShrinkStage(Student(problem.architecture))
    assert found["decisions"]["shrink"] == {"all": shrink.decisions, "free": shrink.decisions - 1}
    draw_profile(tmp_path / "profile.png", found)
    assert _cells(first)[0].endswith(" (10 of 16)")
    assert _cells(second) == ("no effect", "")


def test_numbers_out_of_range(problem):
    with pytest.raises(InputError, match="images must be at least 1"):
        profile(problem, images=0)
    with pytest.raises(InputError, match="renewed must be 0 or more"):
        profile(problem, renewed=-1)


def test_from_the_command_line(problem, tmp_path, capsys):
    out = tmp_path / "profile"
    words = ["teacher", "profile", problem.teacher, "--dataset", problem.dataset, "--device", "cpu", "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    for text in (
        "3 conv",
        "20x8x8",
        "statistics renewed on 540",
        "decisions: removal 8 (5 free)",
        "a search would take",
    ):
        assert text in printed
    found = json.loads((out / "profile.json").read_text())
    assert (out / "profile.png").stat().st_size > 10_000
    assert main(["teacher", "profile", found["name"], "--device", "cpu", "--out", str(out)]) == 0
    again = json.loads((out / "profile.json").read_text())
    assert [row["removed"] for row in again["layers"]] == [row["removed"] for row in found["layers"]]


def test_a_teacher_that_cannot_shrink(tmp_path):
    write_json(tmp_path / "line.json", Architecture.chain([linear(3)], (1, 8, 8), 3).to_json())
    np.savez(tmp_path / "toy.npz", **toy_arrays())
    found = profile(Problem(str(tmp_path / "line.json"), str(tmp_path / "toy.npz")), images=5, device="cpu")
    assert found["decisions"] == {"removal": {"all": 1, "free": 0}}
    assert found["layers"][0]["halved"] is None
