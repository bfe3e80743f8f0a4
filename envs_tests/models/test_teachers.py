import json
from dataclasses import replace

import pytest
import torch

from n2n_gym.errors import InputError
from n2n_gym.models.checkpoint import Classifier, load_checkpoint, save_checkpoint
from n2n_gym.problem import Problem
from n2n_gym.system.files import teachers_folder
from n2n_gym.teachers.saved import load_teacher, ready_teacher, teacher_facts, teacher_names
from n2n_gym.training.recipes import teacher_recipe

CPU = torch.device("cpu")


@pytest.fixture
def teacher(toy_problem):
    return ready_teacher(toy_problem, device=CPU)


def test_trained_once_then_found_by_name(toy_problem, teacher):
    epochs = []
    again = ready_teacher(toy_problem, device=CPU, on_epoch=lambda e, _: epochs.append(e))
    assert epochs == []
    assert again.checkpoint.fingerprint == teacher.checkpoint.fingerprint
    assert teacher_names() == [teacher.name]
    facts = teacher_facts(teacher.name)
    assert facts["parameters"] == toy_problem.architecture.parameters
    assert facts["test_accuracy"] == teacher.test_accuracy > 0.5
    assert load_teacher(teacher.name).validation_accuracy == teacher.validation_accuracy


def test_names_tell_problems_apart(toy_problem, toy_data):
    problems = [toy_problem, Problem("conv4", toy_data), Problem("conv4", toy_data, width=0.5), Problem("conv4"), Problem()]
    problems += [Problem("conv4", train_size=100), Problem("vgg11")]
    assert len({problem.name for problem in problems}) == len(problems) - 1


def test_the_paper_recipes_of_appendix_10_2():
    mnist, cifar = (teacher_recipe(Problem(dataset=name).data) for name in ("mnist", "cifar10"))
    assert (mnist.epochs, mnist.learning_rate, mnist.milestones, mnist.batch_size) == (50, 0.01, (30,), 64)
    assert (cifar.epochs, cifar.learning_rate, cifar.milestones, cifar.batch_size) == (150, 0.001, (80, 120), 128)


def test_a_checkpoint_gives_the_same_logits(teacher, tmp_path):
    checkpoint = teacher.checkpoint
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    before = Classifier(checkpoint.preprocessing, checkpoint.network)(images)
    save_checkpoint(tmp_path / "copy", checkpoint.network, checkpoint.preprocessing, {**checkpoint.facts, "a": 1})
    again = load_checkpoint(tmp_path / "copy")
    torch.testing.assert_close(Classifier(again.preprocessing, again.network)(images), before)
    assert again.facts == {**checkpoint.facts, "a": 1}
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == ["model.json", "weights.safetensors"]


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_truncated_weights(teacher, keep):
    path = teachers_folder() / teacher.name / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="truncated or was changed"):
        load_teacher(teacher.name)


def test_damaged_description(teacher):
    path = teachers_folder() / teacher.name / "model.json"
    description = json.loads(path.read_text())
    del description["architecture"]["layers"][1]
    path.write_text(json.dumps(description))
    with pytest.raises(InputError, match="was changed: its checksum is another; .*--again"):
        load_teacher(teacher.name)
    del description["checksum"]  # as an older version wrote it
    path.write_text(json.dumps(description))
    with pytest.raises(InputError, match="holds no architecture: layer 1 reads from"):
        load_teacher(teacher.name)
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="not a readable description of a saved network"):
        load_teacher(teacher.name)


def test_unknown_teacher(teacher):
    with pytest.raises(InputError, match="unknown saved teacher"):
        load_teacher("none")


def test_a_teacher_of_another_network_or_other_images_is_refused(toy_problem, teacher, toy_data, toy_teacher):
    path = teachers_folder() / teacher.name / "model.json"
    description = json.loads(path.read_text())
    del description["checksum"]  # as an older version wrote it
    for fingerprint, why in (
        ("2-other", "was trained on other images"),
        (
            "5e1f",
            "was trained before the identity of a data set covered its test images and their shape; "
            "n2n teacher train --again trains it again",
        ),
    ):
        path.write_text(json.dumps({**description, "facts": {**description["facts"], "data_fingerprint": fingerprint}}))
        with pytest.raises(InputError, match=why):
            ready_teacher(toy_problem, device=CPU)
    other = Problem("conv4", toy_data)
    (teachers_folder() / teacher.name).rename(teachers_folder() / other.name)
    with pytest.raises(InputError, match="is another network than conv4"):
        ready_teacher(other, device=CPU)


def test_what_a_killed_process_left_is_swept_up(toy_problem, untrained):
    left = teachers_folder() / f".n2n-part-0-{toy_problem.name}"
    mine = teachers_folder() / ".mine"
    left.mkdir(parents=True)
    mine.mkdir()
    ready_teacher(toy_problem, device=CPU)
    assert not left.exists()
    assert mine.exists()
    assert teacher_names() == [toy_problem.name]


def test_a_teacher_that_has_learned_nothing_is_said_to(toy_problem, untrained, monkeypatch, caplog):
    """Its students could be as good as it whatever becomes of them."""
    plain = teacher_recipe(toy_problem.data)
    monkeypatch.setattr("n2n_gym.teachers.saved.teacher_recipe", lambda *_: replace(plain, epochs=1, learning_rate=1e-9))
    teacher = ready_teacher(toy_problem, device=CPU)
    said = f"{teacher.name} classifies {teacher.validation_accuracy:.1%} of the validation images correctly, hardly more than"
    assert (said in caplog.text) == (teacher.validation_accuracy < 0.5)
    assert teacher.validation_accuracy < 0.5


def test_a_diverged_teacher_is_not_kept(toy_problem, untrained, monkeypatch):
    recipe = replace(teacher_recipe(toy_problem.data), learning_rate=1e18)
    monkeypatch.setattr("n2n_gym.teachers.saved.teacher_recipe", lambda *_: recipe)
    with pytest.raises(InputError, match="training diverged"):
        ready_teacher(toy_problem, device=CPU)
    assert teacher_names() == []
