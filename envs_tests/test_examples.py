"""Each example runs, at a tiny size."""

import runpy
from pathlib import Path

import pytest

from n2n_gym.table import Table

EXAMPLES = Path(__file__).parent.parent / "examples"

TINY = {
    "quickstart": ({}, "parameters"),
    "train_reinforce": ({"updates": 1, "workers": 0}, "the likeliest student"),
    "compress_and_use": ({"iterations": 1, "workers": 0}, "times smaller"),
    "transfer_resnet18_to_34": ({"scale": "tiny", "workers": 0}, "difference"),
}
"""Arguments, and words that it must print."""

ON_TABLES = {
    "benchmark_algorithms": ({"seeds": 2, "evaluations": 10, "workers": 1}, "hill-climbing"),
    "custom_agent": ({"updates": 2}, "likeliest student"),
    "hill_climbing": None,
}
"""The same for those that look students up."""


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*TINY, *ON_TABLES}


@pytest.mark.parametrize("name", TINY)
def test_example(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, words = TINY[name]
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, tiny in ON_TABLES.items() if tiny])
def test_example_on_a_table(name, capsys, tmp_path, monkeypatch, toy_tables):
    monkeypatch.chdir(tmp_path)
    arguments, words = ON_TABLES[name]
    file = str(toy_tables / "removal.npz")
    where = (
        {"task": file}
        if name == "benchmark_algorithms"
        else {**Table.load(file).facts["problem"], "evaluator": f"table:{file}"}
    )
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments, **where)
    assert words in capsys.readouterr().out


def test_the_example_of_a_submission_is_short_and_searches_well(toy_tables):
    from agents.benchmark.runs import run

    path = EXAMPLES / "hill_climbing.py"
    assert len(path.read_text().splitlines()) < 50
    climbed = run(str(path), str(toy_tables / "removal.npz"), seed=0, evaluations=40)
    assert climbed.best == Table.load(str(toy_tables / "removal.npz")).best().value
    assert climbed.policy_greedy == climbed.best
