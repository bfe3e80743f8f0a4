"""Importing teachers, and compressing them: found by name, with their own weights and preprocessing, never trained."""

import json
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agents.commands.main import main
from agents.display import Display
from agents.search.compress import compress
from agents.search.options import Search
from agents.search.student import export, load_student
from envs_tests.agents.test_cli import fails
from envs_tests.conftest import toy_arrays
from envs_tests.tracing.networks import Residual
from n2n_gym import teachers
from n2n_gym.errors import InputError
from n2n_gym.evaluators import make_evaluator
from n2n_gym.models.checkpoint import load_checkpoint
from n2n_gym.problem import Problem
from n2n_gym.system.files import DESCRIPTION, teachers_folder
from n2n_gym.teachers.saved import ready_teacher, teacher_names
from n2n_gym.training.images import ImageData

CPU = torch.device("cpu")
HERE = Path(__file__).parent / "networks.py"


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Residual()


def facts(name):
    return json.loads((teachers_folder() / name / DESCRIPTION).read_text())["facts"]


def test_kept_as_it_is(module, toy_data):
    assert teachers.add(module, name="mine", dataset=toy_data, mean=(0.25,), std=(0.5,), device="cpu") == "mine"
    checkpoint = load_checkpoint(teachers_folder() / "mine")
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.network(images), module.eval()(images))
    assert checkpoint.preprocessing.to_json() == {"mean": [0.25], "std": [0.5], "side": [8, 8]}
    kept = facts("mine")
    pixels = np.load(toy_data)["x_test"].transpose(0, 3, 1, 2) / 255
    with torch.no_grad():
        right = (
            module((torch.tensor(pixels, dtype=torch.float32) - 0.25) / 0.5).argmax(1).numpy() == np.load(toy_data)["y_test"]
        )
    assert kept["test_accuracy"] == pytest.approx(right.mean())
    assert kept["parameters"] == sum(p.numel() for p in module.parameters())
    assert [place["module"] for place in kept["places"]][:1] == ["stem"]
    assert len(kept["places"]) == len(checkpoint.network.architecture.nodes)


def test_numbers_may_be_tensors(module):
    teachers.add(module, name="mine", mean=torch.tensor([0.25]), std=torch.tensor(0.5), image_size=torch.tensor([8, 8]))
    assert load_checkpoint(teachers_folder() / "mine").preprocessing.to_json() == {
        "mean": [0.25],
        "std": [0.5],
        "side": [8, 8],
    }


def test_it_is_never_trained_and_its_preprocessing_is_its_students(module, toy_data):
    teachers.add(module, name="mine", dataset=toy_data, mean=(0.25,), std=(0.5,), device="cpu")
    problem = Problem("mine", toy_data)
    teacher = ready_teacher(problem, device=CPU, on_epoch=lambda *_: pytest.fail("it was trained"))
    assert teacher.name == "mine"
    assert ImageData.of(problem, CPU).preprocessing.to_json() == teacher.checkpoint.preprocessing.to_json()
    assert teacher.validation_accuracy == facts("mine")["val_accuracy"]


def test_on_other_images_it_is_measured_once(module, toy_data):
    teachers.add(module, name="mine", mean=(0.25,), std=(0.5,), image_size=(8,))
    problem = Problem("mine", toy_data)
    assert facts("mine")["val_accuracy"] is None
    teacher = ready_teacher(problem, device=CPU, on_epoch=lambda *_: pytest.fail("it was trained"))
    assert teacher.name == problem.name != "mine"
    assert 0 <= teacher.validation_accuracy <= 1
    assert teacher.checkpoint.fingerprint == load_checkpoint(teachers_folder() / "mine").fingerprint
    path = teachers_folder() / teacher.name / "weights.safetensors"
    before = path.stat().st_mtime_ns
    ready_teacher(problem, device=CPU)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="unknown teacher"):  # what was measured is found by the imported name alone
        Problem(teacher.name, toy_data)


def test_other_weights_of_the_same_name_are_another_teacher(module, toy_data):
    teachers.add(module, name="mine", mean=(0.25,), std=(0.5,), image_size=(8,))
    before = Problem("mine", toy_data)
    names = before.name, before.identity
    shutil.rmtree(teachers_folder() / "mine")
    module.head.weight.data += 1
    teachers.add(module, name="mine", mean=(0.25,), std=(0.5,), image_size=(8,))
    after = Problem("mine", toy_data)
    assert before.architecture == after.architecture
    assert all(old != new for old, new in zip(names, (after.name, after.identity), strict=True))


def test_another_normalisation_is_another_teacher(module, toy_data):
    evaluators = []
    for name, mean, std in (("a1", 0.3, 0.4), ("a2", 0.0, 1.0), ("a3", 0.3, 0.4)):
        teachers.add(module, name=name, dataset=toy_data, mean=(mean,), std=(std,), device="cpu")
        evaluators.append(make_evaluator(Problem(name, toy_data), device="cpu"))
    first, second, third = (evaluator.context() for evaluator in evaluators)
    assert first["teacher"] == second["teacher"]
    assert first != second
    assert first == third
    identities = [Problem(name, toy_data).identity for name in ("a1", "a2", "a3")]
    assert identities[0] == identities[2] != identities[1]


def test_equal_weights_in_another_network_are_another_teacher(toy_data):
    def activated(activation):
        layers = [nn.Conv2d(1, 12, 3, padding=1), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)]
        return nn.Sequential(*layers)

    weights = activated(nn.ReLU()).state_dict()
    contexts = []
    for name, activation in (("one", nn.ReLU()), ("two", nn.Sigmoid()), ("three", nn.ReLU())):
        network = activated(activation)
        network.load_state_dict(weights)
        teachers.add(network, name=name, dataset=toy_data, device="cpu")
        contexts.append(make_evaluator(Problem(name, toy_data), device="cpu").context())
    assert contexts[0] == contexts[2] != contexts[1]


def test_the_data_sets_own_normalisation_is_not_mentioned(module, toy_data):
    """So what was known of students before it was mentioned is still known."""
    teachers.add(module, name="mine", dataset=toy_data, device="cpu")
    problem = Problem("mine", toy_data)
    assert problem.normalisation != (problem.data.mean, problem.data.std)  # but for how float32 rounds
    assert "normalisation" not in make_evaluator(problem, device="cpu").context()
    assert len(problem.identity.split()) == 2


def test_what_was_measured_is_measured_again_where_the_normalisation_is_another(module, toy_data):
    teachers.add(module, name="mine", mean=(0.25,), std=(0.5,), image_size=(8,))
    before = Problem("mine", toy_data)
    old = ready_teacher(before, device=CPU)
    shutil.rmtree(teachers_folder() / "mine")
    teachers.add(module, name="mine", mean=(0.9,), std=(0.05,), image_size=(8,))
    after = Problem("mine", toy_data)
    new = ready_teacher(after, device=CPU)
    assert new.name == after.name
    data = ImageData.of(after, CPU)
    assert new.checkpoint.preprocessing.to_json() == data.preprocessing.to_json() != old.checkpoint.preprocessing.to_json()
    assert new.validation_accuracy == data.validation_score(new.checkpoint.network).accuracy
    written = (teachers_folder() / new.name / DESCRIPTION).stat().st_mtime_ns
    assert ready_teacher(after, device=CPU).validation_accuracy == new.validation_accuracy
    assert (teachers_folder() / new.name / DESCRIPTION).stat().st_mtime_ns == written
    with pytest.raises(InputError, match="mine was imported again meanwhile, with another normalisation; start anew"):
        ready_teacher(before, device=CPU)


def test_compressed_by_name(module, toy_data, tmp_path):
    teachers.add(module, name="mine", dataset=toy_data, mean=(0.25,), std=(0.5,), device="cpu")
    result = compress(
        teacher="mine",
        dataset=toy_data,
        iterations=2,
        rollouts=2,
        finalists=1,
        final_trainings=1,
        beside=(),
        workers=0,
        device="cpu",
        out=str(tmp_path / "run"),
    )
    assert result["teacher"]["name"] == "mine"
    assert result["student"]["parameters"] < result["teacher"]["parameters"]
    assert load_student(tmp_path / "run").preprocessing.to_json()["mean"] == [0.25]


def test_a_run_says_how_each_class_fares_and_what_is_not_known_of_its_images(module, toy_data, tmp_path, capsys):
    named = tmp_path / "named.npz"
    np.savez(named, **np.load(toy_data), class_names=np.array(["top", "[middle]", "bottom"]))
    teachers.add(module, name="mine", dataset=str(named), mean=(0.25,), std=(0.5,), device="cpu")
    arguments = (
        "--teacher",
        "mine",
        "--iterations",
        "1",
        "--rollouts",
        "2",
        "--finalists",
        "1",
        "--workers",
        "0",
        "--no-speed",
        "--final-trainings",
        "1",
        "--beside",
    )
    main(["compress", *arguments, "--dataset", str(named), "--out", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert "whether the teacher was trained on the validation images is not known" in " ".join(printed.split())
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("│") and "middle" in line] == ["[middle]"]
    data = json.loads((tmp_path / "run" / "result.json").read_text())["data"]
    assert [each["name"] for each in data["classes"]] == ["top", "[middle]", "bottom"]
    assert [each["teacher"] for each in data["classes"]] == facts("mine")["val_class_accuracy"]
    assert all(0 <= each["student"] <= 1 for each in data["classes"])
    assert "not known" in data["validation"]
    assert data["test"] == "given"
    [source] = [path for path in export(tmp_path / "run", "python") if path.suffix == ".py"]
    assert "0 top, 1 [middle], 2 bottom" in source.read_text()
    arrays = dict(np.load(named))
    given = {"x_val": arrays["x_test"], "y_val": arrays["y_test"]}
    np.savez(named, **arrays | given)
    main(["compress", *arguments, "--dataset", str(named), "--out", str(tmp_path / "given")])
    assert "whether the teacher was trained on the validation images" not in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "given" / "result.json").read_text())["data"]["validation"] == "given"


def test_a_live_module_is_kept_under_its_weights(module, toy_data):
    env = gym.make("N2N/LayerRemoval-v0", teacher=module, dataset=toy_data, store=None, device="cpu")
    [name] = teacher_names()
    assert name.startswith("Residual-")
    assert env.unwrapped.spec.kwargs["teacher"] == env.spec.kwargs["teacher"] == name
    assert json.loads(env.spec.to_json())["kwargs"]["teacher"] == name
    again = gym.make(env.spec)
    envs = gym.make_vec("N2N/LayerRemoval-v0", num_envs=2, teacher=module, dataset=toy_data, store=None, device="cpu")
    assert envs.spec.kwargs["teacher"] == name
    assert teacher_names() == [name]
    for made in (env, again):
        made.reset(seed=0)
        for _ in range(made.unwrapped.stage.decisions):
            *_, info = made.step(int(made.unwrapped.action_masks().argmax()))
        assert info["parameters"]
    assert Search(teacher=module, dataset=toy_data).teacher == name
    module.head.bias.data += 1
    teachers.keep(module, toy_data)
    assert len(teacher_names()) == 2


# The command


def test_the_command(module, toy_data, capsys, tmp_path):
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in module.state_dict().items()}}, tmp_path / "w.pt"
    )
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    for name, file in (("one", "w.pt"), ("two", "w.safetensors")):
        words = [
            "teacher",
            "import",
            f"{HERE}:Residual",
            "--name",
            name,
            "--weights",
            str(tmp_path / file),
            "--dataset",
            toy_data,
        ]
        assert main([*words, "--mean", "0.25", "--std", "0.5", "--classes", "3", "--device", "cpu"]) == 0
    one, two = (load_checkpoint(teachers_folder() / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert torch.equal(one.network.state_dict()["layers.0.weight"], module.stem.weight)
    assert '"val_accuracy"' in capsys.readouterr().out
    assert main(["teacher", "list"]) == 0
    assert main(["teacher", "show", "one"]) == 0
    assert "places" not in capsys.readouterr().out


def test_a_checkpoint_of_torchvision(capsys, tmp_path):
    """The path of a pre-trained one, with a file that was written here."""
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "squeezenet1_1.pth")
    words = ["teacher", "import", "torchvision:squeezenet1_1", "--name", "squeezed", "--image-size", "64"]
    assert main([*words, "--weights", str(tmp_path / "squeezenet1_1.pth")]) == 0
    assert "random weights" not in capsys.readouterr().out
    kept = json.loads((teachers_folder() / "squeezed" / DESCRIPTION).read_text())
    assert kept["preprocessing"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert kept["preprocessing"]["side"] == [64, 64]
    assert kept["architecture"]["classes"] == 1000
    assert kept["facts"]["imported"]["weights"] == str(tmp_path / "squeezenet1_1.pth")


KNOWN = ["--mean", "0", "--std", "1", "--image-size", "8"]


@pytest.mark.parametrize(
    ("source", "more", "said"),
    [
        ("{here}:Residul", KNOWN, "unknown name in"),
        ("{here}:Residul", KNOWN, "Did you mean 'Residual'?"),
        ("{here}:NUMBER", KNOWN, "gives int, which is no torch module"),
        ("{here}:broken", KNOWN, "KeyError: 'x'"),
        ("{here}:needs", KNOWN, "give a function that takes none"),
        ("{here}:TwoInputs", KNOWN, "takes 2 inputs (x, mask)"),
        ("{here}:Residual", [*KNOWN, "--classes", "4"], "puts out 3 numbers per image; classes are 4"),
        ("{here}:Residual", ["--dataset", "digits"], "puts out 3 numbers per image; the data set's classes are 10"),
        ("{here}:Residual", ["--dataset", "mnst"], "unknown data set"),
        ("{here}:Residual", ["--image-size", "8"], "give mean and std"),
        ("{here}:Residual", ["--mean", "0", "--std", "1"], "give image-size"),
        ("{here}:Residual", ["--mean", "0", "--image-size", "8"], "mean and std go together"),
        ("{here}:Residual", ["--mean", "0", "--std", "0", "--image-size", "8"], "std must be more than 0"),
        (
            "{here}:Residual",
            ["--mean", "127.5", "--std", "64", "--image-size", "8"],
            "mean is of pixels scaled to [0, 1], so at most 1, not 127.5: divide mean and std by 255",
        ),
        (
            "{here}:Residual",
            ["--mean", "0", "0", "--std", "1", "--image-size", "8"],
            "one number per channel each, not 2 and 1",
        ),
        ("{here}:Residual", [*KNOWN[:4], "--image-size", "8", "8", "8"], "image-size is a side in pixels"),
        ("{here}:Residual", [*KNOWN, "--weights", "nowhere.pt"], "no weights at nowhere.pt"),
        ("{here}:Residual", [*KNOWN, "--name", "resnet18"], "resnet18 is a network of the zoo"),
        ("{here}:Residual", [*KNOWN, "--name", "a/b"], "made of letters"),
        ("nowhere.py:Residual", KNOWN, "no file at nowhere.py"),
        ("no.such.package:Residual", KNOWN, "there is no Python module no.such.package"),
        ("torchvision:resnet17", KNOWN, "unknown network of torchvision 'resnet17'"),
        ("model.pt2", KNOWN, "cannot be read without running what it may hold"),
        ("model.pth", KNOWN, "holds weights and no network"),
        ("mine", KNOWN, "unknown source of a network 'mine'"),
    ],
)
def test_bad_input_leaves_nothing(source, more, said, capsys):
    line = fails(capsys, "teacher", "import", source.format(here=HERE), "--name", "mine", *more)
    assert said in line
    assert teacher_names() == []
    assert list(teachers_folder().glob("*")) == []


def test_weights_that_do_not_fit(module, capsys, tmp_path):
    def imported(state, name="w.pt"):
        torch.save(state, tmp_path / name)
        weights = ["--weights", tmp_path / name]
        line = fails(capsys, "teacher", "import", f"{HERE}:Residual", "--name", "mine", *KNOWN, *weights)
        assert teacher_names() == []
        return line

    state = module.state_dict()
    assert "it lacks head.bias" in imported({name: value for name, value in state.items() if name != "head.bias"})
    assert "has head.scale, which the network does not" in imported({**state, "head.scale": torch.ones(3)})
    assert "head.weight has shape (5, 24), the network's (3, 24)" in imported({**state, "head.weight": torch.ones(5, 24)})
    assert "head.bias holds numbers that are not finite" in imported({**state, "head.bias": torch.full((3,), torch.nan)})
    assert "holds more than weights" in imported(module)
    assert "holds no state_dict" in imported([1, 2])
    (tmp_path / "w.safetensors").write_bytes(b"x")
    weights = ["--weights", tmp_path / "w.safetensors"]
    assert "is not a readable safetensors" in fails(
        capsys, "teacher", "import", f"{HERE}:Residual", "--name", "mine", *KNOWN, *weights
    )


def test_a_name_is_given_once(module):
    known = {"mean": (0.0,), "std": (1.0,), "image_size": (8,)}
    teachers.add(module, name="mine", **known)
    with pytest.raises(InputError, match="there is a teacher named mine"):
        teachers.add(module, name="mine", **known)
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        teachers.add(module, name="other", size=8)


def test_it_must_fit_the_data_set(module, toy_data):
    teachers.add(module, name="mine", mean=(0.0,), std=(1.0,), image_size=(8,))
    with pytest.raises(InputError, match="takes 1 channel.* and tells 3 classes apart; the data set has 1 and 10"):
        Problem("mine", "digits")
    with pytest.raises(InputError, match="leave width at 1"):
        Problem("mine", toy_data, width=0.5)
    with pytest.raises(InputError, match="Known: .*mine"):
        Problem("nobody", toy_data)


@pytest.mark.parametrize("ends", ["sys.exit(1)", "import argparse; argparse.ArgumentParser().parse_args(['--unknown'])"])
def test_a_file_that_ends_the_process_is_said_to(tmp_path, capsys, ends):
    (tmp_path / "net.py").write_text(f"import sys\n{ends}\n")
    assert main(["teacher", "import", f"{tmp_path / 'net.py'}:make", "--name", "mine", *KNOWN]) == 2
    line = capsys.readouterr().err.splitlines()[-1]  # before it argparse says what it wants
    assert "SystemExit" in line
    assert "__name__" in line


def test_where_nothing_can_be_removed_or_shrunk_is_said_at_once(toy_data, tmp_path):
    teachers.add(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), name="line", dataset=toy_data, device="cpu")
    with pytest.raises(InputError, match=r"nothing of line can be removed or shrunk in stage 1\+2"):
        compress(teacher="line", dataset=toy_data, iterations=2, rollouts=2, out=str(tmp_path / "run"), device="cpu")


def test_a_teacher_that_only_guesses_on_other_data_is_said_to(module, toy_data, tmp_path):
    np.savez(tmp_path / "noise.npz", **toy_arrays(brightness=0))
    teachers.add(module, name="mine", dataset=toy_data, device="cpu")
    said: list[str] = []
    display = Display()
    display.say = said.append
    settings = {"iterations": 1, "rollouts": 2, "finalists": 0, "stages": "1", "device": "cpu", "agent": "random"}
    compress(teacher="mine", dataset=str(tmp_path / "noise.npz"), out=str(tmp_path / "run"), display=display, **settings)
    assert any("hardly more than guessing would" in line for line in said)
