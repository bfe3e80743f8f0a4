import math
from dataclasses import replace

import pytest
import torch

from envs_tests.families import FAMILIES
from n2n_gym.data import load_dataset
from n2n_gym.models.build import Network
from n2n_gym.training.gradients import repeatable
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import DIVERGED, train, training
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.turns import finished, in_turns

CPU = torch.device("cpu")


@pytest.fixture
def data(toy_problem):
    return ImageData(load_dataset(toy_problem.dataset), (1, 8, 8), train_size=None, device=CPU)


def network(problem, seed=0):
    torch.manual_seed(seed)
    return Network(problem.architecture)


LABELS = Recipe(name="t", epochs=6, batch_size=16, learning_rate=0.01, weight_decay=0.0, hard=1.0)


def test_learns_from_labels(toy_problem, data):
    student = network(toy_problem)
    before = data.validation_score(student).accuracy
    outcome = train(student, data, LABELS, seed=0)
    assert outcome.score.accuracy == data.validation_score(student).accuracy > max(before, 0.8)
    assert outcome.epochs == 6


def test_learns_from_logits_alone(toy_problem, data):
    teacher = network(toy_problem)
    train(teacher, data, LABELS, seed=0)
    student = network(toy_problem, seed=1)
    recipe = Recipe(name="t", epochs=15, batch_size=16, learning_rate=0.01, weight_decay=0.0, soft=1.0)
    logits = TeacherLogits(teacher, data)

    def gap():
        with torch.no_grad():
            images = data.batch(data.view(0, augment=False), torch.arange(len(data.train_images)))
            return float((student.eval()(images) - logits.of(0, augment=False)).square().mean())

    before = gap()
    outcome = train(student, data, recipe, seed=0, teacher=logits)
    assert gap() < 0.1 * before
    assert outcome.score.accuracy > 0.8


def test_same_seed_same_network_another_seed_another(toy_problem, data):
    results = []
    for seed in (0, 0, 1):
        student = network(toy_problem)
        train(student, data, LABELS, seed=seed)
        results.append(torch.cat([p.detach().flatten() for p in student.parameters()]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_patience_stops_early_and_keeps_the_best_weights(toy_problem, data):
    student = network(toy_problem)
    seen = []
    recipe = Recipe(name="t", epochs=60, batch_size=16, learning_rate=0.01, weight_decay=0.0, hard=1.0, patience=5)
    outcome = train(student, data, recipe, seed=0, on_epoch=lambda epoch, accuracy: seen.append(accuracy))
    assert outcome.epochs == len(seen) < 60
    assert outcome.score.accuracy == max(seen) == data.validation_score(student).accuracy
    assert seen.index(max(seen)) == outcome.epochs - 6


def test_milestones_divide_the_rate_by_ten(toy_problem, data):
    """After a milestone at epoch 1, one more epoch moves the weights about ten times less."""

    def distance(milestones):
        student = network(toy_problem)
        recipe = Recipe(
            name="t", epochs=2, batch_size=16, optimizer="sgd", learning_rate=0.01, hard=1.0, milestones=milestones
        )
        marks = []

        def mark(_epoch, _accuracy):
            marks.append(torch.cat([p.detach().flatten() for p in student.parameters()]))

        train(student, data, recipe, seed=0, on_epoch=mark)
        return float((marks[1] - marks[0]).norm())

    assert distance((1,)) < 0.3 * distance(())


def test_divergence_is_a_result_not_an_exception(toy_problem, data):
    recipe = Recipe(name="t", epochs=3, batch_size=16, optimizer="sgd", learning_rate=1e18, hard=1.0)
    outcome = train(network(toy_problem), data, recipe, seed=0)
    assert outcome.failure == DIVERGED


def test_batch_statistics_move_in_every_epoch(data):
    """Evaluation after an epoch must not leave batch normalisation frozen for the next."""
    from n2n_gym.networks.zoo import network as zoo

    student = Network(zoo("conv4", (1, 8, 8), 3, width=0.2))
    statistics = []
    recipe = Recipe(name="t", epochs=3, batch_size=16, learning_rate=0.01, hard=1.0, patience=10)
    train(student, data, recipe, seed=0, on_epoch=lambda *_: statistics.append(student.layers[1].running_mean.clone()))
    assert not torch.equal(statistics[0], statistics[1])
    assert not torch.equal(statistics[1], statistics[2])


def test_logits_belong_to_the_view_they_were_computed_from(real_dataset):
    real_dataset("cifar10")
    from n2n_gym.networks.zoo import network as zoo

    data = ImageData(load_dataset("cifar10"), (3, 32, 32), train_size=40, device=CPU)
    teacher = Network(zoo("conv4", width=0.2)).eval()
    logits = TeacherLogits(teacher, data, views=2)
    for epoch in (0, 1, 2, 0):
        view = data.view(epoch, augment=True)
        with torch.no_grad():
            expected = teacher(data.batch(view, torch.tensor([7, 30])))
        torch.testing.assert_close(logits.of(epoch, augment=True)[[7, 30]], expected)
    assert not torch.equal(logits.of(0, augment=True), logits.of(1, augment=True))
    torch.testing.assert_close(logits.of(0, augment=False), logits.of(1, augment=False))


def test_accuracy_without_patience_is_not_measured_until_the_end(toy_problem, data):
    seen = []
    train(network(toy_problem), data, LABELS, seed=0, on_epoch=lambda _, accuracy: seen.append(accuracy))
    assert all(math.isnan(accuracy) for accuracy in seen)


def test_validation_and_test_images_are_not_trained_on(toy_problem):
    dataset = load_dataset(toy_problem.dataset)
    data = ImageData(dataset, (1, 8, 8), train_size=50, device=CPU)
    train_images = {image.numpy().tobytes() for image in data.train_images}
    held_out = {image.numpy().tobytes() for image in data.validation_images}
    held_out |= {image.transpose(2, 0, 1).tobytes() for image in dataset.test[0]}
    assert len(train_images) == 50
    assert not train_images & held_out


def test_bfloat16_trains_as_well_and_leaves_float32(toy_problem, data, monkeypatch):
    accuracies, seen = [], []
    monkeypatch.setattr("n2n_gym.training.precision.BF16_MACS", 1)
    for bf16 in (False, True):
        student = network(toy_problem)
        student.layers[0].register_forward_hook(lambda layer, _inputs, output: seen.append((layer.training, output.dtype)))
        accuracies.append(train(student, data, LABELS, seed=0, bf16=bf16).score.accuracy)
        assert all(parameter.dtype is torch.float32 for parameter in student.parameters())
    assert min(accuracies) > 0.8
    assert set(seen) == {(True, torch.float32), (True, torch.bfloat16), (False, torch.float32)}
    seen.clear()
    student = network(toy_problem)
    student.layers[0].register_forward_hook(lambda layer, _inputs, output: seen.append((layer.training, output.dtype)))
    assert train(student, data, LABELS, seed=0, bf16=True, bf16_validation=True).score.accuracy > 0.8
    assert set(seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}


def test_images_in_a_file_train_as_those_in_memory(toy_problem, data, monkeypatch):
    monkeypatch.setattr("n2n_gym.training.images.KEPT_ON_DISK", 1)
    on_disk = ImageData(load_dataset(toy_problem.dataset), (1, 8, 8), train_size=None, device=CPU)
    assert on_disk.train_images.on_disk
    assert not data.train_images.on_disk
    order = torch.randperm(len(data.train_images))
    assert torch.equal(on_disk.train_images[order], data.train_images[order])
    results = []
    for images in (data, on_disk):
        student = network(toy_problem)
        outcome = train(student, images, LABELS, seed=0)
        results.append((outcome.score, images.test_score(student)))
    assert results[0] == results[1]


def test_one_cycle_rises_and_falls_to_nothing_from_step_to_step(toy_problem, data, monkeypatch):
    recipe = Recipe(name="t", epochs=4, batch_size=16, learning_rate=0.02, one_cycle=True, weight_decay=0.0, hard=1.0)
    rates = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *a: rates.append(self.param_groups[0]["lr"]) or step(self, *a))
    student = network(toy_problem)
    outcome = train(student, data, recipe, seed=0)
    highest = rates.index(max(rates))
    assert 0.15 < highest / len(rates) < 0.25
    assert 0.019 < max(rates) <= 0.02
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert rates[0] < 0.003
    assert outcome.score.accuracy > 0.8
    assert "one_cycle" in recipe.to_json()
    assert "one_cycle" not in LABELS.to_json()  # recipes of before are known by what they were


def test_an_epoch_of_some_images_goes_on_where_the_last_one_ended(toy_problem, data, monkeypatch):
    seen = []
    batch = ImageData.batch
    monkeypatch.setattr(ImageData, "batch", lambda self, view, indices: seen.append(indices) or batch(self, view, indices))
    count = len(data.train_images)
    some = count // 2 - 4  # no batch of a single image, which would be left out
    recipe = Recipe(name="some", epochs=3, batch_size=10, hard=1.0, soft=1.0, images=some)
    teacher = network(toy_problem)
    train(network(toy_problem), data, replace(recipe, soft=0.0), seed=0)
    epochs = torch.cat(seen).split(some)
    for number, epoch in enumerate(epochs):
        assert epoch.sort().values.tolist() == sorted((number * some + i) % count for i in range(some))
    classes = torch.bincount(data.train_labels[epochs[0]])
    assert classes.max() - classes.min() <= 2
    logits = TeacherLogits(teacher, data)
    everything = logits.of(1, augment=False)
    stretch = data.stretch(1, some)
    torch.testing.assert_close(logits.of(1, augment=False, images=some), everything[stretch])
    assert train(network(toy_problem), data, recipe, seed=0, teacher=logits).epochs == 3


def test_trainings_in_turns_end_to_the_bit_as_alone(toy_problem):
    data = ImageData.of(toy_problem, CPU)
    recipe = Recipe(name="test", epochs=3, batch_size=20, learning_rate=5e-3, hard=1.0)
    networks = []

    def begun(seed, epochs):
        networks.append(Network(toy_problem.architecture, torch.Generator().manual_seed(seed)))
        return training(networks[-1], data, replace(recipe, epochs=epochs), seed=seed)

    asked = [(0, 3), (1, 1), (2, 2)]  # who ends first makes room for the next
    alone = [finished(begun(*each)) for each in asked]
    together = in_turns([begun(*each) for each in asked], CPU, at_once=2)
    assert together == alone
    for here, there in zip(networks[:3], networks[3:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True))


def test_of_trainings_in_turns_so_many_are_begun_as_are_asked_for():
    running, most = set(), []

    def counted(number, steps):
        running.add(number)
        for _ in range(steps):
            most.append(len(running))
            yield
        running.remove(number)
        return number

    trainings = [counted(number, steps) for number, steps in enumerate((2, 5, 1, 3))]
    assert in_turns(trainings, CPU, at_once=2) == [0, 1, 2, 3]
    assert max(most) == 2


@pytest.mark.parametrize("name", ["mobilenet_v2", "convnext", "resnet_a"])
def test_what_draws_is_not_recorded_once_for_all_steps(name):
    architecture = FAMILIES[name]()
    built = Network(architecture, torch.Generator().manual_seed(0)).train()
    images = torch.rand(4, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(built(images), built(images)) is repeatable(built)
