"""What Gymnasium promises of every environment, held against its own vectorisation."""

import copy
import pickle
import threading

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks

import n2n_gym  # noqa: F401
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.envs import render
from n2n_gym.envs.wrappers import EncodedObservation
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network
from n2n_gym.tables import Table

IDS = ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0")
TYPES = {
    "accuracy": float,
    "teacher_accuracy": float,
    "compression": float,
    "parameters": int,
    "macs": int,
    "reason": str,
    "violated": str,
}


def settings():
    return {"teacher": "conv4", "evaluator": FormulaEvaluator(network("conv4", (1, 8, 8)))}


def assert_same(one, other):
    """Equal values of equal types, however deep."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype == object:
            for each, twin in zip(one.flat, other.flat, strict=True):
                assert_same(each, twin)
        else:
            np.testing.assert_array_equal(one, other)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for each, twin in zip(one, other, strict=True):
            assert_same(each, twin)
    else:
        assert type(one) is type(other)
        assert one == other


@pytest.mark.parametrize("env_id", IDS)
def test_info_has_the_same_keys_and_types_at_every_step(env_id):
    env = gym.make(env_id, **settings(), constraints="accuracy>=0.95")
    env.action_space.seed(0)
    for _ in range(3):
        infos = [env.reset(seed=0)[1]]
        over = False
        while not over:
            _, _, over, _, info = env.step(env.action_space.sample(mask=env.action_masks()))
            infos.append(info)
        for info in infos:
            assert {key: type(value) for key, value in info.items() if key != "actions"} == TYPES
            assert (info["actions"].dtype, info["actions"].shape) == (np.int64, (env.unwrapped.stage.decisions,))
        taken = [(info["actions"] >= 0).sum() for info in infos]
        assert taken == list(range(len(infos)))
        assert infos[-1]["reason"] or infos[-1]["violated"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("limit", [None, 5])
def test_a_vector_environment_does_what_gymnasiums_own_does(env_id, mode, limit):
    given = {**settings(), "max_episode_steps": limit}
    envs = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **given)
    others = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **given)
    assert envs.metadata["autoreset_mode"] is others.metadata["autoreset_mode"] is mode
    assert_same(envs.reset(seed=[3, None, 5]), others.reset(seed=[3, None, 5]))
    assert envs.np_random_seed[::2] == others.np_random_seed[::2] == (3, 5)
    rng = np.random.default_rng(0)
    resets = 0
    for step in range(40):
        actions = rng.integers(0, envs.single_action_space.n, 3)
        stepped, expected = envs.step(actions), others.step(actions)
        assert_same(stepped, expected)
        assert_same(tuple(envs.action_masks()), others.call("action_masks"))
        over = stepped[2] | stepped[3]
        if mode is AutoresetMode.DISABLED and (over.any() or step == 2):
            mask = over if over.any() else np.array([False, True, False])  # from then on, episodes are not in step
            resets += 1
            assert_same(envs.reset(options={"reset_mask": mask}), others.reset(options={"reset_mask": mask.copy()}))
    assert resets or mode is not AutoresetMode.DISABLED


def test_without_autoreset_an_episode_that_is_over_must_be_reset():
    envs = gym.make_vec(IDS[0], num_envs=2, autoreset_mode="Disabled", max_episode_steps=1, **settings())
    envs.reset()
    envs.step([0, 0])
    with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
        envs.step([0, 0])


def test_wrong_use_of_a_vector_environment_is_said():
    envs = gym.make_vec(IDS[0], num_envs=2, **settings())
    with pytest.raises(gym.error.ResetNeeded):
        envs.step([0, 0])
    with pytest.raises(ValueError, match="a seed for each of 2"):
        envs.reset(seed=[1, 2, 3])
    for mask, error in (([True, False], TypeError), (np.array([1, 0]), TypeError), (np.zeros(2, bool), ValueError)):
        with pytest.raises(error, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(gym.error.ResetNeeded):  # the other one did not start
        envs.step([0, 0])
    envs.reset()
    for actions in ([0, 2], [[0], [0]], [0, float("nan")], ["a", "b"], [[0, 1], [0]], np.array([0, 2**63], dtype=np.uint64)):
        with pytest.raises(gym.error.InvalidAction):
            envs.step(actions)
    for name, value in (("autoreset_mode", "never"), ("max_episode_steps", 0), ("render_mode", "human")):
        with pytest.raises(InputError):
            gym.make_vec(IDS[0], num_envs=2, **settings(), **{name: value})


def test_actions_of_any_whole_numbers():
    torch = pytest.importorskip("torch")
    envs = gym.make_vec(IDS[1], num_envs=2, **settings())
    whole = [[3, 4], (3, 4), torch.tensor([3, 4]), torch.tensor([3, 4], dtype=torch.uint8)]
    whole += [np.array([3, 4], dtype=dtype) for dtype in (np.int8, np.uint16, np.int32, np.uint64, np.float32)]
    for actions in whole:
        envs.reset()
        observation, *_ = envs.step(actions)
        assert observation["previous_action"].tolist() == [4, 5]


@pytest.mark.parametrize("env_id", IDS)
def test_observations_and_infos_stay_as_they_were_given(env_id):
    for env in (gym.make(env_id, **settings()), gym.make_vec(env_id, num_envs=2, **settings())):
        env.action_space.seed(0)
        given = [env.reset(seed=0)]
        kept = copy.deepcopy(given)
        for _ in range(20):
            given.append(env.step(env.action_space.sample()))
            kept.append(copy.deepcopy(given[-1]))
            if given[-1][2] is True:
                break
        assert_same(given, kept)


def ways_to_copy():
    return {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


@pytest.mark.parametrize("way", ways_to_copy())
@pytest.mark.parametrize("judged_by", ["formula", "table", "training"])
def test_copies_go_on_alike_at_any_moment(way, judged_by, toy_tables):
    given = {
        "teacher": str(toy_tables / "removal.json"),
        "dataset": str(toy_tables / "toy.npz"),
        "device": "cpu",
    }
    if judged_by == "table":
        given |= {"evaluator": f"table:{toy_tables / 'removal.npz'}", "seed": "draw"}
    if judged_by == "training":
        given |= {"device": "cpu"}
    if judged_by == "formula":
        given = settings()
    for env in (
        gym.make(IDS[0], render_mode="rgb_array", **given),
        gym.make_vec(IDS[0], num_envs=2, render_mode="rgb_array", **given),
    ):
        env.action_space.seed(0)
        env.reset(seed=7)
        single = isinstance(env, gym.Env)
        for _ in range(2):
            for position in range(env.unwrapped.stage.decisions):
                if position in (0, 3):
                    env.render()
                    other = ways_to_copy()[way](env)
                    assert_same(other.render(), env.render())
                    assert_same(rest(other, single), rest(ways_to_copy()[way](env), single))
                    other.close()
                env.step(env.action_space.sample())
            env.reset()
        other = ways_to_copy()[way](env)
        assert_same(rest(env, single), rest(other, single))
        env.close()


def rest(env, single):
    """What is left of an episode and the whole next one, always the same actions."""
    steps = []
    for _ in range(env.unwrapped.stage.decisions * 2):
        steps.append(env.step(0 if single else [0, 1]))
        if single and steps[-1][2]:
            steps.append(env.reset())
    return steps


@pytest.mark.parametrize("count", [None, 2])
def test_made_in_one_thread_and_used_in_another(count, toy_teacher, toy_data):
    def used(env):
        env.reset(seed=0)
        env.render()
        for _ in range(3):
            last = env.step(8 if count is None else [8, 8])
        steps.append(last)

    steps = []
    given = {"teacher": toy_teacher, "dataset": toy_data, "device": "cpu", "render_mode": "rgb_array"}
    env = gym.make(IDS[1], **given) if count is None else gym.make_vec(IDS[1], num_envs=count, **given)
    for _ in range(2):
        thread = threading.Thread(target=used, args=(env,))
        thread.start()
        thread.join()
    used(env)
    assert len(steps) == 3
    assert np.all(steps[0][1] > 0)  # trained
    assert_same(steps[0], steps[1])
    assert_same(steps[0], steps[2])
    env.close()


def test_each_environment_draws_from_its_own_seed(toy_tables, tmp_path):
    three = Table.load(str(toy_tables / "removal.npz"))  # of four trainings two are for searching
    names = ("reason", "correct", "test_correct", "seconds")
    of_trainings = {name: np.concatenate([three.columns[name], three.columns[name][:, :1]], 1) for name in names}
    Table({**three.facts, "seeds": [0, 1, 2, 3]}, three.columns | of_trainings).save(tmp_path / "four.npz")
    given = {
        "teacher": str(toy_tables / "removal.json"),
        "dataset": str(toy_tables / "toy.npz"),
        "evaluator": f"table:{tmp_path / 'four.npz'}",
        "seed": "draw",
    }
    actions = [0, 0, 1, 0, 0, 0]
    envs = gym.make_vec(IDS[0], num_envs=12, **given)
    envs.reset(seed=[*range(10), 3, 3])
    expected = []
    for seed in (*range(10), 3, 3):
        env = gym.make(IDS[0], **given)
        env.reset(seed=seed)
        expected.append([env.step(action)[1] for action in actions][-1])
    for action in actions:
        _, rewards, *_ = envs.step([action] * 12)
    assert rewards.tolist() == expected
    assert len(set(expected)) > 1
    envs.reset(seed=0)
    assert envs.np_random_seed == tuple(range(12))


@pytest.mark.parametrize(
    "given", [{}, {"max_episode_steps": 4}, {"disable_env_checker": True}, {"render_mode": "ansi", "max_episode_steps": 9}]
)
def test_own_methods_are_found_on_what_make_returns(given):
    env = gym.make(IDS[0], **settings(), **given)
    for each in (env, gym.make(env.spec), gym.make(IDS[0], **settings(), **given)):
        each.reset(seed=0)
        each.action_space.seed(0)
        assert each.action_masks().tolist() == [1, 0]
        assert {int(each.action_space.sample(mask=each.action_masks())) for _ in range(20)} == {0}
        each.set_update(3)
        assert each.unwrapped.judge.update == 3
        for wrong in (-1, 1.5, None):
            with pytest.raises(InputError, match="policy updates are counted in whole numbers from 0, not"):
                each.set_update(wrong)
        np.testing.assert_array_equal(get_action_masks(each), [1, 0])
    envs = gym.make_vec(env.spec, num_envs=2)
    envs.reset()
    envs.action_space.seed(0)
    assert {tuple(envs.action_space.sample(mask=tuple(envs.action_masks())).tolist()) for _ in range(20)} == {(0, 0)}
    assert MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1).learn(16).num_timesteps == 16


@pytest.mark.parametrize("encoding", ["layer", "flat"])
def test_an_encoded_environment_is_made_again_from_its_spec(encoding):
    env = EncodedObservation(gym.make(IDS[0], **settings()), encoding)
    again = gym.make(env.spec)
    assert again.observation_space == env.observation_space
    for each in (env, again):
        each.reset(seed=0)
    np.testing.assert_array_equal(again.step(0)[0], env.step(0)[0])


def test_masks_may_depend_on_what_was_decided_and_are_found_once(monkeypatch):
    asked = []

    def mask(stage, taken):
        asked.append(taken)
        return np.array([True, 1 not in taken])

    envs = gym.make_vec(IDS[0], num_envs=256, **settings())
    monkeypatch.setattr(type(envs.stage), "mask", mask)
    envs.reset()
    envs.step(np.arange(256) % 2)
    assert asked == []  # a step needs none
    for _ in range(2):
        np.testing.assert_array_equal(envs.action_masks(), [[1, 1], [1, 0]] * 128)
    assert asked == [(0,), (1,)]


@pytest.mark.parametrize("env_id", IDS)
def test_frames_of_episodes_side_by_side(env_id, monkeypatch):
    drawn = []
    monkeypatch.setattr(render, "draw_outlines", lambda *given, **named: drawn.append(given) or outlines(*given, **named))
    for mode in ("rgb_array", "ansi"):
        envs = gym.make_vec(env_id, num_envs=2, render_mode=mode, **settings())
        singles = [gym.make(env_id, render_mode=mode, **settings()) for _ in range(2)]
        for each in (envs, *singles):
            each.reset()
        for actions in ([1, 0], [1, 1], [0, envs.single_action_space.n - 1]):
            envs.step(actions)
            for env, action in zip(singles, actions, strict=True):
                env.step(action)
            frames = envs.render()
            assert isinstance(frames, tuple)
            assert_same(frames, tuple(env.render() for env in singles))
        assert np.any(frames[0] != frames[1])
    assert len(drawn) == 3  # once in each environment, not in each frame
    assert gym.make_vec(env_id, num_envs=2, **settings()).render() is None


outlines = render.draw_outlines
