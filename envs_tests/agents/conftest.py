from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import n2n_gym  # noqa: F401
from agents.algorithms.sb3 import BatchedVecEnv
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.models import speed
from n2n_gym.networks.zoo import network

STAGES = {"removal": "N2N/LayerRemoval-v0", "shrinkage": "N2N/LayerShrink-v0"}
POLICIES = {"removal": "BidirectionalLstmPolicy", "shrinkage": "AutoregressiveLstmPolicy"}


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end with a comparison of speed: here a few passes in torch do (`models/test_speed.py` has all engines)."""
    for name, value in (("WARM_UP", 0), ("FEWEST", 2), ("MOST", 2), ("ONNX_PACKAGES", ("not_installed",))):
        monkeypatch.setattr(speed, name, value)


@pytest.fixture
def make_envs() -> Any:
    """Vector environments whose students are judged by a formula."""

    def make(stage: str, count: int = 5, teacher: str = "conv4") -> BatchedVecEnv:
        evaluator = FormulaEvaluator(network(teacher, (1, 8, 8)))
        return BatchedVecEnv(
            gym.make_vec(STAGES[stage], num_envs=count, teacher=teacher, evaluator=evaluator, lookahead=False)
        )

    return make


@pytest.fixture
def settings(deeper_toy_teacher, toy_data, tmp_path):
    return {
        "teacher": deeper_toy_teacher,
        "dataset": toy_data,
        "iterations": 3,
        "rollouts": 2,
        "workers": 0,
        "device": "cpu",
        "final_trainings": 1,
        "beside": (),
        "out": str(tmp_path / "run"),
    }


def timeless(result):
    """The result without times."""
    kept = {key: value for key, value in result.items() if key not in ("speed", "started", "finished")}
    kept["search"] = {key: value for key, value in kept["search"].items() if key != "seconds"}
    return kept


def rows(folder):
    with (Path(folder) / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))
