"""Tables: what they hold is what training gives, and every question is answered as brute force would."""

import itertools
import json
import os
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from agents.commands.main import main
from envs_tests.conftest import DEEPER_TOY, TOY
from n2n_gym.architecture import Architecture, apply_removals
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.problem import Problem
from n2n_gym.rewards import paper_reward
from n2n_gym.stages.both import BothStages
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.tables import Table, table_names
from n2n_gym.tables.build import _columns, build_table
from n2n_gym.tables.evaluator import TableEvaluator
from n2n_gym.tables.files import write_columns
from n2n_gym.tables.space import Space
from n2n_gym.tables.statistics import expected_choice, noise, random_draws


@pytest.fixture(scope="module")
def folder(toy_tables):
    return toy_tables


@pytest.fixture(autouse=True)
def home(folder, monkeypatch):
    """The tables' teachers: these tests do not change them."""
    monkeypatch.setenv("N2N_HOME", str(folder / "home"))


@pytest.fixture(scope="module")
def problem(folder):
    return Problem(str(folder / "removal.json"), str(folder / "toy.npz"))


@pytest.fixture(scope="module")
def table(folder):
    return Table.load(str(folder / "removal.npz"))


@pytest.fixture
def arguments(folder):
    return {"teacher": str(folder / "removal.json"), "dataset": str(folder / "toy.npz")}


EPISODES = np.array(list(np.ndindex(2, 2, 2, 2, 2, 2)))


@pytest.mark.parametrize(
    "stage", [RemovalStage(Student(DEEPER_TOY)), ShrinkStage(Student(TOY)), ShrinkStage(Student(DEEPER_TOY))]
)
def test_a_space_knows_where_every_episode_ends(stage):
    space = Space(stage)
    rng = np.random.default_rng(0)
    shape = (stage.actions,) * stage.decisions
    assert len({student.architecture.fingerprint for student in space.students}) == len(space.students)
    for actions in rng.integers(stage.actions, size=(300, stage.decisions)):
        row = space.row_of[np.ravel_multi_index(tuple(actions), shape)]
        assert space.students[row].architecture == stage.student(actions.tolist()).architecture
    assert set(space.row_of.tolist()) == set(range(len(space.students)))


def test_a_space_too_large_for_a_table_is_refused():
    from n2n_gym.networks.zoo import network

    with pytest.raises(InputError, match="more episodes than the 20,000,000 of a table; start from a smaller network"):
        Space(RemovalStage(Student(network("resnet18"))))


def test_rows_are_what_training_gives(table, problem):
    for seed in (0, 2):
        with make_evaluator(problem, device="cpu", seed=seed) as evaluator:
            for actions in ([0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0]):
                [trained] = evaluator.evaluate([Student(apply_removals(DEEPER_TOY, actions))])
                found = table.query(actions=actions, seed=seed)
                for name in (
                    "accuracy",
                    "parameters",
                    "macs",
                    "model_bytes",
                    "activation_bytes",
                    "reason",
                    "teacher_accuracy",
                ):
                    assert getattr(found, name) == getattr(trained, name), name


def test_rows_hold_every_epoch_and_the_test(table):
    found = table.query(actions=[0, 0, 1, 0, 0, 0], seed=1)
    assert len(found.epoch_accuracy) == 5
    assert found.epoch_accuracy[-1] == found.accuracy
    assert len(set(found.epoch_accuracy)) > 1
    assert 0 < found.test_accuracy <= 1
    assert found.seconds > 0


def test_seconds_are_a_searchs(problem, monkeypatch):
    """What only a table looks at takes an hour each time; a training's seconds do not hold it."""
    from types import SimpleNamespace

    from n2n_gym.training import turns
    from n2n_gym.training.images import ImageData

    hours = []

    def slow(look):
        def looked(*args, **kwargs):
            hours.append(1)
            return look(*args, **kwargs)

        return looked

    clock = SimpleNamespace(monotonic=lambda: 3600.0 * len(hours))
    with make_evaluator(problem, device="cpu", thorough=True) as evaluator:
        _ = evaluator.trained_teacher, evaluator.data
        monkeypatch.setattr(turns, "time", clock)
        for name in ("validation_score", "test_score"):
            monkeypatch.setattr(ImageData, name, slow(getattr(ImageData, name)))
        [trained] = evaluator.evaluate([Student(apply_removals(DEEPER_TOY, [0, 0, 1, 0, 0, 0]))])
    assert len(hours) == len(trained.epoch_accuracy) + 1 == 6
    assert trained.seconds == 3600  # a search's one look


def test_the_mean_is_the_mean(table):
    actions = [0, 0, 1, 0, 0, 0]
    by_seed = [table.query(actions=actions, seed=seed) for seed in (0, 1, 2)]
    mean = table.query(actions=actions)
    assert mean.accuracy == pytest.approx(np.mean([e.accuracy for e in by_seed]))
    assert mean.test_accuracy == pytest.approx(np.mean([e.test_accuracy for e in by_seed]))
    assert len({e.accuracy for e in by_seed}) > 1


def test_what_a_search_may_see_and_what_is_true_are_different_trainings(table, folder):
    actions = [0, 0, 1, 0, 0, 0]
    first, *others = [table.query(actions=actions, seed=seed) for seed in (0, 1, 2)]
    assert table.query(actions=actions, seed="search").accuracy == first.accuracy
    truth = table.query(actions=actions, seed="truth")
    assert truth.accuracy == truth.test_accuracy == pytest.approx(np.mean([e.test_accuracy for e in others]))
    assert truth.teacher_accuracy == table.facts["teacher"]["test_accuracy"]
    assert not truth.epoch_accuracy
    single = Table({**table.facts, "seeds": [0]}, table.columns)
    with pytest.raises(InputError, match="one training a student"):
        single.evaluation(0, "truth")


def test_who_was_trained(table):
    assert table.trained.tolist() == table.feasible.tolist()
    assert 0 < table.trained.sum() < len(table)


def test_students_and_actions_lead_to_the_same_row(table):
    for actions in EPISODES[::5]:
        student = apply_removals(DEEPER_TOY, actions.tolist())
        assert table.query(student) is table.query(actions=actions)
        row = table.row_of(student)
        assert apply_removals(DEEPER_TOY, table.actions(row)) == student


def test_what_is_not_in_the_space_is_an_error_that_names_it(table):
    with pytest.raises(InputError, match=r"no such student in table 'removal'"):
        table.query(TOY)
    for actions, message in (([0, 1], "6 decisions"), ([0, 0, 0, 0, 0, 2], "actions from 0 to 1"), ([0] * 5 + [-1], "from 0")):
        with pytest.raises(InputError, match=message):
            table.query(actions=actions)
    with pytest.raises(InputError, match=r"has the seeds 0, 1, 2, and of some of them mean, search and truth, not 7"):
        table.query(actions=[0] * 6, seed=7)
    with pytest.raises(InputError, match="either"):
        table.query()
    for actions in ([0.5] * 6, [[0, 1], [0]]):
        with pytest.raises(InputError, match="whole numbers"):
            table.rows([actions] if isinstance(actions[0], float) else actions)
    for row in (-1, len(table)):
        with pytest.raises(InputError, match=rf"has rows 0 to {len(table) - 1}, and no row {row}"):
            table.evaluation(row)
    with pytest.raises(InputError, match="not True"):
        table.query(actions=[0] * 6, seed=True)
    assert table.query(actions=[0] * 6, seed=np.int64(1)) is table.query(actions=[0] * 6, seed=1)


def test_best_and_pareto_front_are_those_of_brute_force(table):
    everything = [table.query(actions=actions) for actions in EPISODES]
    best = table.best()
    assert best.value == max(map(paper_reward, everything)) == paper_reward(table.query(actions=best.actions))
    assert table.best("accuracy").value == max(e.accuracy for e in everything)
    assert table.best(lambda e: -e.macs).evaluation.macs == min(e.macs for e in everything if not e.reason)
    feasible = {(e.parameters, e.accuracy) for e in everything if not e.reason}
    front = {(p, a) for p, a in feasible if not any((p2 <= p and a2 >= a) and (p2, a2) != (p, a) for p2, a2 in feasible)}
    assert [(e.evaluation.parameters, e.value) for e in table.pareto_front()] == sorted(front)


def test_the_pareto_front_has_no_second_best_and_no_equals(table):
    """Five students: a larger one that is no better, an equally large one that is worse, one that failed."""
    columns = dict(table.columns)
    columns["parameters"] = np.array([50, 60, 70, 70, 10])
    columns["correct"] = np.array([[[30]], [[30]], [[40]], [[35]], [[50]]], dtype=np.uint16)
    columns["reason"] = np.array([[0], [0], [0], [0], [1]], dtype=np.uint8)
    columns["row_of"] = np.array([0, 1, 2, 3, 4], dtype=np.uint8)
    for name in ("macs", "model_bytes", "activation_bytes"):
        columns[name] = columns["parameters"]
    columns |= {"test_correct": np.zeros((5, 1), np.uint16), "seconds": np.zeros((5, 1), np.float32)}
    facts = {**table.facts, "shape": [5], "seeds": [0], "validation_images": 100, "reasons": ["", "failed"]}
    made = Table(facts, columns)
    made._first_code = np.arange(5)  # no stage has such episodes
    front = made.pareto_front()
    assert [(entry.row, entry.value) for entry in front] == [(0, 0.3), (2, 0.4)]


def test_what_failed_with_one_seed_is_there_with_another(table):
    row = int(np.flatnonzero(table.feasible)[0])
    reason = table.columns["reason"].copy()
    reason[np.arange(len(table)) != row] = 1
    reason[row] = [0, 1, 0]
    broken = Table({**table.facts, "reasons": ["", "diverged"]}, {**table.columns, "reason": reason})
    assert [entry.row for entry in broken.pareto_front(seed=0)] == [broken.best("accuracy", seed=0).row] == [row]
    assert broken.pareto_front(seed=1) == broken.pareto_front() == []


def test_random_searchs_choice_is_that_of_every_order_of_drawing():
    """Six students, the most preferred first: all orders in which some of them can be drawn, each with its probability."""
    rng = np.random.default_rng(0)
    weights, worth = rng.random(6) ** 3 + 0.01, rng.normal(size=6)

    def probability(order):
        left, product = weights.sum(), 1.0
        for each in order:
            product *= weights[each] / left
            left -= weights[each]
        return product

    expected = [
        sum(probability(order) * worth[min(order)] for order in itertools.permutations(range(6), draws))
        for draws in range(1, 7)
    ]
    assert expected_choice(worth, weights, 6) == pytest.approx(expected, abs=1e-12)
    assert expected_choice(worth, weights, 8)[6:] == pytest.approx([worth[0]] * 2)


def test_random_draws_are_what_the_expectation_is_of():
    rng = np.random.default_rng(0)
    weights, worth = np.exp(2 * rng.normal(size=200)), rng.normal(size=200)
    drawn = np.array([np.minimum.accumulate(random_draws(weights, 40, rng)) for _ in range(2_000)])
    assert len(set(random_draws(weights, 40, rng).tolist())) == 40
    found = worth[drawn]
    error = found.std(0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - expected_choice(worth, weights, 40)) < 4.5 * error)


def test_statistics(table):
    statistics = table.statistics()
    everything = [table.query(actions=actions) for actions in EPISODES]
    assert statistics["episodes"] == 64
    assert statistics["students"] == len(table) == len({apply_removals(DEEPER_TOY, a.tolist()) for a in EPISODES})
    assert statistics["best_reward"] == max(map(paper_reward, everything))
    assert statistics["random_search_mean"] == pytest.approx(np.mean([paper_reward(e) for e in everything]))
    assert statistics["rank_correlation_of_epochs"][-1] == pytest.approx(1)
    final = [[table.evaluation(row, seed).accuracy for seed in table.seeds] for row in np.flatnonzero(table.feasible)]
    assert statistics["accuracy_std_over_seeds"] == pytest.approx(np.var(final, axis=1, ddof=1).mean() ** 0.5)
    json.dumps(statistics)


def test_ranks_with_ties_correlate_and_values_that_are_all_alike_do_not():
    alike, rising = np.full(4, 0.5), np.array([0.1, 0.2, 0.2, 0.4])
    accuracy = np.stack([[alike, alike], [rising[[0, 2, 1, 3]], rising], [rising, rising]], axis=-1).transpose(1, 0, 2)
    rewards = np.stack([rising, -rising], axis=1)
    said = noise(accuracy, rewards)
    assert said["rank_correlation_of_epochs"] == [None, pytest.approx(1), pytest.approx(1)]
    assert said["rank_correlation_between_seeds"] == pytest.approx(-1)
    assert noise(accuracy[:, :1], rewards[:, :1])["rank_correlation_between_seeds"] is None


def test_the_time_of_a_search_counts_each_student_once(table):
    one = table.query(actions=[0, 0, 1, 0, 0, 0]).seconds
    assert table.seconds([[0, 0, 1, 0, 0, 0]] * 3) == pytest.approx(one)
    assert table.seconds([]) == 0


def test_saved_and_loaded(table, folder):
    table.save(folder / "copy.npz")
    loaded = Table.load(str(folder / "copy.npz"))
    assert loaded.facts == table.facts
    assert loaded.facts["by"] == "a test"
    assert all(np.array_equal(loaded.columns[name], column) for name, column in table.columns.items())


def test_files_that_look_alike_from_elsewhere_are_not_mistaken(folder, tmp_path, monkeypatch):
    for stage in ("removal", "shrink"):
        (tmp_path / stage).mkdir()
        shutil.copy(folder / f"{stage}.npz", tmp_path / stage / "own.npz")
        os.utime(tmp_path / stage / "own.npz", (0, 0))
    monkeypatch.chdir(tmp_path / "removal")
    assert Table.load("own.npz").stage == "removal"
    monkeypatch.chdir(tmp_path / "shrink")
    assert Table.load("own.npz").stage == "shrink"
    Path("own.npz").replace(tmp_path / "removal" / "own.npz")
    monkeypatch.chdir(tmp_path / "removal")
    assert Table.load("own.npz").stage == "shrink"
    assert Table.load("own.npz") is Table.load(tmp_path / "removal" / "own.npz"), "it is not read again"


def test_a_stopped_build_goes_on(folder, problem, table, monkeypatch):
    trained = []
    out = folder / "again.npz"

    def stop(done, trainings):
        trained.append(done)
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(problem, "removal", out, seeds=[0, 1], workers=0, on_progress=stop)
    assert not out.exists()
    from n2n_gym.evaluators.distillation import DistillationEvaluator

    calls = []
    real = DistillationEvaluator.train_student
    monkeypatch.setattr(DistillationEvaluator, "train_student", lambda self, s: calls.append(self.seed) or real(self, s))
    again = build_table(problem, "removal", out, seeds=[0, 1], workers=0)
    assert set(calls) == {1}  # seed 0's were kept
    assert np.array_equal(again.columns["correct"], table.columns["correct"][:, :2])
    assert again.facts["started"] <= again.facts["finished"]


def test_fingerprints_tell_tables_apart(table, folder):
    assert Table.load(str(folder / "removal.npz")).fingerprint == table.fingerprint
    later = Table({**table.facts, "finished": "another day"}, {**table.columns, "seconds": table.columns["seconds"] * 2})
    assert later.fingerprint == table.fingerprint
    teacher = {**table.facts["teacher"], "val_accuracy": 0.5}
    assert Table({**table.facts, "teacher": teacher}, table.columns).fingerprint != table.fingerprint
    correct = table.columns["correct"].copy()
    correct[0, 0, 0] += 1
    assert Table(table.facts, {**table.columns, "correct": correct}).fingerprint != table.fingerprint


def test_two_activations_in_a_row_are_one_and_the_same():
    """Removing either changes nothing, removing both does."""
    twice = Architecture.chain([conv(12), relu(), relu(), conv(12), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
    stage = RemovalStage(Student(twice))
    space = Space(stage)
    for actions in np.ndindex(*[2] * stage.decisions):
        row = space.row_of[np.ravel_multi_index(actions, [2] * stage.decisions)]
        assert space.students[row].architecture == stage.student(actions).architecture


def test_what_failed_once_has_failed_in_the_mean(table):
    row = int(np.flatnonzero(table.feasible)[0])
    reason = table.columns["reason"].copy()
    reason[row, 1] = 1
    broken = Table({**table.facts, "reasons": ["", "diverged"]}, {**table.columns, "reason": reason})
    assert broken.evaluation(row).reason == broken.evaluation(row, 1).reason == "diverged"
    assert broken.evaluation(row, 0).accuracy > 0
    assert not broken.feasible[row]


def test_failures_of_the_machine_are_not_written_down(folder, problem, monkeypatch):
    from n2n_gym.evaluation import OUT_OF_MEMORY, Evaluation
    from n2n_gym.evaluators.distillation import DistillationEvaluator

    def fail(self, student):
        return Evaluation.failed(student.architecture, self.teacher, OUT_OF_MEMORY)

    monkeypatch.setattr(DistillationEvaluator, "train_student", fail)
    with pytest.raises(InputError, match="trainings failed for want of memory or time"):
        build_table(problem, "removal", folder / "failed.npz", seeds=[0], workers=0)
    assert not (folder / "failed.npz").exists()


def test_the_commands(folder, capsys):
    for name in ("removal", "shrink"):
        assert main(["table", "show", str(folder / f"{name}.npz"), "--best", "1000"]) == 0
        assert "best students" in capsys.readouterr().out
    assert main(["table", "list"]) == 0
    problem = ["--teacher", str(folder / "shrink.json"), "--dataset", str(folder / "toy.npz"), "--stage", "shrink"]
    out = folder / "made" / "mine.npz"
    assert main(["table", "build", *problem, "--seeds", "1", "--workers", "0", "--out", str(out)]) == 0
    table = Table.load(str(out))
    assert (table.name, table.seeds) == ("mine", (0,))
    assert table.facts["command"].startswith("n2n table build --teacher")
    assert str(folder) not in table.facts["command"]  # others get the file
    assert not table.facts["joined"]
    assert main(["table", "build", *problem, "--seeds", "2", "--joined", "--workers", "0", "--out", str(out)]) == 0
    assert Table.load(str(out)).facts["joined"]
    capsys.readouterr()
    name = "conv3-w0.25-mnist-n1000-removal"
    assert main(["table", "build", "--benchmark", name, "--joined", "--out", str(out)]) == 2
    assert "and how they are trained: leave that out" in capsys.readouterr().err
    assert main(["table", "build", "--out", "x.json"]) == 2
    assert "a table is a .npz file" in capsys.readouterr().err
    assert main(["table", "build", "--teacher", "resnet18", "--out", str(folder / "x.npz")]) == 2
    assert "start from a smaller network" in capsys.readouterr().err


def test_trainings_repeat(folder, table, capsys):
    for name in ("removal", "shrink"):
        path, out = folder / f"{name}.npz", folder / f"{name}-check.json"
        assert main(["table", "check", str(path), "--students", "2", "--workers", "0", "--out", str(out)]) == 0
        assert "2 of 2 trainings are equal" in capsys.readouterr().out
        written = json.loads(out.read_text())
        assert written["agree"]
        assert written["same_teacher"]
        assert len({each["row"] for each in written["trainings"]}) == 2
    more = table.columns["correct"] + np.uint16(table.facts["validation_images"] // 50)
    wrong = {"accurate": {"correct": more}, "large": {"parameters": table.columns["parameters"] + 1}}
    for name, columns in wrong.items():
        Table(table.facts, {**table.columns, **columns}).save(folder / f"{name}.npz")
        assert main(["table", "check", str(folder / f"{name}.npz"), "--students", "2", "--workers", "0"]) == 2
        assert "does not repeat" in capsys.readouterr().err
    assert main(["table", "check", str(folder / "removal.npz"), "--students", "1000", "--workers", "0"]) == 2
    assert "students that were trained" in capsys.readouterr().err
    other = {**table.facts, "recipe": {**table.facts["recipe"], "learning_rate": 6.0}}
    Table(other, table.columns).save(folder / "other.npz")
    assert main(["table", "check", str(folder / "other.npz"), "--students", "1", "--workers", "0"]) == 2
    assert "another recipe than this version's 'paper'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        *(({"name": name}, r"`\$\.name`") for name in ("", "/tmp/evil", "../../evil", ".hidden", "a:b", "removal\n")),
        ({"data": None}, r"`\$\.data`"),
        ({"problem": {"teacher": "conv4", "dataset": "digits"}}, "missing required field `train_size`"),
        (
            {"problem": {"teacher": "conv4", "dataset": "digits", "train_size": None, "depth": 3}},
            "its problem has depth, which is no setting of one; build it again",
        ),
        ({"problem": {"teacher": "conv4", "dataset": "digits", "train_size": None, "image_size": "x"}}, "image_size"),
    ],
)
def test_facts_that_no_table_has_are_refused(change, complaint, table, tmp_path):
    Table({**table.facts, **change}, table.columns).save(tmp_path / "t.npz")
    with pytest.raises(InputError, match=rf"is not a table that `n2n table build` wrote: .*{complaint}"):
        Table.load(tmp_path / "t.npz")
    facts = {key: value for key, value in table.facts.items() if key not in change}
    write_columns(tmp_path / "u.npz", facts, table.columns)
    with pytest.raises(InputError, match="missing required field"):
        Table.load(tmp_path / "u.npz")


def test_a_table_is_called_as_its_file_is_before_anything_is_trained(problem, tmp_path):
    for name in ("my table.npz", ".npz.npz", "a:b.npz"):
        with pytest.raises(InputError, match="no table or sample can be called .*; choose another"):
            build_table(problem, "removal", tmp_path / name, workers=0, prepare=lambda: pytest.fail("too late"))
    assert not list(tmp_path.iterdir())


def test_what_students_are_worth_is_asked_only_where_it_is_known(table):
    teacher = {**table.facts["teacher"], "test_accuracy": None}
    with pytest.raises(InputError, match="says no test accuracy of its teacher; to know what students are worth, build it"):
        Table({**table.facts, "teacher": teacher}, table.columns).evaluation(0, "truth")
    untrained = Table(table.facts, {**table.columns, "seconds": np.zeros_like(table.columns["seconds"])})
    with pytest.raises(InputError, match="no student of table 'removal' was trained"):
        untrained.values("paper", "truth")
    assert untrained.evaluation(0, "search") == table.evaluation(0, "search")


def test_images_may_be_more_than_65_535(table, problem, tmp_path):
    stage = RemovalStage(Student(DEEPER_TOY))
    space = Space(stage)
    all_right = [
        Evaluation.of(
            student.architecture,
            DEEPER_TOY,
            accuracy=1.0,
            teacher_accuracy=1.0,
            epoch_accuracy=(1.0,) * 5,
            test_accuracy=1.0,
            seconds=1.0,
        )
        for student in space.students
    ]
    for images, kind in ((200, np.uint16), (65_535, np.uint16), (65_536, np.uint32)):
        facts = {**table.facts, "validation_images": images, "test_images": images, "seeds": [0]}
        Table(*_columns(facts, space, [all_right])).save(tmp_path / "t.npz")
        read = Table.load(tmp_path / "t.npz")
        assert read.columns["correct"].dtype == read.columns["test_correct"].dtype == kind
        assert read.columns["correct"].max() == read.columns["test_correct"].max() == images
        assert read.best("test_accuracy").value == read.best("accuracy").value == 1


def test_files_that_are_no_tables_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("x")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "whole.npz", x=np.zeros(1000))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    for name in ("other.npz", "text.npz", "empty.npz", "cut.npz"):
        with pytest.raises(InputError, match="is not a table|cannot be read as a table"):
            Table.load(str(tmp_path / name))
    with pytest.raises(InputError, match="no table at"):
        Table.load(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match=r"no table 'x'\. There are"):
        Table.load("x")


class TestEnvironments:
    def test_a_seed_gives_the_rewards_of_training(self, folder, arguments, table):
        looked_up = gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=f"table:{folder / 'removal.npz'}", seed=1)
        trained = gym.make("N2N/LayerRemoval-v0", **arguments, seed=1, device="cpu")
        for actions in ([0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]):
            for env in (looked_up, trained):
                env.reset()
                for action in actions:
                    last = env.step(action)
                env.ended = last
            assert looked_up.ended[1] == trained.ended[1]
            assert data_equivalence(looked_up.ended[4], trained.ended[4], exact=True)

    def test_by_default_the_trainings_for_searching_count(self, folder, arguments, table):
        env = gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=f"table:{folder / 'removal.npz'}")
        best = table.best("paper", "search")
        env.reset()
        for action in best.actions:
            _, reward, *_ = env.step(action)
        assert reward == best.value != table.best().value
        assert env.unwrapped.finished.evaluation.test_accuracy is None  # no search may see it
        env = gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=f"table:{folder / 'removal.npz'}", seed="mean")
        env.reset()
        for action in table.best().actions:
            _, reward, *_ = env.step(action)
        assert reward == table.best().value

    def test_drawn_rows_are_noise_that_a_seed_repeats(self, arguments, table, tmp_path):
        columns = {
            name: np.concatenate([each, each], axis=1) if each.ndim > 1 else each for name, each in table.columns.items()
        }
        Table({**table.facts, "seeds": list(range(6))}, columns).save(tmp_path / "six.npz")

        def rewards(seed, make):
            envs = make()
            envs.reset(seed=seed)
            actions = np.tile([0, 0, 1, 0, 0, 0], (40, 1)).T
            for each in actions:
                _, reward, *_ = envs.step(each)
            return reward.tolist()

        def make():
            return gym.make_vec(
                "N2N/LayerRemoval-v0",
                num_envs=40,
                vectorization_mode="vector_entry_point",
                **arguments,
                evaluator=f"table:{tmp_path / 'six.npz'}",
                seed="draw",
            )

        drawn = rewards(3, make)
        known = {paper_reward(table.query(actions=[0, 0, 1, 0, 0, 0], seed=seed)) for seed in (0, 1, 2)}
        assert set(drawn) == known  # those that a search may see: the first half
        assert rewards(3, make) == drawn
        assert rewards(4, make) != drawn

    def test_vector_infos_are_what_gymnasium_makes(self, folder, arguments, table):
        vector = gym.make_vec(
            "N2N/LayerRemoval-v0",
            num_envs=3,
            vectorization_mode="vector_entry_point",
            **arguments,
            evaluator=f"table:{folder / 'removal.npz'}",
        )
        vector.reset(seed=0)
        for actions in EPISODES[[3, 20, 63]].T:
            *_, info = vector.step(actions)
        expected = {}
        for i, finished in enumerate(vector.unwrapped.finished):
            expected = vector.unwrapped._add_info(expected, finished.info, i)
        assert info.keys() == expected.keys()
        for key, column in expected.items():
            assert info[key].dtype == column.dtype
            assert info[key].tolist() == column.tolist()

    def test_limits(self, folder, arguments, table):
        file = f"table:{folder / 'removal.npz'}"
        env = gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=file, constraints="macs<=20000")
        env.reset()
        for action in [0, 0, 1, 0, 0, 0]:
            *_, info = env.step(action)
        assert (info["violated"] != "") == (info["macs"] > 20000)
        with pytest.raises(InputError, match="tables say nothing of class_accuracy"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=file, constraints="class_accuracy[0]>=0.5")

    def test_an_imported_teacher_is_the_tables_own(self, imported_teacher, toy_data, tmp_path, capsys):
        file = tmp_path / "mine.npz"
        own = Problem(imported_teacher(0.25), toy_data)
        build_table(own, "removal", file, seeds=(0, 1), recipe="fast", workers=0)
        (tmp_path / "network.json").write_text(json.dumps(own.architecture.to_json()))
        settings = {"dataset": toy_data, "evaluator": f"table:{file}", "recipe": "fast"}
        for teacher in ("mean-0.25", str(tmp_path / "network.json")):
            gym.make("N2N/LayerRemoval-v0", teacher=teacher, **settings)
        assert main(["table", "check", str(file), "--students", "1", "--workers", "0"]) == 0
        assert "1 of 1 trainings are equal" in capsys.readouterr().out
        with pytest.raises(InputError, match=r"'mine' is of a teacher of other weights, .* than mean-0\.75"):
            gym.make("N2N/LayerRemoval-v0", teacher=imported_teacher(0.75), **settings)

    def test_what_does_not_fit_is_refused(self, folder, arguments, table, problem):
        file = f"table:{folder / 'removal.npz'}"
        with pytest.raises(InputError, match="of another problem"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=file, train_size=100)
        with pytest.raises(InputError, match="is of stage removal"):
            gym.make("N2N/LayerShrink-v0", **arguments, evaluator=file)
        with pytest.raises(InputError, match="seed must be a number"):
            gym.make("N2N/LayerRemoval-v0", **arguments, seed="mean")
        with pytest.raises(InputError, match="seeds 0, 1, 2"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=file, seed=9)
        with pytest.raises(InputError, match="made by recipe paper, not fast"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=file, recipe="fast")
        given = gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=TableEvaluator(table))
        assert given.unwrapped.judge.evaluator.table is table
        with pytest.raises(InputError, match="of another problem"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator=TableEvaluator(table), train_size=100)
        with pytest.raises(InputError, match="There are tables of"):
            gym.make("N2N/LayerRemoval-v0", **arguments, evaluator="table")
        with pytest.raises(InputError, match="drawn for an episode"):
            TableEvaluator(table, "draw").evaluate([Student(apply_removals(DEEPER_TOY, [0, 0, 1, 0, 0, 0]))])


def test_the_packages_tables_are_small():
    from importlib.resources import files

    sizes = [len((files("n2n_gym") / "tables" / "shipped" / f"{name}.npz").read_bytes()) for name in table_names()]
    assert sum(sizes) < 10e6


def test_actions_of_both_stages_in_one_episode_say_keep_where_nothing_else_is_offered(folder, tmp_path):
    (tmp_path / "one.json").write_text(
        json.dumps(Architecture.chain([conv(12, 1, padding=0), max_pool(), linear(3)], (1, 8, 8), 3).to_json())
    )
    problem = Problem(str(tmp_path / "one.json"), str(folder / "toy.npz"))
    table = build_table(problem, "both", tmp_path / "one.npz", seeds=[0, 1], workers=0)
    stage = BothStages(table.start)
    assert len(table) == 3  # 10, 11 or 12 filters
    for row in range(len(table)):
        actions = table.actions(row)
        assert stage.masks[range(stage.decisions), actions].all()
        assert table.rows([actions]).tolist() == [row]
    arguments = {"teacher": problem.teacher, "dataset": problem.dataset}
    env = gym.make("N2N/BothStages-v0", **arguments, evaluator=f"table:{tmp_path / 'one.npz'}", recipe="paper")
    env.reset(seed=0)
    *_, info = [env.step(action) for action in table.best().actions][-1]
    assert info["parameters"] == table.best().evaluation.parameters
    with pytest.raises(InputError, match=r"the package has no table of stage both; .* \(n2n table sample\)"):
        gym.make("N2N/BothStages-v0", **arguments, evaluator="table")
