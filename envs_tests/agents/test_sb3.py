import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.algorithms.reinforce import Reinforce
from agents.algorithms.sb3 import BatchedVecEnv, EncodedVecEnv, PolicyUpdates
from envs_tests.agents.conftest import POLICIES, STAGES
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.envs.wrappers import EncodedObservation
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network

ALGORITHMS = {
    "PPO": lambda env: PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1),
    "A2C": lambda env: A2C("MultiInputPolicy", env),
    "RecurrentPPO": lambda env: RecurrentPPO("MultiInputLstmPolicy", env, n_steps=32, batch_size=32, n_epochs=1),
    "MaskablePPO": lambda env: MaskablePPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_swap_in(name, stage, make_envs):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    for env in (gym.make(STAGES[stage], evaluator=evaluator), make_envs(stage, 2)):
        model = ALGORITHMS[name](env).learn(64)
        assert model.num_timesteps >= 64
        assert model.ep_info_buffer


def test_the_adapter_restarts_episodes_and_tells_their_ends(make_envs):
    envs = make_envs("removal", 3)
    observation = envs.reset()
    assert envs.get_attr("finished") == [None] * 3
    for step in range(16):
        assert (observation["position"] == step).all()
        observation, rewards, finished, infos = envs.step(np.zeros(3, dtype=int))
        assert all(info["actions"].tolist() == [0] * (step + 1) + [-1] * (15 - step) for info in infos)
    assert finished.all()
    assert (observation["position"] == 0).all()
    assert rewards.dtype == np.float32
    for i, info in enumerate(infos):
        assert info["terminal_observation"]["position"] == 16
        assert info["episode"]["r"] == rewards[i]
        assert info["episode"]["l"] == 16
        assert info["actions"].tolist() == [0] * 16
    assert [f.reward for f in envs.get_attr("finished")] == [-1.0] * 3
    assert envs.get_attr("num_envs", 1) == [3]
    assert len(envs.get_attr("finished", [0, 2])) == 2


def test_the_adapter_refuses_to_change_for_some_what_all_share(make_envs):
    envs = make_envs("removal", 3)
    envs.set_attr("render_mode", "ansi")
    assert envs.get_attr("render_mode") == ["ansi"] * 3
    with pytest.raises(InputError, match="cannot set render_mode for some"):
        envs.set_attr("render_mode", None, indices=[0, 1])
    with pytest.raises(InputError, match="cannot call set_update for some"):
        envs.env_method("set_update", 3, indices=0)
    assert envs.env_method("set_update", 3, indices=range(3)) == [None] * 3
    assert len(envs.env_method("action_masks", indices=[1])) == 1
    with pytest.raises(InputError, match="without autoreset_mode"):
        BatchedVecEnv(gym.make_vec(STAGES["removal"], num_envs=2, autoreset_mode="SameStep"))


def test_the_adapter_answers_as_gymnasiums_and_stable_baselines_own(make_envs):
    envs = make_envs("removal", 2)
    single = DummyVecEnv([lambda: gym.make(STAGES["removal"], evaluator="table")] * 2)
    for name in ("action_space", "observation_space", "metadata", "render_mode", "finished"):
        assert envs.get_attr(name, [1]) == single.get_attr(name, [1]), name
    assert envs.get_attr("stage")[0].teacher == single.get_attr("stage")[0].teacher
    for name in ("action_masks", "set_update", "step"):
        assert envs.has_attr(name)
        assert callable(envs.get_attr(name)[0])
    assert not envs.has_attr("no_such_thing")
    for each in (envs, single):
        each.reset()
        assert np.array_equal(each.env_method("action_masks", indices=1), [[1, 0]])
        assert each.env_method("render") == [None] * 2


@pytest.mark.parametrize("encoding", ["layer", "flat"])
def test_observations_are_encoded_round_stable_baselines_own_vector_environment(encoding, make_envs):
    played = []
    for envs in (make_vec_env(STAGES["removal"], 2, env_kwargs={"evaluator": "table"}), make_envs("removal", 2)):
        encoded = EncodedVecEnv(envs, encoding)
        observations = [encoded.reset()]
        for _ in range(16):
            observation, _, dones, infos = encoded.step(np.zeros(2, dtype=int))
            observations.append(observation)
        assert dones.all()
        played.append([*observations, *(info["terminal_observation"] for info in infos)])
    for one, other in zip(*played, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype == np.float32


def test_what_cannot_be_encoded_is_said():
    with pytest.raises(TypeError, match="EncodedVecEnv wraps compression environments side by side, not <.*DummyVecEnv"):
        EncodedVecEnv(make_vec_env("CartPole-v1"))
    env = gym.wrappers.FlattenObservation(gym.make(STAGES["removal"], evaluator="table"))
    for wrap in (lambda: EncodedObservation(env), lambda: EncodedVecEnv(DummyVecEnv([lambda: env]))):
        with pytest.raises(InputError, match="encoded as the compression environment gives them, not Box"):
            wrap()


def test_the_adapter_seeds_each_environment_and_draws_them():
    envs = BatchedVecEnv(gym.make_vec(STAGES["removal"], num_envs=2, render_mode="rgb_array"))
    envs.seed(3)
    envs.reset()
    assert envs.get_attr("np_random_seed") == [3, 4]
    assert [image.shape for image in envs.get_images()] == [(300, 1000, 3)] * 2
    assert envs.render().ndim == 3


def test_only_our_vector_environments_are_adapted():
    envs = gym.make_vec(STAGES["removal"], num_envs=2)
    with pytest.raises(TypeError, match="unwrapped, not RecordEpisodeStatistics"):
        BatchedVecEnv(gym.wrappers.vector.RecordEpisodeStatistics(envs))


def test_masks_reach_sb3_contrib(make_envs):
    envs = make_envs("removal", 2)
    envs.reset()
    assert is_masking_supported(envs)
    np.testing.assert_array_equal(get_action_masks(envs), [[True, False]] * 2)


def test_evaluate_policy_of_stable_baselines(make_envs):
    envs = make_envs("removal", 5)
    agent = Reinforce(POLICIES["removal"], envs, seed=0)
    rewards, lengths = evaluate_policy(agent, envs, n_eval_episodes=10, deterministic=False, return_episode_rewards=True)
    assert lengths == [16] * 10
    assert -1 <= min(rewards) < max(rewards) < 1


def test_policy_updates_of_an_off_policy_algorithm_are_not_counted_in_silence():
    env = EncodedObservation(gym.make("N2N/LayerRemoval-v0", evaluator="table"), "flat")
    agent = DQN("MlpPolicy", env, buffer_size=10)
    with pytest.raises(InputError, match="DQN has no policy updates of whole batches to count"):
        agent.learn(20, callback=PolicyUpdates())
