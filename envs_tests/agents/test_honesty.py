"""What a submitted algorithm cannot gain by, or is told in a line; what the leaderboard does not pass over in silence."""

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark.account import Account
from agents.benchmark.catalogue import tasks_by_name
from agents.benchmark.exhaustive import TableTask
from agents.benchmark.large import LargeTask
from agents.benchmark.metrics import improvement, probability_of_improvement
from agents.benchmark.report import Comparison, Standing
from agents.benchmark.results import Results, validate
from agents.benchmark.runs import AlgorithmError, name_of, run
from agents.benchmark.suite import benchmark
from agents.commands.main import main
from envs_tests.agents.test_benchmark import CHAIN, OWN, actions, feasible_and_not, made_up, play
from envs_tests.conftest import toy_arrays
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem
from n2n_gym.system.files import write_json
from n2n_gym.system.pool import Pool
from n2n_gym.tables.sample import large_samples

BUDGETS = (2, 5)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The file of a table whose trainings were made up."""
    folder = tmp_path_factory.mktemp("made-up")
    np.savez(folder / "toy.npz", **toy_arrays())
    write_json(folder / "chain.json", Architecture.chain(CHAIN, (1, 8, 8), 3).to_json())
    made_up(Problem(str(folder / "chain.json"), str(folder / "toy.npz")), "removal", folder / "removal.npz")
    return str(folder / "removal.npz")


@pytest.fixture
def task(table):
    return TableTask(table, "reward")


@pytest.fixture(scope="module")
def results(table):
    """Runs of two algorithms on two tracks, three of each."""
    tasks = [TableTask(table, track) for track in ("reward", "noisy")]
    return {
        agent: Results.of([run(agent, each, seed, BUDGETS) for each in tasks for seed in range(3)], tasks, BUDGETS, {})
        for agent in ("evolution", "random")
    }


@pytest.fixture
def algorithm(tmp_path):
    """Writes an algorithm's file: random search that does something else first, or instead."""

    def write(first="pass", before="", name="mine"):
        body = "\n    ".join(first.splitlines())
        text = OWN.replace('NAME = "mine"', f'{before}\nNAME = "{name}"').replace("    rng = ", f"    {body}\n    rng = ", 1)
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return str(path)

    return write


def process(_task):
    return os.getpid()


def test_a_worker_for_one_task_does_no_other(quick_workers):
    with Pool(1, once=True) as workers:
        assert len(set(workers.map(process, range(2)))) == 2
        assert workers.processes == []


def test_no_run_of_a_submitted_file_finds_what_another_left_behind(table, algorithm, tmp_path, quick_workers):
    """Nor do those that `validate` makes again."""
    first = "import sys\nassert sys.modules.setdefault('left_behind', env) is env, 'not the first run here'"
    path = algorithm(first)
    asked = {"tracks": ["reward"], "seeds": 2, "budgets": BUDGETS, "workers": 1, "facts": {"command": ""}}
    benchmark([path], tasks=[table], out=tmp_path, **asked)
    found = Results.load(tmp_path / "agents" / "mine.json")
    validate(found, tasks_by_name([table], ["reward"]), budgets=BUDGETS, seeds=2, algorithm=path, again=2)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_is_looked_at_in_a_forked_process_is_refused(task):
    account, env = Account(task, 0, 3), task.env()
    episode = actions(task, feasible_and_not(task)[0][0])
    with env.unwrapped.judge.overseen(account.finish):
        if (child := os.fork()) == 0:
            try:
                play(env, episode)
            except InputError as error:
                os._exit(7 if "another process" in str(error) else 1)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        play(env, episode)
    assert len(account.students) == 1


def test_an_algorithm_that_finds_no_student_has_its_leaderboard(task, algorithm, tmp_path):
    path = algorithm("while True:\n    play(env, [0] * (int(env.observation_space['position'].n) - 1))")
    found = Results.of([run(path, task, seed, BUDGETS) for seed in range(2)], [task], BUDGETS, {})
    assert not any(each.students for each in found.runs)
    Comparison([found], [task]).write(tmp_path / "out", "n2n benchmark")
    assert (tmp_path / "out" / "curves.png").exists()


def test_an_algorithm_that_goes_on_after_whatever_fails_is_ended(task, algorithm):
    broad = """
for _ in range(3_000):
    try:
        play(env, np.random.randint(env.action_space.n, size=int(env.observation_space["position"].n) - 1))
    except Exception:
        continue
raise RuntimeError("it was never ended")"""
    assert len(run(algorithm(broad), task, 0, BUDGETS).students) == 5


def test_who_says_that_all_is_spent_must_have_spent_it(task, algorithm):
    path = algorithm("from agents.benchmark.account import BudgetSpentError\nraise BudgetSpentError('x')")
    with pytest.raises(InputError, match="on removal:reward, seed 0: ended after 0 of 5 students"):
        run(path, task, 0, BUDGETS)


def test_tasks_and_tracks_that_do_not_go_together_are_not_dropped(table):
    sample = next(iter(large_samples()))
    for names, tracks, alone in (
        ([table], ["reward", "large"], "large"),
        ([sample], ["large", "macs"], "macs"),
        ([table, sample], ["reward"], sample),
        (["test", sample], ["reward", "noisy"], sample),
    ):
        with pytest.raises(InputError, match=rf"nothing would be run of {re.escape(alone)}: tables go with .*reward, noisy"):
            tasks_by_name(names, tracks)
    assert [task.track for task in tasks_by_name([table, sample], ["reward", "large"])] == ["reward", "large"]
    assert {task.track for task in tasks_by_name(["test"], ["reward", "large"])} == {"reward"}
    assert {task.track for task in tasks_by_name([], ["large"])} == {"large"}
    assert len(tasks_by_name([table])) == len(tasks_by_name([table], ["reward", "noisy", "smallest", "macs", "large"])) == 4


def test_who_did_not_run_on_the_tracks_that_are_asked_for_is_said_to_be_absent(results, table, tmp_path):
    everywhere, reward = results["random"], results["evolution"].on([TableTask(table, "reward")])
    files = []
    for each in (everywhere, replace(reward, tables={"removal:reward": reward.tables["removal:reward"]})):
        files.append(str(tmp_path / f"{each.agent}.json"))
        each.save(Path(files[-1]))
    words = ["--tasks", table, "--tracks", "noisy", "--out", str(tmp_path / "made")]
    assert main(["benchmark", "report", *files, *words]) == 0
    board = (tmp_path / "made" / "LEADERBOARD.md").read_text()
    assert "Not run here: evolution." in board
    told = shlex.split(board.split("Made by `")[1].split("`")[0])
    pattern = next(word for word in told if "*" in word)  # which a shell that sees it quoted does not expand
    assert main(["benchmark", "report", str(tmp_path / Path(pattern).name), *words[:-1], str(tmp_path / "again")]) == 0
    compared, again = ((tmp_path / name / "comparison.json").read_text() for name in ("made", "again"))
    assert again == compared


def fewer(found, seeds):
    return replace(found, runs=tuple(each for each in found.runs if each.seed < seeds))


def test_the_order_of_files_changes_nothing(results, table):
    noisy = TableTask(table, "noisy")
    both = [fewer(results["evolution"], 1), results["random"]]
    one, other = (Comparison(each, [noisy]) for each in (both, both[::-1]))
    assert one.standings[0].ceiling[0].tolist() == other.standings[0].ceiling[0].tolist()
    assert one.standings[0].ceiling[0].shape == (3, 2)
    assert one.leaderboard("").splitlines() == other.leaderboard("").splitlines()


def row(board, agent):
    return next(line.split(" | ") for line in board.splitlines() if line.startswith(f"| {agent} |"))


def test_a_single_run_cannot_stand_first(results, table):
    reward = TableTask(table, "reward")
    best = replace(
        fewer(results["evolution"], 1),
        runs=tuple(replace(each, worth=(reward.optimum,) * 2) for each in fewer(results["evolution"], 1).runs),
    )
    compared = Comparison([best, results["random"]], [reward])
    [standing] = compared.standings
    assert standing.closed["evolution"].mean > standing.closed["random"].mean
    assert standing.agents == ["random", "evolution"]
    board = compared.leaderboard("")
    assert "| rank | behind the first | runs | students |" in board
    assert row(board, "random")[-2:] == ["3", "5 |"]
    assert row(board, "evolution")[-4] == "-"
    assert row(board, "evolution")[-2] == "1"
    assert "**Too few runs for a rank**, and so not above others: evolution." in board
    assert "1 to 3 runs of each" in board
    assert compared.to_json()["tracks"]["reward"]["evolution"]["rank"] is None
    assert compared.to_json()["tracks"]["reward"]["evolution"]["runs"] == 1
    alone = Comparison([fewer(results["random"], 1)], [reward])
    assert "; 1 run of each algorithm" in alone.leaderboard("")
    assert alone.standings[0].ranks == {}


def test_ten_runs_have_a_rank_beside_more(results, table, monkeypatch):
    monkeypatch.setattr("agents.benchmark.report.ENOUGH", 2)
    standing = Standing([fewer(results["evolution"], 2), results["random"]], [TableTask(table, "reward")])
    assert standing.ranks.keys() == {"evolution", "random"}


def test_tables_and_samples_are_counted_apart(results, table, monkeypatch):
    sample = next(iter(large_samples()))
    compared = Comparison([results["random"]], [TableTask(table, "reward")])
    compared.tasks += [TableTask(table, "noisy"), LargeTask(sample)]
    assert f"\n1 table (removal) and 1 sample of a larger space ({sample}); 3 runs of each" in compared.leaderboard("")
    board = Comparison([results["random"]], [TableTask(table, track) for track in ("reward", "noisy")]).leaderboard("")
    assert row(board.split("## Noisy")[1], "random")[-2:] == ["3", "5 |"]


def test_better_than_random_is_of_runs_as_its_neighbours_are():
    """A run that is far better at one budget and a little worse at two is the better run."""
    run, other = [np.array([[0.9, -0.1, -0.1]])], [np.zeros((1, 3))]
    assert probability_of_improvement(run, other) == 1
    assert improvement(run, other).mean == 1


def leave(_task):
    sys.exit(3)


def test_a_task_that_calls_sys_exit_is_said_to(quick_workers):
    with Pool(1) as workers, pytest.raises(RuntimeError, match="SystemExit: 3"):
        list(workers.run(leave, [1]))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError('boom')", "ValueError: boom"),
        ("env.report([0] * 9)", "report() takes the actions of a student"),
    ],
)
def test_what_an_algorithm_raises_names_file_task_and_seed(first, said, task, algorithm):
    path = algorithm(first)
    with pytest.raises(AlgorithmError, match=re.escape(f"{path} on removal:reward, seed 4: {said}")) as error:
        run(path, task, 4, BUDGETS)
    assert "in search" in error.value.where


def test_an_algorithm_that_is_out_of_memory_is_tried_again(task, algorithm):
    with pytest.raises(MemoryError):
        run(algorithm("raise MemoryError"), task, 4, BUDGETS)


def test_the_command_shows_where_an_algorithm_failed(table, algorithm, tmp_path, capsys, quick_workers):
    path = algorithm("import sys; sys.exit(3)")
    words = ["--tasks", table, "--tracks", "reward", "--seeds", "1", "--workers", "1", "--out", str(tmp_path / "out")]
    assert main(["benchmark", "--agents", path, *words]) == 2
    *above, last = capsys.readouterr().err.strip().splitlines()
    assert last == f"n2n: error: {path} on removal:reward, seed 0: SystemExit: 3"
    assert any("in search" in line for line in above)
    path = algorithm(before="import no_such_module")
    assert main(["benchmark", "--agents", path, *words]) == 2
    assert f"n2n: error: {path}: ModuleNotFoundError: No module named" in capsys.readouterr().err


def test_what_fails_in_an_algorithm_of_the_package_names_task_and_seed(task, monkeypatch):
    def fail(*_arguments):
        raise ValueError("boom")

    monkeypatch.setattr("agents.benchmark.runs.spend", fail)
    with pytest.raises(ValueError, match="boom") as error:
        run("random", task, 4, BUDGETS)
    assert error.value.__notes__ == ["random on removal:reward, seed 4"]


def test_an_algorithm_may_import_its_neighbours(task, algorithm, tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("STEP = 1\n")
    (tmp_path / "later_neighbour.py").write_text("")
    path = algorithm("import later_neighbour", before="from neighbour_of_mine import STEP")
    before = list(sys.path)
    assert name_of(path) == "mine"
    assert len(run(path, task, 0, BUDGETS).students) == 5
    assert sys.path == before


def test_an_algorithms_environment_has_what_the_environment_has(task, algorithm):
    plays = """
assert env.spec is None  # a copy would not be counted
env.set_update(1)
try:
    env.report([[0.5]])
except ValueError as error:
    assert "whole numbers" in str(error)
over = True
while True:
    if over:
        env.reset()
    _, _, over, _, _ = env.step(env.action_space.sample(mask=env.action_masks()))"""
    assert len(run(algorithm(plays), task, 0, BUDGETS).students) == BUDGETS[-1]


def test_any_two_can_be_compared(results, table):
    both, asked = list(results.values()), [TableTask(table, "reward")]
    board = Comparison(both, asked, "random").leaderboard("")
    assert "behind random" in board
    standing = Comparison(both, asked, "random").standings[0].to_json()
    expected = Comparison(both, asked, "evolution").standings[0].to_json()
    assert standing["random"]["behind_random"] is None
    assert standing["evolution"]["behind_random"]["mean"] == pytest.approx(-expected["random"]["behind_evolution"]["mean"])
    with pytest.raises(InputError, match="unknown algorithm 'nobody'"):
        Comparison(both, asked, "nobody")
