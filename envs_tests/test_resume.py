"""Long trainings that are stopped: they go on after the last epoch that was written down, to the same end, bit by bit."""

import logging
from dataclasses import replace

import pytest
import torch

from agents.reproduce import baselines
from agents.search import student
from agents.search.student import FinalTraining, Training
from n2n_gym.architecture import Architecture
from n2n_gym.data import load_dataset
from n2n_gym.errors import InputError
from n2n_gym.layers import Dropout, conv, linear, max_pool, relu
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import load_checkpoint
from n2n_gym.system.files import part_of, teachers_folder, unfinished_training
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training import resume
from n2n_gym.training.images import ImageData, Score
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train, training
from n2n_gym.training.recipes import Recipe, final_recipe

CPU = torch.device("cpu")

ADAM = Recipe(name="t", epochs=9, batch_size=16, learning_rate=0.01, hard=1.0, milestones=(4,))
MOMENTUM = replace(ADAM, optimizer="sgd")
CYCLE = replace(ADAM, milestones=(), one_cycle=True)
PATIENT = replace(ADAM, milestones=(), patience=6, soft=1.0, epochs=40)


class KilledError(BaseException):
    """Stops the program where a kill would."""


@pytest.fixture(autouse=True)
def _every_epoch_is_written(monkeypatch):
    monkeypatch.setattr(resume, "SECONDS", 0.0)


@pytest.fixture
def data(toy_problem):
    return ImageData(load_dataset(toy_problem.dataset), (1, 8, 8), train_size=None, device=CPU)


def fresh(problem, seed=0):
    return Network(problem.architecture, torch.Generator().manual_seed(seed))


def dies_after(epoch):
    def on_epoch(done, _accuracy):
        if done == epoch:
            raise KilledError

    return on_epoch


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("recipe", [ADAM, MOMENTUM, CYCLE, PATIENT], ids=["adam", "sgd", "cycle", "patience"])
@pytest.mark.parametrize("epoch", [2, 6])
def test_goes_on_to_the_same_end(recipe, epoch, toy_problem, data, tmp_path):
    logits = TeacherLogits(fresh(toy_problem, 7), data)
    straight = fresh(toy_problem)
    expected = train(straight, data, recipe, seed=3, teacher=logits)
    path, told = tmp_path / "unfinished", []
    with pytest.raises(KilledError):
        train(fresh(toy_problem), data, recipe, seed=3, teacher=logits, on_epoch=dies_after(epoch), resume=path)
    again = fresh(toy_problem)
    outcome = train(
        again, data, recipe, seed=3, teacher=logits, on_epoch=lambda done, accuracy: told.append(done), resume=path
    )
    assert told[0] == epoch  # the one before it was the last that was written
    assert outcome == expected
    assert_equal(weights(again), weights(straight))


def with_dropout():
    layers = [conv(10), relu(), Dropout(0.2, "channels"), max_pool(), linear(12), relu(), Dropout(0.5), linear(3)]
    return Network(Architecture.chain(layers, (1, 8, 8), 3), torch.Generator().manual_seed(0))


def test_dropout_goes_on_where_it_was(data, tmp_path):
    straight, again, path = with_dropout(), with_dropout(), tmp_path / "unfinished"
    expected = train(straight, data, ADAM, seed=3)
    with pytest.raises(KilledError):
        train(with_dropout(), data, ADAM, seed=3, on_epoch=dies_after(4), resume=path)
    assert train(again, data, ADAM, seed=3, resume=path) == expected
    assert_equal(weights(again), weights(straight))


def test_dropout_goes_on_where_a_rung_stopped_it(data, tmp_path):
    straight, path = with_dropout(), tmp_path / "unfinished"
    train(straight, data, ADAM, seed=3)
    for until in (1, 2, 4, None):
        again = with_dropout()
        train(again, data, ADAM, seed=3, resume=path, until=until)
    assert_equal(weights(again), weights(straight))


def test_a_file_that_lacks_what_dropout_draws_from_is_not_believed(data, tmp_path, monkeypatch, caplog):
    straight, again, path = with_dropout(), with_dropout(), tmp_path / "unfinished"
    train(straight, data, ADAM, seed=3)
    with monkeypatch.context() as patch:
        patch.setattr(resume, "OwnDropout", ())  # as it was written before
        with pytest.raises(KilledError):
            train(with_dropout(), data, ADAM, seed=3, on_epoch=dies_after(4), resume=path)
    train(again, data, ADAM, seed=3, resume=path)
    assert "begins anew" in caplog.text
    assert_equal(weights(again), weights(straight))


@pytest.mark.parametrize("what", ["recipe", "seed", "weights", "teacher", "images"])
def test_another_training_begins_at_its_beginning(what, toy_problem, data, tmp_path):
    path = tmp_path / "unfinished"
    with pytest.raises(KilledError):
        train(
            fresh(toy_problem),
            data,
            PATIENT,
            seed=0,
            teacher=TeacherLogits(fresh(toy_problem, 7), data),
            on_epoch=dies_after(3),
            resume=path,
        )
    fewer = ImageData(load_dataset(toy_problem.dataset), (1, 8, 8), train_size=60, device=CPU)
    images = fewer if what == "images" else data
    told = []
    train(
        fresh(toy_problem, int(what == "weights")),
        images,
        replace(PATIENT, learning_rate=0.02) if what == "recipe" else PATIENT,
        seed=int(what == "seed"),
        teacher=TeacherLogits(fresh(toy_problem, 8 if what == "teacher" else 7), images),
        on_epoch=lambda done, accuracy: told.append(done),
        resume=path,
    )
    assert told[0] == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_file_is_said_and_not_believed(damage, toy_problem, data, tmp_path, caplog):
    path = tmp_path / "unfinished"
    straight = fresh(toy_problem)
    train(straight, data, ADAM, seed=0)
    with pytest.raises(KilledError):
        train(fresh(toy_problem), data, ADAM, seed=0, on_epoch=dies_after(3), resume=path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-9] ^= 64
    path.write_bytes({"truncated": whole[:-20], "flipped": bytes(flipped), "empty": b"", "text": b"x" * 400}[damage])
    again = fresh(toy_problem)
    with caplog.at_level(logging.WARNING, "n2n_gym"):
        train(again, data, ADAM, seed=0, resume=path)
    assert "is damaged" in caplog.text
    assert "begins anew" in caplog.text
    assert_equal(weights(again), weights(straight))


def test_a_large_network_is_not_written_after_every_epoch(toy_problem, data, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SECONDS", 3600.0)
    train(fresh(toy_problem), data, ADAM, seed=0, resume=tmp_path / "unfinished")
    assert not list(tmp_path.glob("unfinished*"))


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_kill_left_half_written_is_removed(begun, toy_problem, data, tmp_path):
    path = tmp_path / "unfinished"
    if begun:
        with pytest.raises(KilledError):
            train(fresh(toy_problem), data, ADAM, seed=0, resume=path, on_epoch=dies_after(3))
    half, others = part_of(path), part_of(tmp_path / "another")
    half.write_bytes(b"x")
    others.write_bytes(b"x")
    train(fresh(toy_problem), data, ADAM, seed=0, resume=path)
    assert not half.exists()
    assert others.exists()


def test_a_teacher_that_was_killed_goes_on(toy_problem, monkeypatch):
    straight = ready_teacher(toy_problem, device=CPU).checkpoint
    folder = teachers_folder() / toy_problem.name
    folder.rename(folder.with_name(".elsewhere"))
    with pytest.raises(KilledError):
        ready_teacher(toy_problem, device=CPU, on_epoch=dies_after(5))
    assert unfinished_training(folder).exists()
    assert not folder.exists()
    told = []
    again = ready_teacher(toy_problem, device=CPU, on_epoch=lambda epoch, _: told.append(epoch)).checkpoint
    assert told[0] == 5
    assert again.fingerprint == straight.fingerprint
    assert not unfinished_training(folder).exists()


def test_a_final_training_that_was_killed_goes_on(toy_problem, tmp_path):
    teacher = ready_teacher(toy_problem, device=CPU)
    recipe = replace(final_recipe(toy_problem.data), epochs=6)
    training = FinalTraining(toy_problem, teacher, recipe, device="cpu")
    straight, killed = (Training(toy_problem.architecture, tmp_path / name, seed=0) for name in ("straight", "killed"))
    training.run([straight])
    with pytest.raises(KilledError):
        training.run([killed], lambda _, epoch: dies_after(4)(epoch, 0.0))
    told = []
    training.run([killed], lambda _, epoch: told.append(epoch))
    assert told == [4, 5, 6]
    assert load_checkpoint(killed.folder).facts == load_checkpoint(straight.folder).facts
    assert load_checkpoint(tmp_path / "killed").fingerprint == load_checkpoint(tmp_path / "straight").fingerprint
    assert {path.name for path in tmp_path.iterdir()} == {"straight", "killed"} | {
        path.name for path in tmp_path.iterdir() if path.suffix in (".json", ".npz") or path.name in ("home", "logs")
    }


def with_dead_units(*args, **kwargs):
    """As `training`, but at a high rate one answer for all images is what is left, with a finite loss."""
    outcome = yield from training(*args, **kwargs)
    dead = Score(1 / 3, (1.0, 0.0, 0.0))
    return replace(outcome, score=dead) if args[2].learning_rate > 1 and not outcome.failure else outcome


@pytest.mark.parametrize("rate", [1e30, 2.0])
def test_a_final_training_that_fails_begins_again_with_less_of_its_rate(toy_problem, tmp_path, monkeypatch, rate):
    monkeypatch.setattr(student, "GENTLER", rate / 0.01)
    monkeypatch.setattr(student, "training", with_dead_units)
    teacher = ready_teacher(toy_problem, device=CPU)
    recipe = replace(final_recipe(toy_problem.data), epochs=6, learning_rate=rate)
    final = FinalTraining(toy_problem, teacher, recipe, device="cpu")
    straight, killed = (Training(toy_problem.architecture, tmp_path / name, seed=0) for name in ("straight", "killed"))
    final.run([straight])
    saved = load_checkpoint(straight.folder)
    assert saved.facts["recipe"]["learning_rate"] == pytest.approx(0.01)
    assert saved.facts["val_accuracy"] > 0.8
    with pytest.raises(KilledError):
        final.run([killed], lambda _, epoch: dies_after(4)(epoch, 0.0))
    told = []
    final.run([killed], lambda _, epoch: told.append(epoch))
    assert told == [4, 5, 6, *([] if rate > 1e10 else range(1, 7))]  # killed in the first try, or in the second
    assert load_checkpoint(killed.folder).facts == saved.facts
    assert load_checkpoint(killed.folder).fingerprint == saved.fingerprint
    assert not list(tmp_path.glob(".*training*"))
    monkeypatch.setattr(student, "GENTLER", 1)
    never = Training(toy_problem.architecture, tmp_path / "never", seed=0)
    if rate > 1e10:
        with pytest.raises(InputError, match="final training: .* at any learning rate"):
            final.run([never])
    else:  # that is what it is worth
        final.run([never])
        assert load_checkpoint(never.folder).facts["val_class_accuracy"] == [1.0, 0.0, 0.0]


def test_a_pruning_that_was_killed_as_it_was_fine_tuned_is_not_pruned_again(toy_problem, tmp_path, monkeypatch):
    teacher = ready_teacher(toy_problem, device=CPU).checkpoint.network
    data = ImageData.of(toy_problem, CPU)
    monkeypatch.setitem(baselines.FINE_TUNING, "epochs", 3)
    limits = baselines.Limits(0.5, 300)
    baselines._prune(teacher, data, toy_problem, limits, tmp_path / "straight", seed=0)
    trained = baselines.train

    def killed(*args, **kwargs):
        trained(*args, **kwargs, on_epoch=dies_after(2))

    monkeypatch.setattr(baselines, "train", killed)
    with pytest.raises(KilledError):
        baselines._prune(teacher, data, toy_problem, limits, tmp_path / "killed", seed=0)
    monkeypatch.setattr(baselines, "train", trained)
    monkeypatch.setattr(baselines, "prune", None)
    baselines._prune(teacher, data, toy_problem, limits, tmp_path / "killed", seed=0)
    assert load_checkpoint(tmp_path / "killed").fingerprint == load_checkpoint(tmp_path / "straight").fingerprint
