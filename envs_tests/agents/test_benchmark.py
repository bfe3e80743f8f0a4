"""The benchmark: what it counts, what it writes, what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark.metrics import Scores, bootstrap, difference, interquartile_mean, profile
from agents.benchmark.report import Comparison
from agents.benchmark.results import Results, validate
from agents.benchmark.runs import Run, encode, rewards, run
from agents.benchmark.suite import benchmark
from agents.benchmark.tasks import Task
from agents.commands.main import main
from n2n_gym.errors import InputError

OWN = """
import numpy as np

NAME = "mine"


def search(env, evaluations, seed):
    rng = np.random.default_rng(seed)
    for _ in range(evaluations):
        env.reset()
        over = False
        while not over:
            _, _, over, _, _ = env.step(rng.integers(env.action_space.n))
    return lambda observation, greedy: 0
"""


SIZE = ["--evaluations", "10", "--seeds", "3"]


@pytest.fixture
def tasks(toy_tables):
    return [Task(str(toy_tables / f"{stage}.npz")) for stage in ("removal", "shrink")]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return str(path)


@pytest.mark.parametrize("agent", ["reinforce", "actor-critic", "a2c", "maskable-ppo", "recurrent-ppo", "random", "evolution"])
def test_a_run_looks_at_as_many_students_as_it_may(agent, tasks):
    for task in tasks:
        done = run(agent, task.name, seed=1, evaluations=10)
        assert len(done.episodes) == 10
        assert len(done.sampled) == 100
        values = rewards(task.table, done.episodes)
        assert done.best == values.max() <= task.table.best().value
        assert done.policy_mean == pytest.approx(rewards(task.table, done.sampled).mean())
        assert done.policy_greedy == rewards(task.table, [done.greedy])[0]
        assert run(agent, task.name, seed=1, evaluations=10).episodes == done.episodes
        assert run(agent, task.name, seed=2, evaluations=10).episodes != done.episodes


def test_an_episodes_number_reads_its_actions_as_digits(tasks):
    assert encode(tasks[0].table, [[0, 0, 1, 0, 0, 1]]) == (9,)
    assert encode(tasks[1].table, [[9, 0, 3], [0, 0, 0]]) == (903, 0)


def test_random_search_is_its_exact_expectation(tasks):
    for task in tasks:
        seen = [np.maximum.accumulate(rewards(task.table, run("random", task.name, s, 10).episodes)) for s in range(150)]
        error = np.std(seen, axis=0) / np.sqrt(len(seen))
        # a sample of 150 seldom holds the rare run that met nothing but degenerate students: hence the 0.02
        assert np.all(np.abs(np.mean(seen, axis=0) - task.table.expected_best(10)) < 4 * error + 0.02)


def test_an_algorithm_of_ones_own(own, tasks):
    done = run(own, tasks[0].name, seed=0, evaluations=7)
    assert (done.agent, len(done.episodes), len(done.sampled), done.greedy) == ("mine", 7, 100, 0)
    assert done.policy_mean == done.policy_greedy == -1  # it keeps everything: not smaller than the teacher


SUBMITTED = sorted((Path(__file__).parents[2] / "benchmarks" / "algorithms").glob("*.py"))


@pytest.mark.parametrize("path", SUBMITTED, ids=lambda path: path.stem)
def test_a_submitted_algorithm_keeps_to_the_rules(path, tasks):
    assert len(path.read_text().splitlines()) < 50
    for task in tasks:
        done = run(str(path), task.name, seed=0, evaluations=20)
        assert (len(done.episodes), len(done.sampled)) == (20, 100)
        assert len(set(done.episodes)) > 1
        assert run(str(path), task.name, seed=0, evaluations=20).episodes == done.episodes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("range(evaluations)|range(evaluations + 1)", "more than its 7 students"),
        ("range(evaluations)|range(evaluations - 1)", "looked at 6 students .* not at 7"),
        ('NAME = "mine"|NAME = "reinforce"', "choose another"),
        ("def search|def find", "needs NAME"),
        ('NAME = "mine"|NAME = "../mine"', "NAME names a file"),
        ("lambda observation, greedy: 0|lambda *_: (env.reset(), [env.step(0) for _ in range(6)], 0)[2]", "than its 7"),
    ],
)
def test_rules_that_an_own_algorithm_must_keep(change, message, own, tasks, tmp_path):
    path = tmp_path / "other.py"
    path.write_text(OWN.replace(*change.split("|")))
    with pytest.raises(InputError, match=message):
        run(str(path), tasks[0].name, seed=0, evaluations=7)


@pytest.fixture(scope="module")
def benchmarked(toy_tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    names = [str(toy_tables / f"{stage}.npz") for stage in ("removal", "shrink")]
    facts = {"command": "n2n benchmark"}
    for _ in range(2):  # the second call finds everything done
        benchmark(["random", "evolution", "reinforce"], tasks=names, seeds=3, evaluations=10, out=out, workers=2, facts=facts)
    return out


def test_results_leaderboard_and_figures(benchmarked, tasks):
    board = (benchmarked / "LEADERBOARD.md").read_text()
    assert all(name in board for name in ("random", "evolution", "reinforce", tasks[0].table.name, tasks[1].table.name))
    assert "nan" not in board
    for name in ("regret.png", "profiles.png"):
        assert (benchmarked / name).stat().st_size > 5_000
    results = Results.load(benchmarked / "agents" / "random.json")
    validate(results, tasks, evaluations=10, seeds=3)
    assert len(results.runs) == 6
    assert len(list((benchmarked / "runs").rglob("*.json"))) == 18
    compared = json.loads((benchmarked / "comparison.json").read_text())
    task = compared["reinforce"]["tasks"][tasks[0].table.name]
    runs = Results.load(benchmarked / "agents" / "reinforce.json").of_task(tasks[0].table.name)
    assert task["policy_mean"] == [each.policy_mean for each in runs]
    above = np.mean([a.policy_mean - b.policy_mean for a, b in zip(runs, results.of_task(tasks[0].table.name), strict=True)])
    assert task["policy_mean_above_random"]["mean"] == pytest.approx(above)
    assert board.count("standard errors from its exact expectation") == 2


def test_a_benchmark_goes_on_where_it_was(benchmarked, toy_tables, tmp_path):
    import shutil

    out = tmp_path / "copy"
    shutil.copytree(benchmarked, out)
    runs = sorted((out / "runs").rglob("*.json"))
    runs[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in runs[1:]}
    names = [str(toy_tables / f"{stage}.npz") for stage in ("removal", "shrink")]
    agents = ["random", "evolution", "reinforce"]
    benchmark(agents, tasks=names, seeds=3, evaluations=10, out=out, workers=1, facts={"command": "n2n benchmark"})
    assert runs[0].exists()
    assert {path: path.stat().st_mtime_ns for path in runs[1:]} == before
    again, first = (Results.load(folder / "agents" / f"{agents[0]}.json") for folder in (out, benchmarked))
    assert [each.episodes for each in again.runs] == [each.episodes for each in first.runs]


def duplicate_best(data):
    """A forged file: every episode is the best one."""
    for each in data["runs"]:
        each["sampled"] = [each["greedy"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["runs"][0].update(best=0.99), "seed 0: best is"),
        (duplicate_best, "100 sampled episodes"),
        (lambda data: data["runs"][0].update(best="x"), "is not a benchmark result"),
        (lambda data: data["runs"][0].update(seconds=-1), "is not a benchmark result"),
        (lambda data: data["runs"][0].update(seed="0"), "is not a benchmark result"),
        (lambda data: data.update(runs=[]), "one run for each"),
        (lambda data: data["runs"][0]["episodes"].__setitem__(0, 1.5), "Expected `int`, got `float`"),
        (lambda data: data["runs"][1].update(policy_mean=0.99), "seed 1: policy_mean is"),
        (lambda data: data["runs"][1]["episodes"].pop(), "9 episodes, not 10"),
        (lambda data: data["runs"][2]["episodes"].__setitem__(0, 10**6), "none of this space"),
        (lambda data: data["runs"].pop(), "one run for each"),
        (lambda data: data["runs"][0].update(seed=1), "one run for each of the seeds 0 to 2"),
        (lambda data: data["tables"].update(dict.fromkeys(data["tables"], "0")), "another table"),
        (lambda data: data["runs"][0].update(task="x"), "no task 'x'"),
        (lambda data: data.update(format=9), "format 9"),
    ],
)
def test_numbers_that_do_not_follow_are_refused(change, message, benchmarked, tasks, tmp_path, capsys):
    data = json.loads((benchmarked / "agents" / "evolution.json").read_text())
    change(data)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(data))
    status = main(["benchmark", "validate", str(path), *SIZE, "--tasks", *(task.name for task in tasks)])
    assert status == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_the_commands(benchmarked, tasks, tmp_path, capsys):
    names = [task.name for task in tasks]
    files = [str(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    assert main(["benchmark", "validate", *files, *SIZE, "--tasks", *names]) == 0
    assert capsys.readouterr().out.count("6 runs: valid") == 2
    assert main(["benchmark", "validate", files[0], *SIZE, "--algorithm", "random", "--tasks", *names]) == 0
    assert main(["benchmark", "validate", files[0], *SIZE, "--algorithm", "evolution", "--tasks", *names]) == 2
    assert "evolution is another algorithm" in capsys.readouterr().err
    assert main(["benchmark", "validate", files[0], "--tasks", *names]) == 2
    assert "seeds 0 to 19" in capsys.readouterr().err
    assert main(["benchmark", "report", *files, "--tasks", *names, "--out", str(tmp_path / "board")]) == 0
    assert "evolution" in (tmp_path / "board" / "LEADERBOARD.md").read_text()
    bad = ["benchmark", "--agents", "reinforcee", "--tasks", names[0], "--out", str(tmp_path)]
    assert main(bad) == 2
    assert "Did you mean 'reinforce'" in capsys.readouterr().err
    for wrong, message in ((["--evaluations", "7"], "multiple of 5"), (["--seeds", "0"], "seeds must be at least 1")):
        assert main(["benchmark", *wrong, "--agents", "random", "--tasks", names[0], "--out", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["benchmark", "--tasks", names[0], names[0], "--out", str(tmp_path)]) == 2
    assert "different names" in capsys.readouterr().err


def test_runs_that_are_not_the_algorithms_own_are_found(benchmarked, tasks):
    """Seed 2's episodes are another algorithm's: numbers that follow, from work that is not its own."""
    own, other = (Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "reinforce"))
    swapped = tuple(replace(b, agent="random") if a.seed == 2 else a for a, b in zip(own.runs, other.runs, strict=True))
    forged = replace(own, runs=swapped)
    size = {"evaluations": 10, "seeds": 3}
    validate(forged, tasks, **size)
    with pytest.raises(InputError, match="seed 2: random plays other episodes; it was made with .*instead of"):
        validate(forged, tasks, **size, algorithm="random", again=3)
    found = 0
    for _ in range(30):  # one of three runs is made again: each in its turn
        try:
            validate(forged, tasks, **size, algorithm="random", again=1)
        except InputError:
            found += 1
    assert 0 < found < 30
    renamed = replace(own, agent="mine", runs=tuple(replace(each, agent="mine") for each in own.runs))
    with pytest.raises(InputError, match="random is another algorithm, 'random'"):
        validate(renamed, tasks, **size, algorithm="random")


def test_what_cannot_be_compared_is_refused(benchmarked, tasks):
    results = [Results.load(benchmarked / "agents" / f"{agent}.json") for agent in ("random", "evolution")]
    with pytest.raises(InputError, match="different names"):
        Comparison([results[0], results[0]], tasks)
    fewer = replace(results[1], runs=tuple(each for each in results[1].runs if each.seed < 2))
    with pytest.raises(InputError, match="10 students, 2 seeds; 10 students, 3 seeds"):
        Comparison([results[0], fewer], tasks)


def test_a_run_of_another_algorithm_or_table_is_made_again(own, toy_tables, tmp_path):
    def go():
        facts = {"command": "n2n benchmark"}
        names = [str(toy_tables / "removal.npz")]
        benchmark([own], tasks=names, seeds=2, evaluations=5, out=tmp_path / "out", workers=1, facts=facts)
        return Results.load(tmp_path / "out" / "agents" / "mine.json").runs

    first = go()
    assert go() == first
    with Path(own).open("a") as file:
        file.write("\n\ndef search(env, evaluations, seed, search=search):\n    return search(env, evaluations, seed + 5)\n")
    assert go()[0].episodes != first[0].episodes


def test_a_run_leaves_no_folder_behind(toy_tables, tmp_path, monkeypatch):
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "logged"))
    run("reinforce", str(toy_tables / "removal.npz"), 0, 5)
    assert not (tmp_path / "logged").exists()


def test_comments_and_docstrings_make_no_new_runs():
    from agents.benchmark import suite

    code = 'RATE = 0.1\n\n\ndef update():\n    """Learn."""\n    return RATE\n'
    assert suite.code_of(code.replace('"""Learn."""', '"""Learn more."""  # why')) == suite.code_of(code)
    assert suite.code_of(code.replace("0.1", "0.2")) != suite.code_of(code)


def test_a_run_is_made_again_when_the_package_changes(toy_tables, tmp_path, monkeypatch):
    from agents.benchmark import suite

    record = suite._Record("random", Task(str(toy_tables / "removal.npz")), 0, 5, tmp_path / "run.json")
    record.write(run("random", record.task.name, 0, 5))
    assert record.kept
    monkeypatch.setattr(suite, "_sources", lambda: "others")
    assert not record.kept


def test_the_difference_of_two_means():
    rng = np.random.default_rng(0)
    interval = difference(rng.normal(1.0, 0.1, 40), rng.normal(0.8, 0.1, 40))
    assert 0.1 < interval.low < interval.mean < interval.high < 0.3
    assert np.isnan(difference(np.array([1.0]), np.array([0.5, 0.4])).low)
    assert np.isnan(bootstrap([np.array([1.0])]).low)


def test_scores(tasks):
    table = tasks[0].table
    best = table.best()
    code = encode(table, [best.actions])[0]
    scores = Scores.of([Run("a", "t", s, (0, code, 0, 0), (), None, 1.0, best.value, None, None) for s in range(3)], tasks[0])
    assert scores.regret[0].tolist() == [best.value + 1, 0, 0, 0]
    assert scores.evaluations_to(0.99).tolist() == [2, 2, 2]
    assert scores.area.tolist() == [0.75] * 3
    assert scores.best.tolist() == [1, 1, 1]
    never = Scores.of([Run("a", "t", 0, (0, 0), (), None, 1.0, -1.0, None, None)], tasks[0])
    assert never.evaluations_to(0.95).tolist() == [np.inf]


def test_interquartile_mean_and_its_interval():
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 2.5, 2.5])) == pytest.approx(2.5)
    rng = np.random.default_rng(0)
    interval = bootstrap([rng.normal(1, 0.1, 50), rng.normal(1, 0.1, 50)])
    assert interval.low < 1 < interval.high < interval.low + 0.1
    # tasks are resampled one by one: what differs between them alone adds nothing to the width
    apart = bootstrap([np.full(20, 0.2), np.full(20, 0.8)])
    assert apart.low == apart.high == apart.mean


def test_performance_profiles():
    shares = np.array([0.5, 0.9, 1.1])
    assert profile([np.array([0.6, 1.0]), np.array([0.95, 0.95])], shares).tolist() == [1.0, 0.75, 0.0]
