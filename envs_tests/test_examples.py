"""Each example runs, at a tiny size."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

TINY = {
    "quickstart": ({}, "parameters"),
    "train_reinforce": ({"updates": 1, "workers": 0}, "the likeliest student"),
    "compress_and_use": ({"iterations": 1, "workers": 0}, "times smaller"),
    "transfer_resnet18_to_34": ({"scale": "tiny", "workers": 0}, "difference"),
}
"""Arguments, and words that it must print."""


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_example(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, words = TINY[name]
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments)
    assert words in capsys.readouterr().out
