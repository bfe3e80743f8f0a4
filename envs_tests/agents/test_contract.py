"""The package's own algorithms, and one of an example, by the suite that others use for theirs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from agents.algorithms.planned import RandomSearch
from agents.algorithms.reinforce import Reinforce
from n2n_gym.testing.agent import AgentSuite

EXAMPLES = Path(__file__).parents[2] / "examples"


class TestReinforce(AgentSuite):
    def search(self, env, evaluations, seed):
        stage = env.unwrapped.stage
        policy = "AutoregressiveLstmPolicy" if stage.shows_previous_action else "BidirectionalLstmPolicy"
        agent = Reinforce(policy, env, seed=seed).learn(evaluations * stage.decisions)
        state = None

        def act(observation, greedy):
            nonlocal state
            start = np.array([observation["position"] == 0])
            action, state = agent.predict(observation, state, start, deterministic=greedy)
            return int(action)

        return act


class TestRandomSearch(AgentSuite):
    def search(self, env, evaluations, seed):
        RandomSearch(env, seed=seed).learn(evaluations * env.unwrapped.stage.decisions)


class TestTheExample(AgentSuite):
    environments = ("N2N/LayerRemoval-v0",)

    def search(self, env, evaluations, seed):
        spec = importlib.util.spec_from_file_location("hill_climbing", EXAMPLES / "hill_climbing.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.search(env, evaluations, seed)


class Careless(AgentSuite):
    """Draws from random numbers that it shares with everybody, and stops too early."""

    environments = ("N2N/LayerRemoval-v0",)

    def search(self, env, evaluations, seed):
        for _ in range(evaluations - 1):
            env.reset()
            terminated = False
            while not terminated:
                _, _, terminated, _, _ = env.step(np.random.randint(2))  # noqa: NPY002
        return lambda observation, greedy: observation["layer"].fill(0) or 0


@pytest.mark.parametrize(
    "test",
    [
        "test_plays_as_many_episodes_as_it_may",
        "test_the_same_seed_plays_the_same_episodes_whatever_else_draws",
        "test_its_policy_plays_whole_episodes",
    ],
)
def test_the_suite_finds_what_is_wrong(test):
    with pytest.raises(AssertionError):
        getattr(Careless(), test)()
