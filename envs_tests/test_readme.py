"""The README's Python runs as it stands, with fewer steps and a formula in place of the students' training."""

import re
from pathlib import Path

import pytest
import torch

from agents.search.compress import compress
from envs_tests.conftest import FormulaEvaluator

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
WORDS = {
    0: "load_student",
    1: "get_episode_rewards",
    2: "action_space.sample()",
    3: "RecurrentPPO",
    4: "BidirectionalLstmPolicy",
    5: "Table.load",
}
"""What tells the blocks apart."""


def test_every_block_is_tested():
    assert len(BLOCKS) == len(WORDS)
    for block, word in WORDS.items():
        assert word in BLOCKS[block]


@pytest.mark.parametrize("block", WORDS)
def test_runs_as_it_stands(block, tmp_path, monkeypatch, deeper_toy_teacher, toy_data):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    if "runs/demo" in BLOCKS[block]:
        compress(teacher=deeper_toy_teacher, dataset=toy_data, iterations=1, finalists=1, workers=0, out="runs/demo")
        names["images"] = torch.zeros((2, 1, 8, 8), dtype=torch.uint8)
    else:
        made = lambda settings, **_: FormulaEvaluator(settings.problem.architecture)  # noqa: E731
        monkeypatch.setattr("n2n_gym.envs.settings.make_evaluator", made)
    exec(BLOCKS[block].replace("1_000", "32").replace("16_000", "1_600").replace("8_000", "80"), names)
