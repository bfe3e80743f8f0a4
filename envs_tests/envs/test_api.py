import json
import re
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import n2n_gym  # noqa: F401  registers the environments
from envs_tests.conftest import TOY, FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.layers import Verdict
from n2n_gym.networks.zoo import network
from n2n_gym.rewards import REWARDS
from n2n_gym.student import Student

IDS = ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0")


@pytest.fixture
def toy_env(toy_teacher, toy_data):
    def make(env_id, **settings):
        return gym.make(env_id, teacher=toy_teacher, dataset=toy_data, evaluator=FormulaEvaluator(TOY), **settings)

    return make


def play(env, actions, seed=0):
    """Every observation, reward, end and info of an episode."""
    steps = [env.reset(seed=seed)]
    steps += [env.step(action) for action in actions]
    return steps


def assert_checkers_are_clean(env):
    """Gymnasium's and Stable-Baselines3's checkers neither fail nor warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        check_env_sb3(env.unwrapped)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("teacher", ["conv4", "vgg11", "resnet18", "resnet50"])
def test_checkers_are_clean(env_id, teacher):
    evaluator = FormulaEvaluator(network(teacher, (1, 8, 8)))
    env = gym.make(env_id, teacher=teacher, evaluator=evaluator, render_mode="rgb_array")
    assert_checkers_are_clean(env)


@pytest.mark.parametrize("env_id", IDS)
def test_checkers_are_clean_with_real_training(env_id, toy_teacher, toy_data):
    env = gym.make(env_id, teacher=toy_teacher, dataset=toy_data, device="cpu")
    assert_checkers_are_clean(env)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_serialises(env_id):
    env = gym.make(env_id, teacher="resnet18", dataset="cifar10", width=0.25, train_size=5000)
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    assert again.observation_space == env.observation_space
    assert json.loads(env.spec.to_json())["kwargs"]["width"] == 0.25


def test_episode_lengths():
    assert gym.make(IDS[0], teacher="resnet18").observation_space["position"].n == 46
    assert gym.make(IDS[0], teacher="resnet34").observation_space["position"].n == 86


def test_make_neither_trains_nor_imports_torch_nor_writes(own_home):
    program = (
        "import sys, gymnasium as gym, n2n_gym\n"
        "env = gym.make('N2N/LayerRemoval-v0', teacher='resnet18')\n"
        "env.reset(seed=0)\n"
        "for _ in range(44): env.step(1)\n"
        "assert not {'torch', 'torchvision', 'matplotlib', 'stable_baselines3'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not list(own_home.glob("*"))


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_and_actions_give_the_same_everything(env_id, toy_teacher, toy_data):
    recorded = []
    for store in (None, "auto", "auto"):
        env = gym.make(env_id, teacher=toy_teacher, dataset=toy_data, device="cpu", store=store)
        env.action_space.seed(3)
        decisions = env.unwrapped.stage.decisions
        recorded.append([play(env, [env.action_space.sample() for _ in range(decisions)]) for _ in range(3)])
    for other in recorded[1:]:
        for episode, same in zip(recorded[0], other, strict=True):
            for step, twin in zip(episode, same, strict=True):
                assert data_equivalence(step, twin, exact=True)


def test_an_episode_worked_by_hand(toy_env):
    env = toy_env(IDS[0])
    (first, info), *steps = play(env, [0, 1, 1, 0])
    assert info["actions"].tolist() == [-1] * 4
    assert first["position"] == 0
    rows = first["architecture"].reshape(4, 9)
    np.testing.assert_array_equal(rows[:, 0], [1, 3, 4, 6])
    np.testing.assert_array_equal(first["layer"], rows[0])
    for position, (observation, reward, terminated, truncated, info) in enumerate(steps[:-1], start=1):
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert info.pop("actions").tolist() == [0, 1, 1, 0][:position] + [-1] * (4 - position)
        assert info == {
            **dict.fromkeys(("accuracy", "teacher_accuracy", "compression", "parameters", "macs"), 0),
            "reason": "",
            "violated": "",
        }
        assert observation["position"] == position
        decided = observation["architecture"].reshape(4, 9)[:, 8]
        np.testing.assert_array_equal(decided, [1, 2, 2, 1][:position] + [0] * (4 - position))
    observation, reward, terminated, truncated, info = steps[-1]
    assert (terminated, truncated) == (True, False)
    assert not observation["layer"].any()
    assert set(info) == {"accuracy", "teacher_accuracy", "compression", "parameters", "macs", "reason", "violated", "actions"}
    assert info["actions"].tolist() == [0, 1, 1, 0]
    assert info["parameters"] == 12 * 10 + 3 * (12 * 16 + 1)  # the last pool is protected
    student = env.unwrapped.finished.student
    assert student.architecture.parameters == info["parameters"] == TOY.parameters
    assert (reward, info["reason"]) == (-1.0, Verdict.NOT_SMALLER)  # a rectifier has no parameters


def test_masks_mark_what_has_no_effect(toy_env):
    env = toy_env(IDS[0])
    env.reset()
    masks = []
    for _ in range(4):
        masks.append(env.action_masks().tolist())
        env.step(0)
    assert masks == [[1, 0], [1, 1], [1, 0], [1, 0]]
    shrink = toy_env(IDS[1])
    shrink.reset()
    assert shrink.action_masks().all()


def test_previous_action_in_stage_2(toy_env):
    steps = play(toy_env(IDS[1]), [4, 9, 0])
    assert [int(step[0]["previous_action"]) for step in steps] == [0, 5, 10, 1]
    assert steps[-1][1] == pytest.approx(steps[-1][4]["accuracy"] / 0.95 * (1 - (1 - steps[-1][4]["compression"]) ** 2))


def test_wrong_use_is_said(toy_env):
    env = toy_env(IDS[0]).unwrapped
    with pytest.raises(gym.error.ResetNeeded, match="no episode was begun"):
        env.step(0)
    env.reset()
    for action in (2, -1, 0.9, "0"):
        with pytest.raises(gym.error.InvalidAction, match=f"whole number from 0 to .*, not {re.escape(repr(action))}"):
            env.step(action)
    play(env, [0, 0, 0, 0])
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        env.step(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "resnet19"}, "unknown teacher 'resnet19'"),
        ({"dataset": "cifar"}, "unknown data set 'cifar'"),
        ({"recipe": "papper"}, "unknown recipe 'papper'. Did you mean 'paper'"),
        ({"reward": "x"}, "unknown reward"),
        ({"evaluator": "destillation"}, "unknown evaluator 'destillation'. Did you mean 'distillation'"),
        ({"width": 0}, "width must be greater than 0"),
        ({"train_size": 0}, "train-size must be at least 10 images, one of each class of digits"),
        ({"workers": -1}, "workers must be 0"),
        ({"teacher": "mine.json"}, "no architecture at mine.json"),
        ({"device": "foo"}, "device 'foo' cannot be used"),
        ({"timeout": -1.0}, "timeout must be more than 0 seconds, not -1"),
        ({"timeout": float("nan")}, "timeout must be more than 0 seconds, not nan"),
        ({"latency_batch_size": 0, "constraints": "latency_ms<=5"}, "latency-batch-size must be at least 1, not 0"),
    ],
)
def test_bad_arguments_are_said_by_make(settings, message):
    with pytest.raises(InputError, match=message):
        gym.make(IDS[0], **settings)


def test_stage_2_starts_from_a_stage_1_file(tmp_path, toy_env):
    path = tmp_path / "stage1.json"
    Student(TOY, (0, 1, 0, 0)).save(path)
    env = toy_env(IDS[1], architecture=str(path))
    assert env.unwrapped.stage.base == Student(TOY, (0, 1, 0, 0)).architecture
    with pytest.raises(InputError, match="student of another teacher"):
        gym.make(IDS[1], teacher="conv4", architecture=str(path))
    changed = json.loads(path.read_text())
    changed["removals"] = [0, 0, 0, 0]
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="its actions do not lead to its architecture"):
        toy_env(IDS[1], architecture=str(path))
    path.write_text(path.read_text()[:30])
    with pytest.raises(InputError, match="not a readable student's file"):
        toy_env(IDS[1], architecture=str(path))


def test_an_evaluator_of_another_teacher_is_refused(toy_teacher, toy_data):
    env = gym.make(IDS[0], teacher=toy_teacher, dataset=toy_data, evaluator=FormulaEvaluator(network("conv4")))
    with pytest.raises(InputError, match="another teacher"):
        play(env, [0] * 4)


def test_the_text_shows_sums_and_layers_that_another_leads():
    env = gym.make("N2N/LayerShrink-v0", teacher="resnet18", render_mode="ansi")
    env.reset()
    for _ in range(3):
        env.step(4)
    lines = env.render().splitlines()
    assert len(lines) == len(env.unwrapped.stage.base.nodes)
    assert sum("add" in line and " and " in line for line in lines) == 8
    assert any("with 0" in line for line in lines)


def test_pictures(toy_env):
    text = toy_env(IDS[0], render_mode="ansi")
    text.reset()
    text.step(0)
    text.step(1)
    lines = text.render().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("protected")
    assert lines[1].startswith("\x1b[90m")
    assert lines[1].endswith("removed\x1b[0m")
    assert "·" in lines[1]
    assert lines[2].startswith(">")
    shrink = toy_env(IDS[1], render_mode="ansi")
    shrink.reset()
    shrink.step(3)
    lines = shrink.render().splitlines()
    assert len(lines) == 4
    assert "1x1/1" in lines[0]
    assert lines[0].endswith("kernel x 0.4, padding ?, outputs ?")
    picture = toy_env(IDS[0], render_mode="rgb_array")
    picture.reset()
    before = picture.render()
    picture.step(0)
    picture.step(1)
    after = picture.render()
    assert before.shape == after.shape == (300, 1000, 3)
    assert before.dtype == np.uint8
    grey = (after == 0xDD).all(axis=2).sum() - (before == 0xDD).all(axis=2).sum()
    assert grey > 500  # the removed layer's bar


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("env_id", IDS)
def test_a_reward_is_on_the_line_that_a_preview_says(env_id, reward):
    asked = {"teacher": "conv4", "evaluator": FormulaEvaluator(network("conv4", (1, 8, 8))), "lookahead": False}
    env = gym.make(env_id, reward=reward, **asked)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        actions = rng.integers(env.action_space.n, size=env.unwrapped.stage.decisions).tolist()
        preview = env.unwrapped.preview(actions)
        _, value, _, _, info = play(env, actions)[-1]
        if preview.reason:
            assert preview.worth == preview.base == value == -1
        else:
            relative = info["accuracy"] / env.unwrapped.finished.evaluation.teacher_accuracy
            assert value == pytest.approx(preview.base + (preview.worth - preview.base) * relative)
            assert preview.base == (preview.compression if reward == "compression" else 0)
            assert preview.needed == 0
        seen.add(bool(preview.reason))
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("env_id", "limit"),
    [(IDS[0], "accuracy>=0.62"), (IDS[0], "2*accuracy>=1.24"), *((each, "macs - {macs}*accuracy<=0") for each in IDS)],
)
def test_a_preview_says_which_accuracy_keeps_the_limits_on_it(env_id, limit):
    teacher = network("conv4", (1, 8, 8))
    asked = {"teacher": "conv4", "evaluator": FormulaEvaluator(teacher), "lookahead": False}
    env = gym.make(env_id, constraints=limit.format(macs=teacher.macs // 5), **asked)
    rng = np.random.default_rng(0)
    kept = set()
    for _ in range(40):
        actions = rng.integers(env.action_space.n, size=env.unwrapped.stage.decisions).tolist()
        preview = env.unwrapped.preview(actions)
        info = play(env, actions)[-1][4]
        if not preview.reason:
            assert bool(info["violated"]) == (info["accuracy"] < preview.needed)
            kept.add(not info["violated"])
    assert len(kept) == 2


@pytest.mark.parametrize("env_id", IDS)
def test_a_preview_says_what_the_last_step_will_say_and_trains_nothing(env_id):
    teacher = network("conv4", (1, 8, 8))
    evaluator = FormulaEvaluator(teacher)
    asked = {"teacher": "conv4", "evaluator": evaluator, "constraints": "parameters<=60000; accuracy>=0.1", "lookahead": False}
    env = gym.make(env_id, **asked)
    envs = gym.make_vec(env_id, num_envs=2, **asked)
    rng = np.random.default_rng(0)
    previews = []
    for _ in range(20):
        actions = rng.integers(env.action_space.n, size=env.unwrapped.stage.decisions).tolist()
        previews.append(preview := env.unwrapped.preview(actions))
        assert envs.preview(actions) == preview
        before = len(evaluator.calls)
        info = play(env, actions)[-1][4]
        assert len(evaluator.calls) > before or preview.reason
        assert preview.reason == info["reason"]
        assert preview.fingerprint == env.unwrapped.finished.student.architecture.fingerprint
        for key in ("parameters", "macs", "compression"):
            assert getattr(preview, key) == info[key]
        if not preview.reason:
            assert ("parameters<=60000" in preview.violated) == ("parameters<=60000" in info["violated"])
        assert preview.allowed == (not preview.reason and not preview.violated)
    assert len({preview.allowed for preview in previews}) == 2
    for wrong in (None, 3, [], [0], [*actions[:-1], 99], [*actions[:-1], -1]):
        with pytest.raises(gym.error.InvalidAction, match="for each of"):
            env.unwrapped.preview(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"constraints": None}, "constraints must be text or .* not None"),
        ({"constraints": 5}, "constraints must be text or .* not 5"),
        ({"width": "x"}, "width must be a number, not 'x'"),
        ({"train_size": "10"}, "train_size must be a whole number or None, not '10'"),
        ({"train_size": True}, "train_size must be a whole number or None, not True"),
        ({"dataset": 3}, "dataset must be text or None, not 3"),
        ({"evaluator": 5}, "evaluator must be text or Evaluator, not 5"),
        ({"lookahead": "no"}, "lookahead must be True or False, not 'no'"),
        ({"workers": 1.5}, "workers must be a whole number or text or None, not 1.5"),
        ({"constraints": [3]}, "a constraint must be text, not 3; write it like"),
        ({"teacher": 3}, "teacher must be text or a torch module, not 3"),
        ({"teacher": None}, "teacher must be text or a torch module, not None"),
        ({"relaxation": 3}, "relaxation must be text or Callable, not 3"),
    ],
)
def test_arguments_of_another_type_are_refused_in_a_line(wrong, message):
    for make in (gym.make, gym.make_vec):
        with pytest.raises(InputError, match=message):
            make("N2N/LayerRemoval-v0", **{"evaluator": "table", **wrong})


def test_numbers_of_numpy_and_paths_are_taken(tmp_path):
    settings = {"width": np.float32(0.5), "train_size": np.int64(100), "seed": np.int32(1), "store": tmp_path / "s.sqlite"}
    gym.make("N2N/LayerShrink-v0", **settings).close()
