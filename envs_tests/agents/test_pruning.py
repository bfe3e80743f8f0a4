import copy
import sys
from dataclasses import replace

import pytest
import torch

from agents.reproduce.pruning import BETWEEN, PATIENCE, Limits, described_by, prune
from n2n_gym.data import load_dataset
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import load_checkpoint, save_checkpoint
from n2n_gym.networks.zoo import network
from n2n_gym.training.images import ImageData, Score
from n2n_gym.training.loop import Outcome, train
from n2n_gym.training.recipes import teacher_recipe


@pytest.fixture(scope="module", params=["conv4", "resnet18"])
def trained(request):
    """A narrow network trained on a few real digits, and its data."""
    torch.manual_seed(0)
    architecture = network(request.param, (1, 8, 8), 10, width=0.25)
    data = ImageData(load_dataset("digits"), architecture.input_shape, train_size=300, device=torch.device("cpu"))
    teacher = Network(architecture)
    train(teacher, data, replace(teacher_recipe(data.spec), epochs=6), seed=0)
    return teacher, data


def test_the_pruned_network_is_what_it_says_when_it_is_loaded_again(trained, tmp_path):
    teacher, data = trained
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    seen = []
    limits = Limits(accuracy=0.3, parameters=teacher.architecture.parameters // 8)
    pruned = prune(teacher, data, limits, seed=0, steps=12, between=BETWEEN, on_step=lambda *step: seen.append(step))
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    parameters = [step[1] for step in seen]
    assert parameters == sorted(parameters, reverse=True)
    assert limits.parameters <= pruned.architecture.parameters < teacher.architecture.parameters / 2
    assert pruned.architecture == described_by(pruned)

    facts = dict.fromkeys(("parameters", "macs", "val_accuracy", "test_accuracy"), 0)
    save_checkpoint(tmp_path / "pruned", pruned, data.preprocessing, facts)
    loaded = load_checkpoint(tmp_path / "pruned").network
    assert sum(p.numel() for p in loaded.parameters()) == pruned.architecture.parameters
    accuracy = next(step[2] for step in seen if step[1] == pruned.architecture.parameters)
    assert data.validation_score(loaded).accuracy == pytest.approx(accuracy)


def test_stops_before_the_accuracy_falls_below_the_limit(trained):
    teacher, data = trained
    floor = data.validation_score(teacher).accuracy - 0.1
    pruned = prune(teacher, data, Limits(accuracy=floor, parameters=0), seed=0, steps=10, between=BETWEEN)
    assert data.validation_score(pruned).accuracy >= floor


def test_one_bad_fine_tuning_does_not_stop_it(trained, monkeypatch):
    teacher, data = trained
    accuracies = iter([0.9, 0.4, 0.8, *[0.4] * PATIENCE, 0.9])
    monkeypatch.setattr("agents.reproduce.pruning.train", lambda *_, **__: Outcome(Score(next(accuracies)), 1))
    seen = []
    pruned = prune(teacher, data, Limits(0.5, 0), seed=0, on_step=lambda *step: seen.append(step))
    assert len(seen) == 3 + PATIENCE
    assert pruned.architecture.parameters == seen[2][1]


@pytest.mark.parametrize(("images", "epochs"), [(10_000, 1), (9_999, 2), (1_000, 10), (60, 10)])
def test_few_images_are_seen_more_often_between_prunings(trained, monkeypatch, images, epochs):
    teacher, data = trained
    seen = []

    def trains(network, data, recipe, *, seed):
        seen.append(recipe)
        return Outcome(Score(0.0), recipe.epochs)

    monkeypatch.setattr("agents.reproduce.pruning.train", trains)
    few = copy.copy(data)
    few.train_images = data.train_images[:1].expand(images, -1, -1, -1)
    few.train_labels = data.train_labels[:1].expand(images)
    prune(teacher, few, Limits(accuracy=0.5, parameters=0), seed=0)
    milestones = (epochs // 2, epochs * 4 // 5)
    assert seen == [replace(BETWEEN, epochs=epochs, milestones=milestones)] * PATIENCE


def test_where_nothing_may_go_the_teacher_stays(trained):
    teacher, data = trained
    pruned = prune(teacher, data, Limits(accuracy=1.01, parameters=0), seed=0, steps=10, between=replace(BETWEEN, epochs=1))
    assert pruned.architecture == teacher.architecture


def test_without_torch_pruning_it_says_what_to_install(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(InputError, match=r"pip install 'n2n-gym\[baselines\]'"):
        prune(*trained, Limits(0.5, 10), seed=0)
