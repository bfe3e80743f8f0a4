"""The Python of README and of the pages that it leads to first runs as it stands, with fewer steps and a formula in place of
the students' training; README is short.
"""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from agents.search.compress import compress
from envs_tests.conftest import FormulaEvaluator

ROOT = Path(__file__).parent.parent
WORDS = {
    "README.md": ("get_episode_rewards",),
    "docs/compress.md": ("load_student",),
    "docs/environments/index.md": (
        "get_episode_rewards",
        "Table.load",
        "action_space.sample()",
        "RecurrentPPO",
        "BidirectionalLstmPolicy",
    ),
}
"""What tells the blocks apart."""

BLOCKS = {page: re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL) for page in WORDS}
CASES = [(page, number) for page, blocks in BLOCKS.items() for number in range(len(blocks))]


def test_every_block_is_tested():
    for page, words in WORDS.items():
        assert len(BLOCKS[page]) == len(words)
        for block, word in zip(BLOCKS[page], words, strict=True):
            assert word in block


@pytest.mark.parametrize(("page", "number"), CASES)
def test_runs_as_it_stands(page, number, tmp_path, monkeypatch, deeper_toy_teacher, toy_data):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    block = BLOCKS[page][number]
    if "runs/demo" in block:
        compress(teacher=deeper_toy_teacher, dataset=toy_data, iterations=1, finalists=1, workers=0, out="runs/demo")
        names["images"] = torch.zeros((2, 1, 8, 8), dtype=torch.uint8)
    else:
        made = lambda settings, **_: FormulaEvaluator(settings.problem.architecture)  # noqa: E731
        monkeypatch.setattr("n2n_gym.envs.settings.make_evaluator", made)
    exec(block.replace("1_000", "32").replace("16_000", "1_600").replace("8_000", "80"), names)


def test_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 150
    headings = [number for number, line in enumerate(lines) if line.startswith("## ")]
    for begin, end in pairwise(headings[:4]):  # the three doors
        shown = [line for line in lines[begin + 1 : end] if line and not line.startswith("```")]
        assert len(shown) <= 12, lines[begin]
