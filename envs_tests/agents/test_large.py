"""Tasks on spaces of which some students were trained; models of accuracy answer for all."""

import contextlib
import itertools
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark.account import Account, BudgetSpentError
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.large import LargeTask
from agents.benchmark.metrics import gaps_closed
from agents.benchmark.results import Results, validate
from agents.benchmark.runs import ReportingEnv, run
from agents.benchmark.suite import benchmark
from envs_tests.conftest import made_sample
from n2n_gym.data import DataSettings, dataset_spec
from n2n_gym.errors import InputError
from n2n_gym.tables import table_names
from n2n_gym.tables.sample import large_samples
from n2n_gym.tables.surrogate import Surrogate


@pytest.fixture(scope="module", params=["removal", "shrink", "both"])
def task(request, tmp_path_factory):
    """What is true of its students is the contrary of what a search sees."""
    path = tmp_path_factory.mktemp("large") / f"made-{request.param}.json"
    made = made_sample(request.param, 60)
    turned = tuple(replace(each, test_accuracy=tuple(1.2 - a for a in each.accuracy)) for each in made.students)
    replace(made, students=turned).save(path)
    return LargeTask(str(path))


def test_what_a_search_sees_is_what_it_is_judged_to_have_seen(task):
    account = Account(task, 0, 12)
    env = ReportingEnv(task.env(), account)
    rng = np.random.default_rng(0)
    rewards = {}
    with env.unwrapped.judge.overseen(account.finish), contextlib.suppress(BudgetSpentError):
        keep = env.unwrapped.stage.keep
        for index in itertools.count():
            env.reset(seed=0)
            taken = [int(rng.integers(env.action_space.n)) if index else keep for _ in task.shape]
            for action in taken:
                _, reward, *_ = env.step(action)
            rewards[task.encode([taken])[0]] = reward
    paid = account.students
    assert len(paid) == 12
    assert len(set(task.students(paid))) == 12
    for pair in itertools.combinations(paid, 2):
        assert rewards[task.preferred(0, pair)] == pytest.approx(max(rewards[code] for code in pair))
    assert min(rewards[code] for code in paid) > -1
    [teacher] = task.students([task.encode([[keep] * len(task.shape)])[0]])
    assert not task.costs(teacher)
    assert rewards[task.encode([[keep] * len(task.shape)])[0]] == -1


def test_a_choice_is_worth_what_other_trainings_say(task):
    codes = task.pool[:20]
    students = [task.sample.decisions.student(np.unravel_index(code, task.shape)) for code in codes]
    truth = Surrogate(task.sample, truth=True).accuracies(students)
    small = np.array([1 - s.architecture.parameters / task.sample.teacher.parameters for s in students])
    assert task.worths(codes) == pytest.approx(small * (2 - small) * truth / task.sample.test_accuracy, abs=1e-6)
    assert task.ceiling(0) is None
    assert task.affordable is None


def test_nothing_that_is_known_is_above_the_optimum(task):
    assert task.worths(task.pool).max() <= task.optimum
    assert task.random_search(0, 30).max() < task.optimum


def test_random_searchs_expectation_is_found_once(task, monkeypatch):
    from agents.benchmark import tasks

    fresh, asked = LargeTask(task.source), []
    real = tasks.expected_choice
    monkeypatch.setattr(tasks, "expected_choice", lambda *args: asked.append(1) or real(*args))
    found = [fresh.random_search(seed, 5, floor) for floor in (-np.inf, 0.5) for seed in (0, 1, 2)]
    assert len(asked) == 2
    assert found[0] is found[2]
    assert np.array_equal(found[0], task.random_search(7, 5))
    assert found[3].min() >= 0.5


def test_images_that_are_read_otherwise_are_so_in_the_task(tmp_path):
    settings = DataSettings(flip=True)
    made = replace(made_sample("removal", 20), data=dataset_spec("digits", settings).identity, reading=settings)
    made.save(tmp_path / "made.json")
    task = LargeTask(str(tmp_path / "made.json"))
    assert task.sample == made
    task.env().reset(seed=0)
    _ = task.env().unwrapped.judge.evaluator


def test_the_packages_samples_are_those_that_were_compared_on():
    """What new samples say more must not make others of those of before."""
    folder = Path(__file__).parents[2] / "benchmarks" / "results" / "agents"
    assert Results.load(folder / "random.large.json").tables == {
        each.name: each.fingerprint for each in (LargeTask(name) for name in large_samples())
    }


def test_random_search_closes_no_gap(task):
    gaps = gaps_closed([run("random", task, seed, (5, 20)) for seed in range(12)], task, (5, 20)).mean(1)
    assert abs(gaps.mean()) < 4 * gaps.std(ddof=1) / len(gaps) ** 0.5


def test_a_run_repeats_in_another_process(task):
    there = pickle.loads(pickle.dumps(task))
    assert vars(there) == {"source": task.source, "track": "large"}
    assert replace(run("local-search", task, 1, (5,)), seconds=0) == replace(run("local-search", there, 1, (5,)), seconds=0)


def test_the_whole_way(task, tmp_path, quick_workers):
    compared = benchmark(
        ["random", "local-search"],
        tasks=[task.source],
        seeds=2,
        budgets=(3, 6),
        out=tmp_path,
        workers=1,
        facts={"command": "n2n benchmark"},
    )
    assert [standing.track for standing in compared.standings] == ["large"]
    results = Results.load(tmp_path / "agents" / "random.json")
    validate(results, [task], budgets=(3, 6), seeds=2, algorithm="random", again=1)
    first = results.runs[0]
    for change, message in (
        ({"students": (*first.students[:-1], first.students[0])}, "distinct"),
        ({"students": (*first.students[:-1], 10**18)}, "none of this space"),
        ({"worth": (0.9, 0.9)}, "worth is"),
    ):
        forged = replace(results, runs=(replace(first, **change), *results.runs[1:]))
        with pytest.raises(InputError, match=message):
            validate(forged, [task], budgets=(3, 6), seeds=2)
    assert "## Large: " in (tmp_path / "LEADERBOARD.md").read_text()
    assert "every student seen" not in (tmp_path / "LEADERBOARD.md").read_text().split("## Large")[1]


def test_tracks_are_asked_of_spaces_of_their_kind(task):
    names = table_names()[:2]
    asked = tasks_by_name([task.source, *names])
    assert [each.track for each in asked if isinstance(each, LargeTask)] == ["large"]
    assert len(asked) == 1 + 4 * len(names)
    with pytest.raises(InputError, match="no space of these tracks"):
        tasks_by_name(names, ["large"])


def test_episodes_of_the_packages_spaces_have_numbers(tmp_path):
    """There are more than 64 bits count; results keep them, and read them again as they were."""
    shipped = LargeTask("vgg11-w0.125-fashion-mnist-n1000-shrink")
    assert math.prod(shipped.shape) > 2**63
    highest = [count - 1 for count in shipped.shape]
    with_rng = np.random.default_rng(0).integers(shipped.shape).tolist()
    codes = shipped.encode([highest, with_rng])
    assert [shipped.decode(code) for code in codes] == [highest, with_rng]
    assert shipped.knows(codes[0])
    assert not shipped.knows(codes[0] + 1)
    for wrong in (highest[1:], [*highest, 0], [*highest[1:], 10], [-1, *highest[1:]]):
        with pytest.raises(InputError, match="24 actions from 0 to 9"):
            shipped.encode([wrong])
    made = run("random", shipped, 0, (2, 4))
    results = Results.of([made], [shipped], (2, 4), {"command": "", "machine": {}, "versions": {}})
    results.save(tmp_path / "random.json")
    again = Results.load(tmp_path / "random.json")
    assert again.runs == (made,)
    validate(again, [shipped], budgets=(2, 4), seeds=1)
