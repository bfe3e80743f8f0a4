"""A search's figures in TensorBoard and at Weights & Biases."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.search.compress import compress
from envs_tests.agents.conftest import rows
from n2n_gym.errors import InputError


class Board(SimpleNamespace):
    """Stands in for the package `wandb`: keeps what it is told."""

    def __init__(self):
        super().__init__(runs=[], logged=[], finished=0)

    def init(self, **settings):
        self.runs.append(settings)
        return self

    def define_metric(self, name, step_metric):
        assert step_metric.startswith(name.removesuffix("*"))

    def log(self, numbers):
        self.logged.append(numbers)

    def finish(self):
        self.finished += 1


def test_both_are_told_what_the_history_says(settings, monkeypatch):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = Board()
    monkeypatch.setitem(sys.modules, "wandb", board)
    compress(**settings, agent="reinforce", tensorboard=True, wandb="mine", finalists=0, speed=False)
    history = rows(settings["out"])
    for stage in ("1", "2"):
        updates = {}
        for row in history:
            if row["stage"] == stage:
                updates.setdefault(int(row["iteration"]) + 1, []).append(float(row["reward"]))
        means = {update: sum(rewards) / len(rewards) for update, rewards in updates.items()}
        events = reader.EventAccumulator(str(Path(settings["out"]) / "tensorboard" / f"stage{stage}"))
        events.Reload()
        assert {each.step: each.value for each in events.Scalars("search/reward")} == pytest.approx(means)
        assert "train/entropy" in events.Tags()["scalars"]
        told = {each[f"stage{stage}/update"]: each for each in board.logged if f"stage{stage}/update" in each}
        assert {update: each[f"stage{stage}/search/reward"] for update, each in told.items()} == pytest.approx(means)
    assert {run["project"] for run in board.runs} == {"mine"}
    assert len({run["id"] for run in board.runs}) == 1  # one run there, in both stages and when it is gone on with
    assert board.finished == len(board.runs) == 2


@pytest.mark.parametrize("option", [{"wandb": "mine"}, {"tensorboard": True}])
def test_a_missing_package_is_named_before_anything_is_trained(settings, monkeypatch, option):
    for name in ("wandb", "tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"pip install 'n2n-gym\[{next(iter(option))}\]'"):
        compress(**settings, **option)
    assert not Path(settings["out"]).exists()
