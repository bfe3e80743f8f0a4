"""The benchmark: what it counts, what it scores, what it writes, what it refuses."""

import copy
import json
import pickle
import re
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from agents.benchmark import metrics
from agents.benchmark.account import MOST_IDLE, Account, BudgetSpentError, chosen
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.exhaustive import TableTask
from agents.benchmark.fronts import Fronts
from agents.benchmark.metrics import (
    NARROW,
    bounded_random_search,
    difference,
    gaps_closed,
    improvement,
    interquartile_mean,
    mean_of_tasks,
    mean_ranks,
    optimality_gap,
    profile,
)
from agents.benchmark.report import Comparison, Standing
from agents.benchmark.results import Results, validate
from agents.benchmark.runs import Run, name_of, run, worth
from agents.benchmark.sources import JUDGES, code_of, sources, with_imports
from agents.benchmark.suite import benchmark
from agents.benchmark.tasks import TRACKS
from agents.commands.main import main
from envs_tests.conftest import fork_workers, toy_arrays
from n2n_gym.architecture import SIZES, Architecture
from n2n_gym.errors import InputError
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.problem import Problem
from n2n_gym.stages import stage_by_name
from n2n_gym.system.files import write_json
from n2n_gym.tables import SEARCH, TRUTH, Table
from n2n_gym.tables.space import Space
from n2n_gym.training.recipes import search_recipe

OWN = """
import numpy as np

NAME = "mine"


def search(env, budget, seed):
    rng = np.random.default_rng(seed)
    while True:
        play(env, rng.integers(env.action_space.n, size=int(env.observation_space["position"].n) - 1))


def play(env, actions):
    env.reset()
    for action in actions:
        _, reward, _, _, info = env.step(action)
    return reward
"""

REPLAYING = """
    rng, best, found = np.random.default_rng(seed), None, -2.0
    while True:
        actions = rng.integers(env.action_space.n, size=int(env.observation_space["position"].n) - 1)
        reward = play(env, actions)
        if reward > found:
            best, found = actions, reward
        for _ in range(3):
            play(env, best)


def play("""

BUDGETS = (2, 5)

SIZE = ["--budgets", "2", "5", "--seeds", "3", "--tracks", "reward", "noisy"]

STAGES = ("removal", "shrink")


CHAIN = [conv(6), relu(), max_pool(), conv(8), relu(), conv(8), relu(), max_pool(), linear(3)]


@pytest.fixture(scope="module", autouse=True)
def _quick():
    with pytest.MonkeyPatch.context() as patch:
        fork_workers(patch)
        patch.setattr(metrics, "RESAMPLES", 200)
        yield


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """A folder with tables of two spaces whose trainings were made up: some students are better than their size says."""
    folder = tmp_path_factory.mktemp("made-up")
    np.savez(folder / "toy.npz", **toy_arrays())
    for stage, layers in (("removal", CHAIN), ("shrink", CHAIN[:5] + CHAIN[-2:])):
        write_json(folder / f"{stage}.json", Architecture.chain(layers, (1, 8, 8), 3).to_json())
        made_up(Problem(str(folder / f"{stage}.json"), str(folder / "toy.npz")), stage, folder / f"{stage}.npz")
    return folder


def made_up(problem, stage_name, path, trainings=5):
    stage = stage_by_name(stage_name, problem.architecture)
    space = Space(stage)
    students = [student.architecture for student in space.students]
    feasible = np.array([student.verdict(problem.architecture).feasible for student in students])
    rng = np.random.default_rng(0)
    size = np.array([student.parameters for student in students]) / problem.architecture.parameters
    skill = 0.5 + 0.3 * np.minimum(size, 1.0) ** 0.3 + rng.normal(0, 0.05, len(students))

    def right(images, noise):
        accuracy = skill[:, None] + rng.normal(0, noise, (len(students), trainings))
        return np.where(feasible[:, None], (accuracy.clip(0, 1) * images).round(), 0).astype(np.uint16)

    facts = {
        "name": path.stem,
        "problem": asdict(problem),
        "data": problem.data.identity,
        "stage": stage_name,
        "base": stage.base.to_json(),
        "shape": [stage.actions] * stage.decisions,
        "seeds": list(range(trainings)),
        "recipe": search_recipe("paper", problem.data).to_json(),
        "teacher": {
            "fingerprint": "",
            "architecture": problem.architecture.to_json(),
            "parameters": problem.architecture.parameters,
            "val_accuracy": 0.9,
            "test_accuracy": 0.88,
        },
        "validation_images": 400,
        "test_images": 6000,
        "reasons": ["", "degenerate"],
    }
    trained = np.repeat(feasible[:, None], trainings, axis=1)
    columns = {
        "row_of": space.row_of,
        "fingerprint": np.array([int(student.fingerprint[:16], 16) for student in students], dtype=np.uint64),
        **{name: np.array([getattr(student, name) for student in students]) for name in SIZES},
        "reason": (~trained).astype(np.uint8),
        "correct": np.repeat(right(400, 0.02)[:, :, None], 5, axis=2),
        "test_correct": right(6000, 0.02),
        "seconds": trained.astype(np.float32),
    }
    Table(facts, columns).save(path)


@pytest.fixture
def tasks(tables):
    return [TableTask(str(tables / f"{stage}.npz"), track) for track in TRACKS for stage in STAGES]


@pytest.fixture
def removal(tasks):
    return tasks[0]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return str(path)


def feasible_and_not(task):
    """Episodes of different feasible students, two of the same student, and one of a degenerate student."""
    table = task.table
    rows = np.flatnonzero(task.counts)
    codes_of = {int(row): np.flatnonzero(table.columns["row_of"] == row).tolist() for row in rows}
    twice = next(codes for codes in codes_of.values() if len(codes) > 1)
    degenerate = int(np.flatnonzero(~task.counts[table.columns["row_of"]])[0])
    different = [codes[0] for codes in codes_of.values() if codes is not twice]
    return different, twice[:2], degenerate


def actions(task, code):
    return tuple(map(int, np.unravel_index(code, task.table.shape)))


def play(env, episode):
    env.reset()
    for action in episode:
        _, reward, _, _, info = env.step(action)
    return reward, info


class TestAccounting:
    def test_only_distinct_feasible_students_are_paid_for(self, removal):
        different, twice, degenerate = feasible_and_not(removal)
        account, env = Account(removal, 0, 3), removal.env()
        with env.unwrapped.judge.overseen(account.finish):
            for code, paid in (
                (degenerate, 0),
                (twice[0], 1),
                (twice[1], 1),
                (degenerate, 1),
                (different[0], 2),
                (twice[0], 2),
            ):
                env.unwrapped.preview(actions(removal, different[3]))
                play(env, actions(removal, code))
                assert len(account.students) == paid
            play(env, actions(removal, different[1]))
            assert account.students == [twice[0], different[0], different[1]]
            assert account.looks == 7
            with pytest.raises(BudgetSpentError):
                play(env, actions(removal, twice[0]))

    def test_students_beyond_a_limit_on_sizes_cost_nothing(self, tasks):
        limited = next(task for task in tasks if task.track == "macs" and task.table.stage == "shrink")
        table = limited.table
        rows = np.flatnonzero(table.trained & ~limited.counts)
        assert len(rows)
        assert table.columns["macs"][rows].min() > table.columns["macs"][limited.counts].max()
        account, env = Account(limited, 0, 3), limited.env()
        with env.unwrapped.judge.overseen(account.finish):
            reward, info = play(env, table.actions(int(rows[0])))
        assert (reward, account.students) == (-1, [])
        assert "macs" in info["violated"]

    def test_a_search_that_finds_no_new_students_is_ended(self, removal, own):
        Path(own).write_text(OWN.replace("rng.integers(env.action_space.n, ", "0 * rng.integers(2, "))
        done = run(own, removal, 0, (5, 10))
        assert done.students == ()  # it keeps everything: no student is smaller than the teacher
        assert done.looks == MOST_IDLE
        assert done.worth == (removal.worth[removal.counts].min(),) * 2

    @pytest.mark.parametrize("agent", ["reinforce", "a2c", "maskable-ppo", "random", "evolution"])
    def test_an_algorithm_of_the_package(self, agent, removal):
        done, again = (run(agent, removal, 1, BUDGETS) for _ in range(2))
        rows = removal.table.columns["row_of"][list(done.students)]
        assert len(set(rows.tolist())) == 5 <= done.looks
        assert removal.counts[rows].all()
        assert again.students == done.students

    def test_what_is_reported_counts(self, removal, own):
        saying = "play(env, first)\n        env.report(first)"
        code = removal.encode([removal.table.actions(int(removal.order(0)[-1]))])[0]
        first = f"first = {list(actions(removal, code))}\n    while True:\n        "
        Path(own).write_text(OWN.replace("while True:\n        ", first + saying + "\n        "))
        done = run(own, removal, 0, BUDGETS)
        assert done.worth == (removal.worth[removal.order(0)[-1]],) * 2
        assert done.reports[0] == (1, code)
        Path(own).write_text(OWN.replace("while True:", "env.report([0] * 9)\n    while True:"))
        with pytest.raises(InputError, match="that this search has looked at"):
            run(own, removal, 0, BUDGETS)


class TestTruth:
    """A task's rewards come from some trainings, its scores from others."""

    def changed(self, task, path, *, truth):
        """The same table, with other outcomes of the trainings that are the truth, or of all others."""
        table = task.table
        columns = {name: column.copy() for name, column in table.columns.items()}
        rng = np.random.default_rng(0)
        part = table.trainings(TRUTH if truth else SEARCH)
        for name in ("correct", "test_correct"):
            columns[name][:, part] = rng.permutation(columns[name][:, part].ravel()).reshape(columns[name][:, part].shape)
        Table(table.facts, columns).save(path)
        return TableTask(str(path), task.track)

    def test_what_a_search_saw_does_not_reach_its_score(self, tasks, tmp_path):
        for index, task in enumerate(tasks):
            other = self.changed(task, tmp_path / f"{index}.npz", truth=False)
            assert other.order(0).tolist() != task.order(0).tolist()
            if task.track != "smallest":  # who is within two points of the best is not asked of what a search saw, either
                assert other.counts.tolist() == task.counts.tolist()
            assert np.array_equal(other.worth, task.worth)
            assert other.optimum == task.optimum

    def test_a_search_sees_nothing_of_the_truth(self, tasks, tmp_path):
        for index, task in enumerate(tasks):
            other = self.changed(task, tmp_path / f"{index}.npz", truth=True)
            assert not np.array_equal(other.worth, task.worth)
            assert other.order(1).tolist() == task.order(1).tolist()
            runs = [run("random", each, 1, BUDGETS) for each in (task, other)]
            assert runs[0].students == runs[1].students

    def test_worth_is_the_mean_on_test_images(self, removal):
        table = removal.table
        row = int(np.flatnonzero(removal.counts)[0])
        assert table.trainings(SEARCH) == slice(0, 2)
        accuracy = table.columns["test_correct"][row, 2:].mean() / table.facts["test_images"]
        small = 1 - table.columns["parameters"][row] / table.facts["teacher"]["parameters"]
        assert removal.worth[row] == pytest.approx(small * (2 - small) * accuracy / table.facts["teacher"]["test_accuracy"])

    def test_a_student_has_the_same_training_whenever_a_run_looks(self, tasks):
        noisy = next(task for task in tasks if task.track == "noisy")
        code = feasible_and_not(noisy)[0][0]
        row = int(noisy.table.columns["row_of"][code])
        rewards = []
        for seed in range(8):
            env, account = noisy.env(), Account(noisy, seed, 5)
            with env.unwrapped.judge.overseen(account.finish):
                found = {play(env, actions(noisy, code))[0] for _ in range(4)}
            assert len(found) == 1
            rewards += found
        assert set(rewards) == {noisy.table.values("paper", seed)[row] for seed in (0, 1)}  # those that a search may see

    def test_what_a_search_would_choose_is_what_it_was_shown(self, tasks):
        for task in tasks:
            students = feasible_and_not(task)[0][:12]
            env, account = task.env(), Account(task, 3, 50)
            with env.unwrapped.judge.overseen(account.finish):
                rewards = [play(env, actions(task, code))[0] for code in students]
            paid = account.students
            assert len(paid) == len(rewards)
            assert rewards[paid.index(chosen(task, 3, account.students, [], 30))] == max(rewards)


class TestScores:
    def test_random_search_scores_nothing(self, tasks):
        for task in tasks:
            runs = [run("random", task, seed, BUDGETS) for seed in range(40)]
            gaps = gaps_closed(runs, task, BUDGETS)
            error = gaps.std(0, ddof=1) / np.sqrt(len(gaps))
            assert np.all(np.abs(gaps.mean(0)) < 4 * error + 1e-9), task.name
            if task.track in ("reward", "noisy"):
                assert np.all(error > 0), task.name

    @pytest.mark.parametrize("task", tasks_by_name(tracks=["reward"]), ids=lambda task: task.name)
    def test_random_search_scores_nothing_on_the_packages_tables(self, task):
        searches = [run("random", task, seed, (5, 20)) for seed in range(60)]  # of few, the long tail is missing
        gaps = gaps_closed(searches, task, (5, 20))
        assert np.all(np.abs(gaps.mean(0)) < 4.5 * gaps.std(0, ddof=1) / np.sqrt(len(gaps)))

    def test_replaying_the_best_gains_nothing(self, tasks, own, tmp_path):
        path = tmp_path / "replaying.py"
        path.write_text(re.sub(r"    rng = np.*?\ndef play\(", REPLAYING.lstrip("\n"), OWN, flags=re.DOTALL))
        for task in tasks:
            plain, replays = (run(each, task, 3, BUDGETS) for each in (own, str(path)))
            assert replays.students == plain.students
            assert replays.worth == plain.worth
            assert replays.looks > plain.looks

    def test_the_best_student_closes_the_gap(self, tasks):
        for task in tasks:
            random = [bounded_random_search(task, 0, budget) for budget in BUDGETS]
            best = Run("a", task.name, 0, (), (), 0, 1.0, (task.optimum, random[1]))
            expected = [1, 0] if task.optimum - random[0] >= NARROW else [0, 0]
            assert gaps_closed([best], task, BUDGETS)[0] == pytest.approx(expected)

    def test_a_broken_choice_counts_as_far_below_random_search_as_the_best_is_above(self, removal):
        """So for random search itself, whose own shares then are 0 on average: drawn here, one by one."""
        broken = Run("a", removal.name, 0, (), (), 0, 1.0, (-1.0, -1.0))
        assert gaps_closed([broken], removal, BUDGETS).tolist() == [[-1.0, -1.0]]
        budget, exact = BUDGETS[1], bounded_random_search(removal, 0, BUDGETS[1])
        assert exact > removal.random_search(0, budget)[-1]
        rng, order, share = np.random.default_rng(0), removal.order(0), removal.table.episode_share
        worths = []
        for _ in range(4_000):
            drawn = set(rng.choice(order, budget, replace=False, p=share[order] / share[order].sum()).tolist())
            worths.append(removal.worth[next(row for row in order.tolist() if row in drawn)])
        bounded = np.maximum(worths, 2 * exact - removal.optimum)
        assert exact == pytest.approx(bounded.mean(), abs=4 * bounded.std() / len(bounded) ** 0.5)

    def test_where_random_search_finds_the_best_nobody_closes_a_gap(self, removal, monkeypatch):
        monkeypatch.setattr("agents.benchmark.metrics.NARROW", 10.0)
        run = Run("a", removal.name, 0, (), (), 0, 1.0, (removal.optimum, -1.0))
        assert gaps_closed([run], removal, BUDGETS).tolist() == [[0.0, 0.0]]

    def test_fronts(self, removal):
        fronts = Fronts(removal)
        everything = [int(np.flatnonzero(removal.table.columns["row_of"] == row)[0]) for row in np.flatnonzero(removal.counts)]
        assert fronts.volume([]) == 0
        assert 0 < fronts.volume(everything[:2]) <= fronts.whole
        assert fronts.volume(everything) <= fronts.whole
        assert all(a < b for a, b in pairwise(fronts.random_search(n) for n in (1, 3, 10)))

    def test_statistics_of_runs(self, monkeypatch):
        monkeypatch.setattr(metrics, "RESAMPLES", 2_000)
        rng = np.random.default_rng(0)
        good, poor = ([rng.normal(mean, 0.1, (40, 1)) for _ in range(2)] for mean in (0.8, 0.5))
        assert 0.2 < difference(good, poor).low < difference(good, poor).mean < difference(good, poor).high < 0.4
        assert mean_of_tasks(good).low < 0.8 < mean_of_tasks(good).high
        assert improvement(good, poor).mean > 0.9
        assert improvement(good, good).mean == pytest.approx(0.5, abs=0.01)
        assert optimality_gap([np.array([[0.5], [2.0]])]).mean == 0.25
        assert [each.mean for each in mean_ranks([poor, good])] == [2, 1]
        assert [each.mean for each in mean_ranks([good, good])] == [1.5, 1.5]
        assert np.isnan(mean_of_tasks([np.array([[1.0]])]).low)
        # tasks are resampled one by one: what differs between them alone adds nothing to the width
        apart = mean_of_tasks([np.full((20, 1), 0.2), np.full((20, 1), 0.8)])
        assert apart.low == apart.high == apart.mean
        assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 2.5, 2.5])) == pytest.approx(2.5)
        shares = np.array([0.5, 0.9, 1.1])
        assert profile([np.array([0.6, 1.0]), np.array([0.95, 0.95])], shares).tolist() == [1.0, 0.75, 0.0]


REPOSITORY = Path(__file__).parents[2]
SUBMITTED = sorted((REPOSITORY / "benchmarks" / "algorithms").glob("*.py"))


@pytest.mark.parametrize("path", SUBMITTED, ids=lambda path: path.stem)
def test_a_submitted_algorithm_keeps_to_the_rules(path, removal):
    assert len(path.read_text().splitlines()) < 50
    done, again = (run(str(path), removal, 0, BUDGETS) for _ in range(2))
    assert len(done.students) == 5
    assert again.students == done.students


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("while True|for _ in range(2)", "ended after [012] of 5 students"),
        ('NAME = "mine"|NAME = "reinforce"', "choose another"),
        ("def search|def find", "needs NAME"),
        ('NAME = "mine"|NAME = "../mine"', "NAME names a file"),
    ],
)
def test_rules_that_an_own_algorithm_must_keep(change, message, own, removal, tmp_path):
    path = tmp_path / "other.py"
    path.write_text(OWN.replace(*change.split("|")))
    with pytest.raises(InputError, match=message):
        run(str(path), removal, seed=0, budgets=BUDGETS)


def go(names, out, **changes):
    arguments = {
        "tracks": ["reward", "noisy"],
        "seeds": 3,
        "budgets": BUDGETS,
        "workers": 1,
        "facts": {"command": "n2n benchmark"},
    }
    return benchmark(["random", "evolution"], tasks=names, out=out, **(arguments | changes))


@pytest.fixture(scope="module")
def names(tables):
    return [str(tables / f"{stage}.npz") for stage in STAGES]


@pytest.fixture(scope="module")
def benchmarked(names, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    go(names, out)
    return out


@pytest.fixture
def asked(names):
    return [TableTask(name, track) for track in ("reward", "noisy") for name in names]


def test_results_leaderboard_and_figures(benchmarked, asked):
    board = (benchmarked / "LEADERBOARD.md").read_text()
    assert all(word in board for word in ("edition 2", "random", "evolution", *(task.table.name for task in asked)))
    assert "nan" not in board
    first = board.split("\n## ")[1].splitlines()
    assert first[2].startswith("| algorithm | gap closed | at 2 | at 5 | rank |")
    assert len(first[4:6]) == 2
    for name in ("curves.png", "profiles.png", "improvement.png"):
        assert (benchmarked / name).stat().st_size > 5_000
    results = Results.load(benchmarked / "agents" / "random.json")
    validate(results, asked, budgets=BUDGETS, seeds=3)
    assert len(results.runs) == 12
    assert len(list((benchmarked / "runs").rglob("*.json"))) == 24
    compared = json.loads((benchmarked / "comparison.json").read_text())
    assert compared["edition"] == 2
    found = compared["tracks"]["reward"]["evolution"]
    gaps = [
        gaps_closed(Results.load(benchmarked / "agents" / "evolution.json").of_task(t.name), t, BUDGETS) for t in asked[:2]
    ]
    assert found["gap_closed"]["mean"] == pytest.approx(np.mean(gaps))
    assert found["gap_closed_at_5"]["mean"] == pytest.approx(np.mean([gap[:, 1] for gap in gaps]))
    assert found["front_gap_closed"] is not None
    assert compared["tracks"]["noisy"]["evolution"]["front_gap_closed"] is None


def test_random_search_is_checked_by_an_interval_and_not_by_standard_errors(benchmarked, asked):
    """Three runs that happen to lie close together are no proof: their interval has two degrees of freedom."""
    board = (benchmarked / "LEADERBOARD.md").read_text()
    assert "standard error" not in board
    said = re.search(rf"{re.escape(asked[0].table.name)} (\S+) \((\S+) to (\S+)\) at (\d+)", board)
    mean, low, high, budget = map(float, said.groups())
    runs = Results.load(benchmarked / "agents" / "random.json").of_task(asked[0].name)
    gaps = gaps_closed(runs, asked[0], BUDGETS)[:, BUDGETS.index(int(budget))]
    tasks = sum(task.track == asked[0].track for task in asked)
    half = stats.t.ppf(1 - 0.025 / (tasks * len(BUDGETS)), 2) * gaps.std(ddof=1) / 3**0.5
    assert (mean, low, high) == pytest.approx((gaps.mean(), gaps.mean() - half, gaps.mean() + half), abs=0.005001)


def test_a_benchmark_goes_on_where_it_was(benchmarked, names, tmp_path):
    import shutil

    out = tmp_path / "copy"
    shutil.copytree(benchmarked, out)
    runs = sorted((out / "runs").rglob("*.json"))
    runs[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in runs[1:]}
    go(names, out)
    assert runs[0].exists()
    assert {path: path.stat().st_mtime_ns for path in runs[1:]} == before
    again, first = (Results.load(folder / "agents" / "random.json") for folder in (out, benchmarked))
    assert [each.students for each in again.runs] == [each.students for each in first.runs]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["runs"][0].update(worth=[0.99, 0.99]), r"seed 0: worth is \[.*\], not \[0.99"),
        (lambda data: data["runs"][0].update(worth=["x", 1]), "is not a benchmark result"),
        (lambda data: data["runs"][0].update(worth=[0.5]), "worth is"),
        (lambda data: data["runs"][0].update(seconds=-1), "is not a benchmark result"),
        (lambda data: data["runs"][0].update(seed="0"), "is not a benchmark result"),
        (lambda data: data["runs"][0].update(reports=[[1]]), "is not a benchmark result"),
        (lambda data: data.update(runs=[]), "one run for each"),
        (lambda data: data["runs"][0]["students"].__setitem__(0, 1.5), "Expected `int`, got `float`"),
        (lambda data: data["runs"][2]["students"].__setitem__(0, 10**6), "none of this space"),
        (lambda data: data["runs"][1]["students"].__setitem__(0, data["runs"][1]["students"][1]), "are distinct"),
        (lambda data: data["runs"][3]["students"].__setitem__(0, 0), "not degenerate"),
        (lambda data: data["runs"][1]["students"].append(data["runs"][2]["students"][0]), "6 students, more than the 5"),
        (lambda data: data["runs"][1].update(looks=4), "cannot be seen in 4 episodes"),
        (lambda data: data["runs"][1].update(reports=[[1, data["runs"][1]["students"][3]]]), "not looked at before"),
        (lambda data: data["runs"].pop(), "one run for each"),
        (lambda data: data["runs"][0].update(seed=1), "one run for each of the seeds 0 to 2"),
        (lambda data: data["tables"].update(dict.fromkeys(data["tables"], "0")), "another table"),
        (lambda data: data["runs"][0].update(task="x"), "no task 'x'"),
        (lambda data: data.update(budgets=[5]), "budgets are 5, not 2, 5"),
        (lambda data: data.update(edition=9), "edition 9"),
        (
            lambda data: (data.pop("edition"), data.update(format=1, evaluations=500)),
            "first edition, .*run the algorithm again",
        ),
    ],
)
def test_numbers_that_do_not_follow_are_refused(change, message, benchmarked, names, tmp_path, capsys):
    data = json.loads((benchmarked / "agents" / "evolution.json").read_text())
    data["runs"].sort(key=lambda each: ("removal" not in each["task"], each["task"], each["seed"]))
    change(data)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(data))
    assert main(["benchmark", "validate", str(path), *SIZE, "--tasks", *names]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_commands(benchmarked, names, tmp_path, capsys):
    files = [str(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    assert main(["benchmark", "validate", *files, *SIZE, "--tasks", *names]) == 0
    assert capsys.readouterr().out.count("12 runs: valid") == 2
    assert main(["benchmark", "validate", files[0], *SIZE, "--algorithm", "random", "--again", "1", "--tasks", *names]) == 0
    assert main(["benchmark", "validate", files[0], *SIZE, "--algorithm", "evolution", "--tasks", *names]) == 2
    assert "evolution is another algorithm" in capsys.readouterr().err
    assert main(["benchmark", "validate", files[0], *SIZE[:3], "--tracks", "reward", "noisy", "--tasks", *names]) == 2
    assert "seeds 0 to 9" in capsys.readouterr().err
    report = [
        "benchmark",
        "report",
        *files,
        "--tracks",
        "reward",
        "noisy",
        "--tasks",
        *names,
        "--out",
        str(tmp_path / "board"),
    ]
    assert main(report) == 0
    assert "evolution" in (tmp_path / "board" / "LEADERBOARD.md").read_text()
    capsys.readouterr()
    assert main(["benchmark", "report", *files, "--tasks", *names, "--out", str(tmp_path)]) == 2
    assert re.search(r"no algorithm has runs on \S+:smallest, \S+:smallest, \S+:macs", capsys.readouterr().err)
    assert main(["benchmark", "--agents", "reinforcee", "--tasks", names[0], "--out", str(tmp_path)]) == 2
    assert "Did you mean 'reinforce'" in capsys.readouterr().err
    for wrong, message in (
        (["--budgets", "5", "2"], "ascending, not 5, 2"),
        (["--seeds", "0"], "seeds must be at least 1"),
        (["--tracks", "rewards"], "Did you mean 'reward'"),
    ):
        assert main(["benchmark", *wrong, "--agents", "random", "--tasks", names[0], "--out", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["benchmark", "--tasks", names[0], names[0], "--out", str(tmp_path)]) == 2
    assert "different names" in capsys.readouterr().err


def test_runs_that_are_not_the_algorithms_own_are_found(benchmarked, asked):
    """Seed 2's students are another algorithm's: numbers that follow, from work that is not its own."""
    own, other = (Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("evolution", "random"))
    swapped = tuple(
        replace(run("maskable-ppo", next(t for t in asked if t.name == a.task), 2, BUDGETS), agent="evolution")
        if a.seed == 2
        else a
        for a in own.runs
    )
    forged = replace(own, runs=swapped, facts={"versions": {"torch": "1.0"}, "machine": {"cores": 1}})
    size = {"budgets": BUDGETS, "seeds": 3}
    validate(forged, asked, **size)
    with pytest.raises(
        InputError, match=r"seed 2: evolution finds other students; it was made with torch 1\.0 instead of [\d.a-z+]+, where"
    ):
        validate(forged, asked, **size, algorithm="evolution", again=3)
    renamed = replace(other, agent="mine", runs=tuple(replace(each, agent="mine") for each in other.runs))
    with pytest.raises(InputError, match="random is another algorithm, 'random'"):
        validate(renamed, asked, **size, algorithm="random")


def test_what_cannot_be_compared_is_refused(benchmarked, asked):
    results = [Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    with pytest.raises(InputError, match="different names"):
        Comparison([results[0], results[0]], asked)
    with pytest.raises(InputError, match="not 2, 5; 5"):
        Comparison([results[0], replace(results[1], budgets=(5,))], asked)
    fewer = replace(results[1], runs=tuple(each for each in results[1].runs if each.task != asked[1].name))
    with pytest.raises(InputError, match=f"evolution has no runs on {asked[1].name}"):
        Comparison([results[0], fewer], asked)


def test_an_algorithm_may_run_on_some_of_the_tracks(benchmarked, asked):
    everywhere, some = (Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution"))
    reward = some.on(asked[:2])
    compared = Comparison([everywhere, reward], asked)
    assert [sorted(standing.agents) for standing in compared.standings] == [["evolution", "random"], ["random"]]
    board = compared.leaderboard("n2n benchmark")
    assert board.count("Not run here: evolution.") == 1
    assert compared.to_json()["tracks"]["noisy"].keys() == {"random"}


def test_an_algorithms_runs_may_lie_in_several_files(benchmarked, asked, names, tmp_path, capsys):
    files = []
    for agent in ("random", "evolution"):
        whole = Results.load(benchmarked / "agents" / f"{agent}.json")
        for track in ("reward", "noisy"):
            part = whole.on([task for task in asked if task.track == track])
            tables = {name: told for name, told in whole.tables.items() if name.endswith(track)}
            files.append(str(tmp_path / f"{agent}-{track}.json"))
            fewer = tuple(each for each in part.runs if track == "reward" or each.seed < 2)
            replace(part, runs=fewer, tables=tables).save(Path(files[-1]))
    chosen = ["--tasks", *names, "--tracks", "reward", "noisy", "--out", str(tmp_path)]
    assert main(["benchmark", "report", *files, *chosen]) == 0
    board = (tmp_path / "LEADERBOARD.md").read_text()
    assert "2 to 3 runs of each algorithm" in board
    compared = json.loads((tmp_path / "comparison.json").read_text())["tracks"]["reward"]
    assert compared == json.loads((benchmarked / "comparison.json").read_text())["tracks"]["reward"]
    capsys.readouterr()
    assert main(["benchmark", "report", *files, files[0], *chosen]) == 2
    assert "random has two result files on" in capsys.readouterr().err


def test_a_run_of_another_algorithm_or_table_is_made_again(own, names, tmp_path):
    def made():
        arguments = {"tracks": ["reward"], "seeds": 2, "budgets": (5,), "workers": 1, "facts": {"command": "n2n benchmark"}}
        benchmark([own], tasks=names[:1], out=tmp_path / "out", **arguments)
        return Results.load(tmp_path / "out" / "agents" / "mine.json").runs

    first = made()
    assert made() == first
    with Path(own).open("a") as file:
        file.write("\n\ndef search(env, budget, seed, search=search):\n    return search(env, budget, seed + 5)\n")
    assert made()[0].students != first[0].students


def test_a_copy_of_the_environment_spends_the_same_budget(removal):
    """Else a search could look at everything on copies, and then at the best alone."""
    account = Account(removal, 0, 5)
    env = removal.env()
    with env.unwrapped.judge.overseen(account.finish):
        first, second = feasible_and_not(removal)[0][:2]
        play(copy.deepcopy(env), actions(removal, first))
        play(copy.copy(env), actions(removal, second))
        assert account.students == [first, second]
        with pytest.raises(InputError, match="cannot be sent to another process"):
            pickle.dumps(env)
    play(pickle.loads(pickle.dumps(env)), actions(removal, first))
    assert account.looks == 2


def test_a_run_that_ends_when_it_likes_is_refused(benchmarked, asked):
    whole = Results.load(benchmarked / "agents" / "random.json")
    first = whole.runs[0]
    task = next(task for task in asked if task.name == first.task)

    def refused(message, **changes):
        students = changes.get("students", first.students)
        changed = replace(first, worth=worth(task, first.seed, students, (), BUDGETS), **changes)
        forged = replace(whole, runs=(changed, *whole.runs[1:]))
        with pytest.raises(InputError, match=message):
            validate(forged, asked, budgets=BUDGETS, seeds=3)

    refused("goes on for 200 episodes", students=first.students[:3], looks=3)
    refused("goes on for 200 episodes", students=first.students[:3], looks=202)
    refused("episodes of at most 2000", looks=10**9)


def test_what_results_are_called_names_files(benchmarked, tmp_path):
    data = json.loads((benchmarked / "agents" / "random.json").read_text())
    for change in (*({"agent": name} for name in ("a|b\n# Hello", "", "../../x", "random\n")), {"budgets": []}):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(data | change))
        with pytest.raises(InputError, match="is not a benchmark result"):
            Results.load(path)


def test_reports_that_cannot_be_made_say_so(benchmarked, names, tmp_path, capsys):
    file = str(benchmarked / "agents" / "random.json")
    data = json.loads(Path(file).read_text())
    (tmp_path / "none.json").write_text(json.dumps(data | {"tables": {}, "runs": []}))
    (tmp_path / "trackless.json").write_text(json.dumps(data | {"tables": {"removal": "0"}}))
    for words, message in (
        (["report", file, "--tasks", *names, "--tracks", "nope"], "unknown track 'nope'"),
        (["report", str(tmp_path / "none.json")], "there are no runs to compare"),
        (["report", str(tmp_path / "trackless.json")], "unknown track 'removal'"),
        (["report", file], "--tasks"),
        (["report"], "name the result files"),
        (["validate"], "name the result files"),
        (["validate", file, *SIZE, "--tasks", *names, "--algorithm", "random", "--again", "-1"], "again must be 0 or more"),
    ):
        assert main(["benchmark", *words, *(["--out", str(tmp_path)] if words[0] == "report" else [])]) == 2
        assert message in capsys.readouterr().err


def test_a_submission_may_have_dataclasses(removal, tmp_path):
    path = tmp_path / "mine.py"
    lines = [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "",
        "@dataclass",
        "class Held:",
        "    x: int",
    ]
    path.write_text("\n".join(lines) + OWN.replace("mine", "with-dataclass"))
    assert name_of(str(path)) == "with-dataclass"


def test_settings_are_other_than_the_packages(removal):
    own, other = run("evolution", removal, 0, BUDGETS), run("evolution", removal, 0, BUDGETS, {"population_size": 3})
    assert run("evolution", removal, 0, BUDGETS, {"population_size": 10}).students == own.students != other.students


def test_a_run_leaves_no_folder_behind(removal, tmp_path, monkeypatch):
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "logged"))
    run("reinforce", removal, 0, BUDGETS)
    assert not (tmp_path / "logged").exists()


def test_comments_and_docstrings_make_no_new_runs():
    code = 'RATE = 0.1\n\n\ndef update():\n    """Learn."""\n    return RATE\n'
    assert code_of(code.replace('"""Learn."""', '"""Learn more."""  # why')) == code_of(code)
    assert code_of(code.replace("0.1", "0.2")) != code_of(code)


def test_what_a_run_depends_on():
    def files(agent):
        return {file.stem for file in with_imports([REPOSITORY / "agents" / "algorithms" / f"{agent}.py", *JUDGES])}

    assert {"reinforce", "policies", "episodic", "sb3"} <= files("reinforce")
    assert "reinforce" not in files("planned")
    assert sources("reinforce") != sources("reinforce-imitating")


def test_whatever_decides_a_run_makes_new_ones(monkeypatch):
    before, real = sources("dyna-pretrained"), Path.read_bytes
    for name in (
        *("n2n_gym/stages/removal.py", "n2n_gym/architecture/graph.py", "n2n_gym/rewards.py", "n2n_gym/limits/constraints.py"),
        *("n2n_gym/envs/judge.py", "n2n_gym/tables/evaluator.py", "n2n_gym/tables/surrogate.py"),
        *("agents/benchmark/runs.py", "agents/benchmark/account.py", "agents/benchmark/tasks.py"),
        *("agents/algorithms/registry.py", "agents/algorithms/dyna.py", "agents/algorithms/sb3.py"),
        *(f"agents/algorithms/pretrained/{name}" for name in ("accuracy.npz", "removal.policy", "shrink.policy")),
    ):
        changed = REPOSITORY / name
        assert changed.exists()

        def read(path, changed=changed):
            return real(path) + b"\nCHANGED = True\n" * (path == changed)

        monkeypatch.setattr(Path, "read_bytes", read)
        assert sources("dyna-pretrained") != before, name
    monkeypatch.setattr(Path, "read_bytes", real)
    assert sources("dyna-pretrained") == before


def test_what_an_own_algorithm_imports_makes_new_runs(own, tmp_path, monkeypatch):
    """Beside it or on Python's path, directly or not; libraries have versions."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "parts").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(elsewhere))
    Path(own).write_text(f"{OWN}\n\ndef later():\n    import beside\n    from parts.deep import STEP\n")
    (tmp_path / "beside.py").write_text("import parts.other\n")
    written = [tmp_path / "beside.py", *(elsewhere / "parts" / f"{name}.py" for name in ("__init__", "deep", "other"))]
    for path in written[1:]:
        path.write_text("STEP = 1\n")
    found = [sources(own)]
    for path in written:
        path.write_text(path.read_text() + "MORE = 2\n")
        found.append(sources(own))
    assert len(set(found)) == len(found)
    assert not any("site-packages" in file.parts for file in with_imports([Path(own)], [tmp_path]))


def test_a_run_is_made_again_when_the_package_changes(removal, tmp_path, monkeypatch):
    from agents.benchmark import suite

    record = suite._Record("random", removal, 0, BUDGETS, tmp_path / "run.json", sources("random"))
    record.write(run("random", removal, 0, BUDGETS))
    assert record.kept
    assert not replace(record, sources="others").kept
    monkeypatch.setattr(suite, "versions", lambda: {"torch": "other"})
    assert not record.kept


def test_a_table_of_noise_is_said_to_be_one(benchmarked, asked):
    results = [Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    standing = Standing(results, [task for task in asked if task.track == "reward"])
    standing.ceiling = [np.full_like(each, 0.3) for each in standing.ceiling]
    assert "cannot tell" not in "\n".join(standing.ranking())
    standing.ceiling[0][:] = -0.1
    said = "\n".join(standing.ranking())
    assert f"**{standing.tasks[0].space} cannot tell algorithms apart after {BUDGETS[0]}, {BUDGETS[1]} students**" in said
    standing.ceiling[0][:, 0] = 0.1
    said = "\n".join(standing.ranking())
    assert f"**{standing.tasks[0].space} cannot tell algorithms apart after {BUDGETS[1]} students**" in said


def test_a_table_that_says_not_what_students_are_worth_is_no_task(removal, tmp_path):
    table = removal.table
    broken = {
        "says no test accuracy of its teacher; .* build it again": (
            {**table.facts, "teacher": {**table.facts["teacher"], "test_accuracy": None}},
            table.columns,
        ),
        "no student of table 'removal' was trained": (
            table.facts,
            {**table.columns, "seconds": np.zeros_like(table.columns["seconds"])},
        ),
    }
    for number, (message, (facts, columns)) in enumerate(broken.items()):
        path = tmp_path / f"{number}.npz"
        Table(facts, columns).save(path)
        for ask in (lambda task: task.optimum, lambda task: task.env(), lambda task: task.worths([0])):
            with pytest.raises(InputError, match=message):
                ask(TableTask(str(path), "macs"))
        with pytest.raises(InputError, match=message):
            tasks_by_name([str(path)])


def test_a_table_cannot_name_a_place_elsewhere(removal, tmp_path, capsys):
    facts = {**removal.table.facts, "name": str(tmp_path / "evil")}
    Table(facts, removal.table.columns).save(tmp_path / "t.npz")
    words = ["--agents", "random", "--tasks", str(tmp_path / "t.npz"), "--out", str(tmp_path / "out"), *SIZE[:5]]
    assert main(["benchmark", *words, "--workers", "1"]) == 2
    assert "$.name" in capsys.readouterr().err
    assert not (tmp_path / "evil").exists()


def test_runs_of_random_search_that_are_all_alike_are_no_proof(benchmarked, asked):
    results = [Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    standing = Standing(results, [task for task in asked if task.track == "reward"])
    name = standing.tasks[0].space
    scattered = np.array([-0.1, 0.0, 0.2])
    for second, said in ((0.4, "0.40 (all alike) at 5"), (-0.9, "-0.90 (all alike) at 5"), (1e-12, " at 2")):
        standing.gaps["random"][0] = np.stack([scattered, np.full(3, second)], axis=1)
        [first, *_] = standing.random_search_checked()
        assert first.startswith(name)
        assert first.endswith(said)
