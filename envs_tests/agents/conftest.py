from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import n2n_gym  # noqa: F401
from agents.sb3 import BatchedVecEnv
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.models.zoo import network

STAGES = {"removal": "N2N/LayerRemoval-v0", "shrinkage": "N2N/LayerShrink-v0"}
POLICIES = {"removal": "BidirectionalLstmPolicy", "shrinkage": "AutoregressiveLstmPolicy"}


@pytest.fixture
def make_envs() -> Any:
    """Vector environments whose students are judged by a formula."""

    def make(stage: str, count: int = 5, teacher: str = "conv4") -> BatchedVecEnv:
        evaluator = FormulaEvaluator(network(teacher, (1, 8, 8)))
        return BatchedVecEnv(gym.make_vec(STAGES[stage], num_envs=count, teacher=teacher, evaluator=evaluator))

    return make
