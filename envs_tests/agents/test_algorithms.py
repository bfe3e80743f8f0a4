import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_checker import check_env

import n2n_gym  # noqa: F401
from agents.algorithms.registry import ALGORITHMS, algorithm
from agents.algorithms.sb3 import ENVIRONMENTS, BatchedVecEnv, EncodedVecEnv, PolicyUpdates
from agents.commands.main import main
from envs_tests.agents.conftest import STAGES
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.envs.wrappers import ENCODINGS, EncodedObservation
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network

NUMBERS = {"removal": 1, "shrinkage": 2}


class Rewards(BaseCallback):
    def __init__(self):
        super().__init__()
        self.values = []

    def _on_step(self):
        if self.locals["dones"].all():
            self.values += self.locals["rewards"].tolist()
        return True


class Killed(Rewards):
    """Saves the agent between two updates, and ends the process's work there."""

    def __init__(self, path, kind, *, after):
        super().__init__()
        self.path, self.kind, self.after = path, kind, after

    def _on_rollout_start(self):
        if len(self.values) == 5 * self.after:
            self.kind.save(self.model, self.path)
            raise KeyboardInterrupt


@pytest.fixture(params=["removal", "shrinkage"])
def stage(request):
    return request.param


def test_by_name(capsys):
    with pytest.raises(SystemExit):
        main(["compress", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ALGORITHMS)
    with pytest.raises(InputError, match="Did you mean 'ppo'"):
        algorithm("pppo")


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_learns_saves_and_goes_on_as_if_it_had_not_stopped(name, stage, make_envs, tmp_path, few_candidates):
    def steps(envs, updates):
        return updates * 5 * envs.envs.stage.decisions

    def learn(agent, envs, updates, **settings):
        rewards = Rewards()
        agent.learn(steps(envs, updates), callback=rewards, log_interval=10**9, **settings)
        return rewards.values

    kind, number = ALGORITHMS[name], NUMBERS[stage]
    envs = make_envs(stage)
    whole = learn(kind.make(envs, stage=number, seed=0), envs, 5)
    assert len(whole) == 25
    envs = make_envs(stage)
    first = kind.make(envs, stage=number, seed=0)
    killed = Killed(tmp_path / "a.policy", kind, after=2)
    with pytest.raises(KeyboardInterrupt):
        first.learn(steps(envs, 5), callback=killed, log_interval=10**9)
    start = killed.values
    np.random.seed(99)  # noqa: NPY002  what happens in between is of no account
    envs = make_envs(stage)
    second = kind.load(tmp_path / "a.policy", envs, stage=number, seed=7)
    rest = learn(second, envs, 3, reset_num_timesteps=False)
    assert start + rest == whole
    assert second.num_timesteps == steps(envs, 5)

    other = next(n for n in sorted(ALGORITHMS) if ALGORITHMS[n].kind is not kind.kind)
    with pytest.raises(InputError, match="was saved by"):
        ALGORITHMS[other].load(tmp_path / "a.policy", envs, stage=number, seed=0)


@pytest.mark.parametrize(
    ("name", "first"), [("a2c", 50), ("ppo", 50), ("recurrent-ppo", 50), ("maskable-ppo", 50), ("evolution", 10)]
)
def test_gets_better(name, first, make_envs):
    """`first`: episodes from before it learns; evolution's first population."""
    envs = make_envs("removal")
    rewards = Rewards()
    agent = ALGORITHMS[name].make(envs, stage=1, seed=1)
    agent.learn(30 * 5 * 16, callback=rewards, log_interval=10**9)
    assert np.mean(rewards.values[-50:]) > np.mean(rewards.values[:first]) + 0.1


def test_maskable_ppo_never_removes_a_protected_layer(make_envs):
    envs = make_envs("removal")
    ALGORITHMS["maskable-ppo"].make(envs, stage=1, seed=0).learn(5 * 16 * 3)
    protected = ~envs.envs.stage.masks[:, 1]
    for finished in envs.get_attr("finished"):
        assert not np.array(finished.actions)[protected].any()


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        (A2C, "MultiInputPolicy"),
        (PPO, "MultiInputPolicy"),
        (MaskablePPO, "MultiInputPolicy"),
        (RecurrentPPO, "MultiInputLstmPolicy"),
    ],
)
def test_out_of_the_box_on_the_bare_environment(kind, policy, stage):
    env = gym.make(STAGES[stage], evaluator=FormulaEvaluator(network("conv4", (1, 8, 8))))
    agent = kind(policy, env, n_steps=32, seed=0, **({} if kind is A2C else {"batch_size": 32})).learn(64)
    assert len(agent.ep_info_buffer) > 0


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_encoded_observations(encoding, stage, make_envs):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    env = EncodedObservation(gym.make(STAGES[stage], evaluator=evaluator), encoding)
    check_env(env)
    envs = EncodedVecEnv(make_envs(stage, 3), encoding)
    vectors = envs.reset()
    single, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    done = False
    seen = []
    while not done:
        np.testing.assert_array_equal(vectors[0], single)
        assert env.observation_space.contains(single)
        seen.append(single)
        action = int(rng.integers(env.action_space.n))
        single, _, done, _, _ = env.step(action)
        vectors, _, _, infos = envs.step(np.full(3, action))
    np.testing.assert_array_equal(infos[0]["terminal_observation"], single)
    assert len(np.unique(np.array(seen), axis=0)) == len(seen)  # every decision looks different


def test_the_layer_encoding_has_one_space_for_every_depth(stage):
    shallow, deep = (EncodedObservation(gym.make(STAGES[stage], teacher=name)) for name in ("conv4", "resnet34"))
    assert shallow.observation_space == deep.observation_space
    PPO("MlpPolicy", shallow).set_env(deep)  # Stable-Baselines3 compares the spaces
    with pytest.raises(InputError, match="Did you mean 'layer'"):
        EncodedObservation(gym.make(STAGES[stage]), "layers")
    with pytest.raises(TypeError, match="not CartPoleEnv"):
        EncodedObservation(gym.make("CartPole-v1"))


@pytest.mark.parametrize("name", ["ppo", "recurrent-ppo", "reinforce", "evolution"])
def test_limits_tighten_with_policy_updates_whoever_learns(name):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = BatchedVecEnv(gym.make_vec(STAGES["removal"], num_envs=5, evaluator=evaluator))
    seen = []
    set_update = envs.envs.set_update
    envs.envs.set_update = lambda update: seen.append(update) or set_update(update)
    agent = ALGORITHMS[name].make(envs, stage=1, seed=0)
    agent.learn(3 * 5 * 16, callback=PolicyUpdates(), log_interval=10**9)
    assert sorted(set(seen)) == [0, 1, 2]
    agent.learn(2 * 5 * 16, callback=PolicyUpdates(), log_interval=10**9, reset_num_timesteps=False)
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]


def of_stage(name, count=5):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    return BatchedVecEnv(gym.make_vec(ENVIRONMENTS[name], num_envs=count, evaluator=evaluator))


@pytest.mark.parametrize("name", ["reinforce", "dyna", "recurrent-ppo"])
def test_an_agent_of_one_stage_is_none_of_another_with_as_many_actions(name, tmp_path):
    path, by = tmp_path / "shrink.policy", ALGORITHMS[name]
    by.save(by.make(of_stage("shrink"), stage=2, seed=0), path)
    with pytest.raises(InputError, match="was trained for stage shrink, the environment is of stage both"):
        by.load(path, of_stage("both"), stage=2, seed=0)
    with pytest.raises(InputError, match="was trained for stage shrink, the environment is of stage both"):
        by.transfer(by.make(of_stage("both"), stage=2, seed=0), path)
    by.load(path, of_stage("shrink"), stage=2, seed=0)


def test_other_networks_tell_accuracies_but_no_policy_where_an_episode_has_both_stages():
    fresh, informed = (ALGORITHMS[name].make(of_stage("both"), stage=2, seed=0) for name in ("dyna", "dyna-pretrained"))
    weights = [agent.policy.state_dict() for agent in (fresh, informed)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert (fresh.prior, informed.known.prior) == (None, informed.prior) != (None, None)
    shrinking = ALGORITHMS["dyna-pretrained"].make(of_stage("shrink"), stage=2, seed=0)
    assert not torch.equal(shrinking.policy.state_dict()["action_net.weight"], weights[0]["action_net.weight"])
