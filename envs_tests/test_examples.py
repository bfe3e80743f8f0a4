"""Each example runs, at a tiny size."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

TINY = {
    "quickstart": {},
    "train_reinforce": {"updates": 1, "workers": 0},
    "compress_and_use": {"iterations": 1, "workers": 0},
}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_example(name, capsys):
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**TINY[name])
    printed = capsys.readouterr().out
    assert "parameters" in printed or "times smaller" in printed
