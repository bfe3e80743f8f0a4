"""Both stages as one episode: what it leads to is what the stages lead to one after the other."""

import pickle

import gymnasium as gym
import numpy as np
import pytest

import n2n_gym  # noqa: F401  registers the environments
from envs_tests.conftest import FormulaEvaluator
from envs_tests.families import FAMILIES
from n2n_gym.architecture import Architecture, Variable
from n2n_gym.errors import InputError
from n2n_gym.layers import Channels, conv, linear, max_pool, relu
from n2n_gym.networks.zoo import network
from n2n_gym.stages import BothStages, RemovalStage, ShrinkStage
from n2n_gym.student import Student

KEEP = BothStages.keep
TEACHER = Architecture.chain([conv(20), relu(), conv(30, 5, padding=2), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
NETWORKS = {**FAMILIES, "conv4": lambda: network("conv4", (1, 8, 8)), "resnet18": lambda: network("resnet18", width=0.125)}


def drawn(stage, rng):
    """Episodes of all kinds: any that have an effect somewhere, those by depth, those that obey the masks."""
    taken = []
    for _ in range(stage.decisions):
        taken.append(int(rng.choice(np.flatnonzero(stage.mask(taken)))))
    return [np.where(stage.masks, rng.random(stage.masks.shape), -1.0).argmax(1).tolist(), stage.trend(rng), taken]


def parts(stage, actions):
    """The episode's first half, as stage 1 has it, and its second."""
    removal = RemovalStage(stage.start)
    return [int(action == 0) for action in actions[: removal.decisions]], actions[removal.decisions :]


def test_one_episode_of_a_chain():
    stage = BothStages(Student(TEACHER))
    assert stage.decisions == 6 + 6  # kernel, padding and outputs of each convolution
    assert [variable is Variable.LAYER for variable in stage.variables] == [True] * 6 + [False] * 6
    removals = [KEEP, KEEP, 0, 0, KEEP, KEEP]
    shrinkages = [KEEP, KEEP, 6, KEEP, KEEP, KEEP]  # the first convolution keeps 0.7 of its outputs
    student = stage.student([*removals, *shrinkages]).architecture
    assert student == Architecture.chain([conv(14), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
    assert stage.remains(stage.student([*removals, *shrinkages])).tolist() == [1, 1, 0, 0, 1, 1, 1, 1, 0.7, 0, 0, 0]
    others = [*shrinkages[:3], 0, 2, 5]  # of the convolution that is gone
    assert stage.student([*removals, *others]).architecture == student
    assert stage.mask([*removals, KEEP, KEEP, 6]).tolist() == [False] * KEEP + [True]
    assert stage.mask([KEEP] * 6 + [KEEP, KEEP, 6]).all()
    assert stage.removed([*removals, *shrinkages]) == {2, 3}
    assert stage.resized([*removals, *shrinkages]).nodes[0].layer.outputs == 14
    assert [stage.describe(2, 0), stage.describe(2, 7), stage.describe(0, 0), stage.describe(8, 4)] == [
        *("removed", "kept", "protected", "x 0.5"),
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_it_leads_where_the_stages_lead_one_after_the_other(name):
    teacher = NETWORKS[name]()
    stage = BothStages(Student(teacher))
    rng = np.random.default_rng(0)
    for actions in [each for _ in range(4) for each in drawn(stage, rng)]:
        student = stage.student(actions)
        removals, shrinkages = parts(stage, actions)
        left = RemovalStage(stage.start).student(removals)
        second = ShrinkStage(left)
        assert student == second.student(student.shrinkages)
        # the leading layer's own decision is what counts
        decisions = dict(zip(zip(stage.layers, stage.variables, strict=True), actions, strict=True))
        for layers, variable, action in zip(second.layers, second.variables, student.shrinkages, strict=True):
            owner = [each for each in decisions if each[1] is variable and left.origins[layers[0]] in each[0]]
            if owner:
                assert action == decisions[owner[0]]
        assert len(shrinkages) == ShrinkStage(stage.start).decisions


@pytest.mark.parametrize("name", NETWORKS)
def test_masked_episodes_succeed_and_what_masks_hide_has_no_effect(name):
    stage = BothStages(Student(NETWORKS[name]()))
    rng = np.random.default_rng(1)
    for index, actions in enumerate(each for _ in range(4) for each in drawn(stage, rng)):
        student = stage.student(actions)
        if index % 3 == 2:
            assert student.architecture.verdict(stage.teacher).feasible
        plain = list(actions)
        for position in range(stage.decisions):
            if not stage.with_effect(plain[:position])[plain[position]]:
                plain[position] = KEEP
        assert stage.student(plain).architecture == student.architecture
        if student.architecture.verdict(stage.teacher).feasible:
            remains = stage.remains(student)
            assert remains.shape == (stage.decisions,)
            there = set(student.origins)
            for left, layers, variable in zip(remains, stage.layers, stage.variables, strict=True):
                assert (left > 0) == (not there.isdisjoint(layers)) or variable is Variable.PADDING  # which may shrink to 0
            for size, (least, most) in stage.ranges.items():
                assert least <= getattr(student.architecture, size) <= most


def test_what_masks_offer_has_an_effect():
    """Of a chain whose decisions are about values that rounding tells apart."""
    stage = BothStages(Student(Architecture.chain([conv(100), conv(200), relu(), linear(3)], (1, 8, 8), 3)))
    rng = np.random.default_rng(2)
    shown = 0
    for _ in range(20):
        actions = drawn(stage, rng)[2]
        for position, variable in enumerate(stage.variables):
            if variable is Variable.OUTPUTS and stage.with_effect(actions[:position])[0]:
                ends = [[*actions[:position], action, *actions[position + 1 :]] for action in range(10)]
                assert len({stage.student(end).architecture for end in ends}) == 10
                shown += 1
    assert shown > 20


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_show_what_each_layer_keeps(name):
    """Also where a removal ties layers that the teacher decides one by one, and at each moment of an episode."""
    teacher = NETWORKS[name]()
    stage = BothStages(Student(teacher))
    rng = np.random.default_rng(4)
    for actions in [each for _ in range(4) for each in drawn(stage, rng)]:
        student, resized = stage.student(actions), stage.resized(actions)
        for index, origin in enumerate(student.origins):
            if teacher.nodes[origin].layer.channels is Channels.FREE:
                assert resized.nodes[origin].layer == student.architecture.nodes[index].layer
    assert stage.resized([]) == teacher


@pytest.mark.parametrize("name", ["conv4", "resnet18"])
def test_actions_are_found_again(name):
    stage = BothStages(Student(NETWORKS[name]()))
    rng = np.random.default_rng(3)
    found = []
    for _ in range(10):
        student = stage.student(drawn(stage, rng)[0]).architecture
        if (actions := stage.actions_of(student)) is not None:
            assert stage.student(actions).architecture == student
        found.append(actions is not None)
    assert all(found) if name == "conv4" else any(found)
    assert stage.actions_of(network("vgg11", (1, 8, 8))) is None


def test_it_starts_from_the_teacher_and_needs_something_to_shrink():
    teacher = network("conv4", (1, 8, 8))
    edited = RemovalStage(Student(teacher)).student([0] * 16)
    with pytest.raises(InputError, match="from the teacher itself"):
        BothStages(edited)
    with pytest.raises(InputError, match="nothing is left to shrink"):
        BothStages(Student(Architecture.chain([linear(3)], (1, 8, 8), 3)))


def test_an_environment_of_both_stages_goes_through_them():
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    env = pickle.loads(pickle.dumps(gym.make("N2N/BothStages-v0", evaluator=evaluator)))
    rng = np.random.default_rng(0)
    for _ in range(3):
        observation, _ = env.reset(seed=0)
        terminated, kinds = False, []
        while not terminated:
            kinds.append(int(observation["layer"][7]))
            action = rng.choice(np.flatnonzero(env.action_masks()))
            observation, reward, terminated, _, info = env.step(action)
        assert kinds == sorted(kinds, key=bool)  # whole layers come first
        assert kinds.count(0) == 16
        assert info["reason"] == ""
        assert reward > -1
        student = env.unwrapped.finished.student
        assert (student.removals, student.shrinkages) != (None, None)
        assert env.unwrapped.preview(info["actions"]).parameters == info["parameters"]
