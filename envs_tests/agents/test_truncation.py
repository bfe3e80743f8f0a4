"""Episodes that are cut short end without a student; no algorithm falls over them."""

import gymnasium as gym
import numpy as np
import pytest

from agents.algorithms.planned import RandomSearch
from agents.algorithms.registry import ALGORITHMS, algorithm
from agents.algorithms.sb3 import BatchedVecEnv, PolicyUpdates
from envs_tests.agents.conftest import POLICIES, STAGES
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.networks.zoo import network


@pytest.fixture
def short_envs():
    """Episodes of five steps side by side."""

    def make(stage="removal", **settings):
        evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
        envs = gym.make_vec(STAGES[stage], num_envs=5, max_episode_steps=5, teacher="conv4", evaluator=evaluator, **settings)
        return BatchedVecEnv(envs)

    return make


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_learn_from_truncated_episodes(name, stage, short_envs):
    agent = algorithm(name).make(short_envs(stage), stage=1 if stage == "removal" else 2, seed=0)
    agent.learn(100, callback=PolicyUpdates())
    assert agent.num_timesteps >= 100
    assert {(episode["r"], episode["l"]) for episode in agent.ep_info_buffer} == {(0.0, 5)}
    assert agent.get_env().get_attr("finished") == [None] * 5


@pytest.mark.parametrize("name", ["reinforce", "actor-critic", "evolution", "ppo"])
def test_under_gymnasiums_own_time_limit(name):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    env = gym.make(STAGES["removal"], max_episode_steps=5, teacher="conv4", evaluator=evaluator)
    kind = algorithm(name).kind
    policy = {"ppo": "MultiInputPolicy", "evolution": "PlanPolicy"}.get(name, POLICIES["removal"])
    agent = kind(env=env, policy=policy, **({"n_steps": 10, "batch_size": 10} if name == "ppo" else {}))
    agent.learn(20)
    assert {episode["l"] for episode in agent.ep_info_buffer} == {5}
    assert evaluator.calls == []


def test_a_truncated_episode_is_never_the_best(short_envs):
    agent = RandomSearch(short_envs(), seed=0)
    agent.learn(25)
    assert agent.num_timesteps == 25
    assert not agent.best_keeps
    envs = short_envs()
    envs.reset()
    for _ in range(5):
        observation, _rewards, dones, infos = envs.step(np.zeros(5, dtype=int))
    assert dones.all()
    assert (observation["position"] == 0).all()
    for info in infos:
        assert info["TimeLimit.truncated"] is True
        assert info["actions"].tolist() == [0] * 5 + [-1] * 11
        assert info["terminal_observation"]["position"] == 5
