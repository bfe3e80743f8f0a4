import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import n2n_gym  # noqa: F401
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network


def make(env_id, count, evaluator):
    return gym.make_vec(env_id, num_envs=count, teacher="conv4", evaluator=evaluator)


@pytest.mark.parametrize("env_id", ["N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0"])
def test_agrees_with_single_environments(env_id):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = make(env_id, 3, evaluator)
    singles = [gym.make(env_id, teacher="conv4", evaluator=evaluator) for _ in range(3)]
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    rng = np.random.default_rng(0)
    for _ in range(2):
        observations, _ = envs.reset(seed=0)
        expected = [env.reset(seed=0)[0] for env in singles]
        while True:
            assert envs.observation_space.contains(observations)
            for i, observation in enumerate(expected):
                for key, value in observation.items():
                    np.testing.assert_array_equal(observations[key][i], value)
            masks = envs.unwrapped.action_masks()
            np.testing.assert_array_equal(masks, [env.unwrapped.action_masks() for env in singles])
            actions = rng.integers(0, envs.single_action_space.n, 3)
            observations, rewards, terminations, truncations, info = envs.step(actions)
            steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
            expected = [step[0] for step in steps]
            np.testing.assert_array_equal(rewards, [step[1] for step in steps])
            np.testing.assert_array_equal(terminations, [step[2] for step in steps])
            assert not truncations.any()
            if terminations.any():
                break
        for key in ("accuracy", "parameters", "macs", "compression", "reason", "violated", "actions"):
            np.testing.assert_array_equal(info[key], [step[4][key] for step in steps])
            assert info[f"_{key}"].all()


def test_terminal_students_are_evaluated_in_one_batch_and_the_next_step_resets():
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = make("N2N/LayerRemoval-v0", 4, evaluator)
    envs.reset()
    rng = np.random.default_rng(1)
    for _ in range(16):
        _, rewards, terminations, _, _ = envs.step(rng.integers(0, 2, 4))
    assert terminations.all()
    assert rewards.any()
    assert len(evaluator.calls) == 1
    observations, rewards, terminations, _, _ = envs.step(np.ones(4, dtype=int))
    assert not terminations.any()
    assert not rewards.any()
    assert (observations["position"] == 0).all()
    assert not observations["architecture"].reshape(4, 16, 9)[..., 8].any()


def test_wrong_use_is_said():
    for number in (0, -1, 2.0, "2", None):
        with pytest.raises(InputError, match=f"num_envs must be a whole number of at least 1, not {number!r}"):
            make("N2N/LayerRemoval-v0", number, "distillation")
        if number not in (-1, None):
            with pytest.raises(InputError, match=f"max_episode_steps must be a whole number of at least 1, .* not {number!r}"):
                gym.make_vec("N2N/LayerRemoval-v0", num_envs=1, teacher="conv4", max_episode_steps=number)
    envs = make("N2N/LayerRemoval-v0", 2, "distillation")
    envs.reset()
    for actions in (np.zeros(3, dtype=int), np.array([0, 2]), np.array([-1, 0]), np.array([0.5, 0])):
        with pytest.raises(gym.error.InvalidAction):
            envs.step(actions)


def test_what_is_refused_changes_nothing():
    """After an episode the next step's actions are ignored; so they are when they come a second time."""
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = make("N2N/LayerRemoval-v0", 2, evaluator)
    envs.reset()
    for step in range(16):
        if step == 3:  # one begins again, so that the two end one after the other
            envs.reset(options={"reset_mask": np.array([False, True])})
        _, _, terminations, _, _ = envs.step(np.ones(2, dtype=int))
    assert terminations.tolist() == [True, False]
    with pytest.raises(gym.error.InvalidAction):
        envs.step(np.array([0, 7]))
    observation, *_ = envs.step(np.array([0, 1]))
    assert observation["position"].ravel().tolist() == [0, 14]


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_each_environment_can_be_asked(mode):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = gym.make_vec("N2N/LayerRemoval-v0", num_envs=2, vectorization_mode=mode, teacher="conv4", evaluator=evaluator)
    envs.reset(seed=0)
    assert [mask.shape for mask in envs.call("action_masks")] == [(2,), (2,)]
    assert [stage.decisions for stage in envs.get_attr("stage")] == [16, 16]
    assert envs.call("set_update", 3) == (None, None)
    assert [judge.update for judge in envs.get_attr("judge")] == [3, 3]
    assert [each.parameters for each in envs.call("preview", [1] * 16)] == [envs.call("preview", [1] * 16)[0].parameters] * 2
    assert envs.get_attr("finished") == (None, None)
    single = gym.make("N2N/LayerRemoval-v0", teacher="conv4", evaluator=evaluator)
    for name in ("action_space", "observation_space", "metadata"):
        assert envs.get_attr(name) == (single.get_wrapper_attr(name),) * 2
    assert envs.call("render") == (None, None)
    envs.set_attr("seen", [3, 3])
    assert envs.get_attr("seen") == (3, 3)
    with pytest.raises(AttributeError):
        envs.call("no_such_thing")


def test_what_environments_share_is_set_for_all():
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = gym.make_vec("N2N/LayerRemoval-v0", num_envs=2, teacher="conv4", evaluator=evaluator)
    envs.set_attr("seen", 4)
    assert envs.get_attr("seen") == (4, 4)
    for values in ([3, 4], [3], [3, 3, 3]):
        with pytest.raises(InputError, match="share seen: give one value, or 2 equal ones"):
            envs.set_attr("seen", values)
    for name in ("finished", "action_space", "step"):
        with pytest.raises(InputError, match=f"{name} of environments side by side cannot be set"):
            envs.set_attr(name, None)
    for name in ("unwrapped", "reset"):
        with pytest.raises(AttributeError, match=f"share their episodes: use {name} of all"):
            envs.get_attr(name)


def test_gymnasiums_own_vectorisation_works_too():
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    envs = gym.make_vec("N2N/LayerRemoval-v0", num_envs=2, vectorization_mode="sync", teacher="conv4", evaluator=evaluator)
    envs.reset(seed=0)
    for _ in range(16):
        _, _, terminations, _, _ = envs.step(envs.action_space.sample())
    assert terminations.all()
