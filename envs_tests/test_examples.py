"""Each example runs, at a tiny size."""

import runpy
from pathlib import Path

import pytest

from agents.benchmark import metrics
from agents.benchmark.exhaustive import TableTask
from agents.benchmark.runs import run
from n2n_gym.models import speed

EXAMPLES = Path(__file__).parent.parent / "examples"

TINY = {
    "benchmark_algorithms": ({"table": "removal.npz", "seeds": 1, "budgets": (2, 4)}, "curves.png"),
    "custom_agent": ({"table": "removal.npz", "episodes": 8}, "the best that there is"),
    "own_network": (
        {"dataset": "digits", "pictures": 300, "epochs": 1, "width": 12, "iterations": 1, "finalists": 1, "workers": 0},
        "exported: student.py, student.safetensors, student.pt2",
    ),
    "fashion_mnist": (
        {"dataset": "digits", "width": 4, "epochs": 2, "smaller": 3, "students": 4, "workers": 0}
        | {"finalists": 1, "final_trainings": 2, "final_epochs": 2},
        "times smaller",
    ),
    "train_reinforce": ({"updates": 1, "workers": 0}, "the likeliest student"),
    "compress_and_use": ({"iterations": 1, "workers": 0}, "times smaller"),
    "transfer_resnet18_to_34": ({"scale": "tiny", "workers": 0}, "difference"),
}
"""Arguments, and words that it must print."""


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*TINY, "quickstart", "hill_climbing"}


pytestmark = pytest.mark.usefixtures("short_trainings", "few_candidates", "quick_workers", "exports_run_here")


@pytest.fixture(autouse=True)
def _little_is_measured(monkeypatch):
    monkeypatch.setattr(speed, "MOST", speed.FEWEST)
    monkeypatch.setattr(metrics, "RESAMPLES", 200)


@pytest.mark.parametrize("name", TINY)
def test_example(name, capsys, tmp_path, monkeypatch, toy_tables):
    monkeypatch.chdir(tmp_path)
    arguments, words = TINY[name]
    if "table" in arguments:
        arguments = {**arguments, "table": str(toy_tables / arguments["table"])}
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments)
    assert words in capsys.readouterr().out


def test_the_quickstarts_cells_run_from_top_to_bottom(capsys):
    runpy.run_path(str(EXAMPLES / "quickstart.py"))
    assert "mean reward of its last" in capsys.readouterr().out


def test_a_submission_climbs(toy_tables):
    """The example of an algorithm for the leaderboard keeps to the rules, and to its size."""
    path = EXAMPLES / "hill_climbing.py"
    assert len(path.read_text().splitlines()) < 50
    for stage in ("removal", "shrink"):
        task = TableTask(str(toy_tables / f"{stage}.npz"))
        done = run(str(path), task, 0, (2, 4))
        assert done.agent == "hill-climbing"
        assert len(done.students) == min(4, task.counts.sum())
        row_of = task.table.columns["row_of"]
        seen = task.table.values("paper", "search")[row_of[list(done.students)]]
        if done.reports:  # else its first student is the best
            assert task.table.values("paper", "search")[row_of[done.reports[-1][1]]] == seen.max()
