"""Masks never offer what can only fail, and hide nothing that can succeed."""

import itertools

import numpy as np
import pytest

from envs_tests.conftest import DEEPER_TOY, TOY
from n2n_gym.architecture import KEEP, REMOVE, Architecture
from n2n_gym.layers import Verdict, conv, linear, max_pool, relu
from n2n_gym.networks.zoo import network
from n2n_gym.stages.both import BothStages
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student

SMALL = {
    "toy, shrink": lambda: ShrinkStage(Student(TOY)),
    "deeper toy, removal": lambda: RemovalStage(Student(DEEPER_TOY)),
    "pools, removal": lambda: RemovalStage(
        Student(
            Architecture.chain([conv(12), max_pool(), conv(12), max_pool(), conv(12), max_pool(), linear(3)], (1, 8, 8), 3)
        )
    ),
    "a kernel and pools, both": lambda: BothStages(
        Student(
            Architecture.chain(
                [conv(12, 3, padding=0), max_pool(), conv(13, 1, padding=0), max_pool(), max_pool(), linear(3)], (1, 12, 12), 3
            )
        )
    ),
    "no padding, removal": lambda: RemovalStage(
        Student(Architecture.chain([conv(12), conv(14, 5, padding=0), relu(), conv(12), max_pool(), linear(3)], (1, 8, 8), 3))
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_exactly_what_can_still_succeed_is_offered(name):
    """Compared with all episodes of small spaces."""
    stage = SMALL[name]()
    effective = [stage.effective(position) for position in range(stage.decisions)]
    feasible = {
        actions
        for actions in itertools.product(*effective)
        if stage.student(actions).architecture.verdict(stage.teacher).feasible
    }
    assert 0 < len(feasible) < len(list(itertools.product(*effective)))
    begun = {actions[:length] for actions in feasible for length in range(stage.decisions + 1)}
    seen_blocked = False
    for length in range(stage.decisions):
        for taken in itertools.product(*effective[:length]):
            wanted = [(*taken, action) in begun for action in range(stage.actions)]
            effect = stage.with_effect(taken).tolist()
            if any(wanted):
                wanted = list(map(min, wanted, effect))
                assert stage.mask(taken).tolist() == wanted
                seen_blocked |= wanted != effect
            else:  # earlier masks were ignored
                assert stage.mask(taken).tolist() == effect
    assert seen_blocked


@pytest.mark.parametrize("name", ["conv4", "vgg13", "resnet18", "resnet50"])
def test_episodes_that_obey_the_masks_are_feasible(name):
    teacher = network(name, width=0.125)
    stage = RemovalStage(Student(teacher))
    rng = np.random.default_rng(0)
    for _ in range(3):
        taken = []
        for _ in range(stage.decisions):
            taken.append(int(rng.choice(np.flatnonzero(stage.mask(taken)))))
        assert stage.student(taken).architecture.verdict(teacher) is Verdict.FEASIBLE


def test_episodes_of_stage_2_that_obey_the_masks_are_feasible():
    teacher = network("conv4", (1, 8, 8))
    stage = ShrinkStage(Student(teacher))
    rng = np.random.default_rng(0)
    ignoring = [rng.integers(0, 10, stage.decisions).tolist() for _ in range(100)]
    verdicts = {stage.student(actions).architecture.verdict(teacher) for actions in ignoring}
    assert Verdict.SPATIAL_COLLAPSE in verdicts  # masks are advice
    for _ in range(30):
        taken = []
        for _ in range(stage.decisions):
            taken.append(int(rng.choice(np.flatnonzero(stage.mask(taken)))))
        assert stage.student(taken).architecture.verdict(teacher) is Verdict.FEASIBLE


def test_the_last_decision_that_can_make_it_smaller_must():
    stage = RemovalStage(Student(network("conv4", (1, 8, 8))))
    taken = []
    for position in range(stage.decisions):
        mask = stage.mask(taken)
        assert mask.any()
        if stage.masks[position, REMOVE] and not mask[KEEP]:
            break
        taken.append(KEEP)
    else:
        pytest.fail("keeping everything was offered")
    assert stage.base.nodes[stage.layers[position][0]].layer.kind == "batch_norm"


def test_students_know_their_actions_and_origins():
    teacher = network("resnet18", width=0.125)
    stage = RemovalStage(Student(teacher))
    student = stage.student([REMOVE] * stage.decisions)
    second = ShrinkStage(student)
    shrunk = second.student([3] * second.decisions)
    assert (shrunk.removals, shrunk.shrinkages) == (tuple([REMOVE] * 45), tuple([3] * second.decisions))
    assert shrunk.origins == student.origins
    assert shrunk.architecture != student.architecture
    assert second.teacher == teacher
    assert Student(teacher).origins == tuple(range(len(teacher.nodes)))
