"""The policy that learns from imagined episodes."""

import numpy as np
import pytest
import torch

from agents.algorithms.dyna import Dyna
from agents.algorithms.plans import uniform_plans
from agents.algorithms.registry import algorithm
from agents.algorithms.surrogate import AccuracyModel
from envs_tests.agents.conftest import POLICIES
from n2n_gym.envs.judge import Judge

NUMBERS = {"removal": 1, "shrinkage": 2}
EACH = pytest.mark.parametrize("stage", NUMBERS)


def learn(agent, envs, updates):
    return agent.learn(updates * 5 * envs.envs.stage.decisions, reset_num_timesteps=False, log_interval=10**9)


@EACH
def test_trains_each_student_once_and_finds_better_ones_than_it_began_with(make_envs, stage):
    envs = make_envs(stage)
    agent = learn(algorithm("dyna").make(envs, stage=NUMBERS[stage], seed=0), envs, 6)
    trained = [fingerprint for call in envs.envs.judge.evaluator.calls for fingerprint in call]
    assert len(trained) == len(set(trained)) == len(agent.known) == 30
    assert max(agent.known.returns[5:]) > max(agent.known.returns[:5])


def test_its_policy_learns_where_the_rewards_are(make_envs):
    envs = make_envs("removal")

    def mean(agent):
        rows, masks = (torch.as_tensor(part).expand(100, -1, -1) for part in (agent.stage.rows, agent.stage.masks))
        plans = agent.policy.play(rows, masks).numpy()
        return np.mean([finished.reward for finished in envs.envs.judge.finish(plans.tolist(), ())])

    agent = algorithm("dyna").make(envs, stage=1, seed=0)
    before = mean(agent)
    assert mean(learn(agent, envs, 8)) > before + 0.2


@EACH
def test_it_imagines_by_the_model_and_trains_nothing(make_envs, stage, monkeypatch):
    envs = make_envs(stage)
    agent = learn(algorithm("dyna").make(envs, stage=NUMBERS[stage], seed=0), envs, 1)
    asked = []
    monkeypatch.setattr(Judge, "finish", lambda *_: pytest.fail("a student was trained"))
    accuracies = AccuracyModel.accuracies
    monkeypatch.setattr(AccuracyModel, "accuracies", lambda *given: asked.append(given) or accuracies(*given))
    updates = agent._n_updates
    proposed = agent._proposed(agent.known, 5)
    assert len(asked) >= agent.imagined_updates
    assert agent._n_updates == updates  # what limits tighten with is real updates
    assert len(agent.known.new(proposed)) == 5


def test_imagined_returns_are_exact_but_for_the_accuracy(make_envs):
    envs = make_envs("removal")
    agent = learn(algorithm("dyna").make(envs, stage=1, seed=0), envs, 1)
    agent.optimism = 2.0
    known, judge = agent.known, envs.envs.judge

    class Half:
        def accuracies(self, features, deviations):
            return np.full(len(features), 0.5 + 0.1 * deviations)

        def kept(self, features, prospects):
            return np.full(len(features), 0.75)

    [(unknown, _), *_] = known.new(uniform_plans(agent.stage, agent.rng, 20)).values()
    plans = [*known.plans[:2], np.zeros(16, dtype=np.int64), unknown]
    returns = agent._imagined_returns(known, Half(), [known.look(plan) for plan in plans])
    previews = [judge.preview(plan) for plan in plans]
    assert returns[:2].tolist() == known.returns[:2]
    assert previews[2].reason
    assert returns[2] == -1
    assert returns[3] == pytest.approx(0.75 * 0.7 * previews[3].worth - 0.25)


@EACH
def test_a_saved_one_acts_without_an_environment(make_envs, stage, tmp_path):
    envs = make_envs(stage)
    agent = learn(algorithm("dyna").make(envs, stage=NUMBERS[stage], seed=0), envs, 2)
    agent.save(tmp_path / "a.policy")
    observation, _ = envs.envs.reset(seed=0)
    expected, _ = agent.predict(observation, deterministic=True)
    assert (Dyna.load(tmp_path / "a.policy").predict(observation, deterministic=True)[0] == expected).all()


@EACH
def test_drawing_a_whole_episode_is_drawing_decision_after_decision(make_envs, stage):
    envs = make_envs(stage, 3)
    agent = Dyna(POLICIES[stage], envs, n_rollouts=3, seed=0)
    rows, masks = (torch.as_tensor(part).expand(3, -1, -1) for part in (agent.stage.rows, agent.stage.masks))
    agent.policy.generator.manual_seed(1)
    together = agent.policy.play(rows, masks)
    agent.policy.generator.manual_seed(1)
    observation, state = envs.reset(), None
    for position in range(agent.stage.decisions):
        chosen, state = agent.policy.predict(observation, state, action_masks=masks[:, position])
        assert chosen.tolist() == together[:, position].tolist()
        observation, *_ = envs.step(chosen)


def test_wrong_numbers_are_refused(make_envs):
    with pytest.raises(ValueError, match="warm_up must be at least 1"):
        Dyna(POLICIES["removal"], make_envs("removal"), warm_up=0)
    with pytest.raises(ValueError, match=r"n_rollouts \(4\) must be the number of environments \(2\)"):
        Dyna(POLICIES["removal"], make_envs("removal", 2), n_rollouts=4)
