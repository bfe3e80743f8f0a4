"""Whatever agents do to networks of the families that engineers use, what is left is consistent."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs_tests.families import FAMILIES
from envs_tests.models.test_build import assert_torch_agrees, judge, random_student
from envs_tests.models.test_inherit import sizes, trained
from n2n_gym.architecture import REMOVE, apply_removals, removal_decisions, remove, shrink_decisions, student_ranges
from n2n_gym.layers import Verdict
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import Kept, inherit
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student


@functools.cache
def removal_stage(name):
    return RemovalStage(Student(FAMILIES[name]()))


def masked(stage, rng, share=None):
    """An episode that obeys the masks; with a share, it removes about so many."""
    taken = []
    for _ in range(stage.decisions):
        offered = np.flatnonzero(stage.mask(taken))
        weights = None
        if share is not None and len(offered) == 2:
            weights = [1 - share, share]
        taken.append(int(rng.choice(offered, p=weights)))
    return taken


@pytest.mark.parametrize("name", FAMILIES)
def test_the_teacher_is_what_torch_builds(name):
    assert_torch_agrees(FAMILIES[name]())


@pytest.mark.parametrize("name", FAMILIES)
def test_masked_episodes_lead_to_students_that_torch_builds_and_trains(name):
    stage = removal_stage(name)
    rng = np.random.default_rng(0)
    teacher = trained(stage.base)
    for share in (0.1, 0.4, 0.8):
        student = stage.student(masked(stage, rng, share))
        shrinking = ShrinkStage(student)
        for each in (student, shrinking.student(masked(shrinking, rng))):
            assert each.architecture.verdict(stage.base) is Verdict.FEASIBLE
            assert_torch_agrees(each.architecture)
            made = Network(each.architecture, torch.Generator().manual_seed(0)).train()
            assert inherit(made, each, teacher) > 0
            loss = made(torch.rand(2, *each.architecture.input_shape)).square().sum()
            loss.backward()
            assert loss.isfinite()
            assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_episodes_that_ignore_the_masks_mostly_succeed_too(name):
    teacher = FAMILIES[name]()
    ranges = student_ranges(teacher)
    feasible = []

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32), st.sampled_from([0.02, 0.1, 0.3, 0.5, 0.8]), st.booleans())
    def episode(seed, removal, shrinks):
        student, _, _ = random_student(teacher, seed, removal, shrinks=shrinks)
        verdict = judge(student, teacher)
        assert verdict is not Verdict.SHAPES_DO_NOT_FIT
        feasible.append(verdict is Verdict.FEASIBLE)
        if verdict is Verdict.FEASIBLE:
            for size, (least, most) in ranges.items():
                assert least <= getattr(student, size) <= most

    episode()
    assert np.mean(feasible) > 0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_shrinking_by_any_factors_keeps_everything_consistent(name):
    """Only feature maps may get too small for their kernels."""
    stage = ShrinkStage(Student(FAMILIES[name]()))
    rng = np.random.default_rng(1)
    for _ in range(20):
        student = stage.student([int(rng.choice(stage.effective(i))) for i in range(stage.decisions)]).architecture
        assert student.verdict() in (Verdict.FEASIBLE, Verdict.SPATIAL_COLLAPSE)
    for _, decision in zip(range(3), shrink_decisions(stage.base), strict=False):
        assert decision.layers[0] == min(decision.layers)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_unedited_student_inherits_all_and_gives_its_teachers_logits(name):
    teacher = trained(FAMILIES[name]())
    copy = Network(teacher.architecture).eval()
    assert inherit(copy, Student(teacher.architecture), teacher) == sizes(teacher)
    images = torch.rand(3, *teacher.architecture.input_shape)
    torch.testing.assert_close(copy(images), teacher(images))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_removal_left_computes_with_the_teachers_weights(name):
    """Where nothing changes its number of channels, a student inherits everything."""
    stage = removal_stage(name)
    teacher = trained(stage.base)
    checked = 0
    for decision in removal_decisions(stage.base):
        if decision.protected:
            continue
        student = stage.student([int(d == decision) * REMOVE for d in removal_decisions(stage.base)])
        architecture = student.architecture
        pairs = list(zip(range(len(architecture.nodes)), student.origins, strict=True))
        if architecture.verdict().feasible and all(
            (architecture.shapes[i], architecture.input_shapes(i)) == (stage.base.shapes[o], stage.base.input_shapes(o))
            for i, o in pairs
        ):
            made = Network(architecture)
            assert inherit(made, student, teacher) == sizes(made)
            checked += 1
    assert checked > 3


def main_path_kinds(architecture):
    return {architecture.nodes[i].layer.kind for i in architecture.main_path}


def test_the_main_path_leads_through_what_is_gated():
    for name in ("efficientnet", "mobilenet_v3", "regnet_y"):
        teacher = FAMILIES[name]()
        path = main_path_kinds(teacher)
        assert "multiply" in path
        assert not {"sigmoid", "hardsigmoid"} & path
        assert sum(teacher.nodes[i].layer.kind == "avg_pool" for i in teacher.main_path) == 1


def test_a_gate_is_one_decision_and_takes_its_layers_along():
    teacher = FAMILIES["efficientnet"]()
    gates = [d for d in removal_decisions(teacher) if teacher.nodes[d.layer].layer.gates]
    assert len(gates) == 5
    assert not any(d.protected for d in gates)
    student = remove(teacher, {d.layer for d in gates})
    kinds = [node.layer.kind for node in student.nodes]
    assert not {"multiply", "sigmoid"} & set(kinds)
    assert kinds.count("avg_pool") == 1
    assert student.verdict(teacher) is Verdict.FEASIBLE


def test_a_gate_goes_with_what_it_gates():
    teacher = FAMILIES["mobilenet_v3"]()
    gate = next(i for i, node in enumerate(teacher.nodes) if node.layer.gates)
    scaled = [i for i in teacher.main_path if 3 <= i < gate]  # the depthwise convolution, its normalisation and rectifier
    assert [teacher.nodes[i].layer.kind for i in scaled] == ["depthwise", "batch_norm", "relu"]
    student = remove(teacher, scaled)
    assert sum(node.layer.gates for node in student.nodes) == 1
    assert sum(node.layer.gates for node in remove(teacher, scaled[:2]).nodes) == 2


def test_a_gate_gives_as_many_channels_as_it_scales():
    teacher = FAMILIES["efficientnet"]()
    first = next(
        d.layers[0] for d in shrink_decisions(teacher) if len(d.layers) == 2 and teacher.nodes[d.layers[1]].layer.bias
    )
    student = remove(teacher, {first})
    gates = [i for i, node in enumerate(student.nodes) if node.layer.gates]
    for gate in gates:
        features, factors = student.input_shapes(gate)
        assert factors == (features[0], 1, 1)


def test_an_emptied_dense_layer_leaves_the_concatenations():
    teacher = FAMILIES["densenet"]()
    small = [i for i, node in enumerate(teacher.nodes) if node.layer.kind == "conv" and node.layer.outputs in (12, 24)]
    student = remove(teacher, small[2:4])  # both of the second dense layer
    assert student.verdict(teacher) is Verdict.FEASIBLE
    last = [node for node in teacher.nodes if node.layer.kind == "concat"][3]
    assert len(last.inputs) == 5
    assert [len(node.inputs) for node in student.nodes if node.layer.kind == "concat"][:3] == [2, 3, 4]
    everything = [int(not d.protected) for d in removal_decisions(teacher)]
    assert apply_removals(teacher, everything).verdict(teacher) is Verdict.FEASIBLE


def test_what_is_divided_into_halves_keeps_its_channels():
    teacher = FAMILIES["shufflenet_v2"]()
    protected = {d.layer for d in removal_decisions(teacher) if d.protected}
    convs = [i for i in teacher.main_path if teacher.nodes[i].layer.kind == "conv"]
    narrow = convs[1:3]  # of the first unit, which reads 12 channels and gives 24
    assert convs[2] in protected
    assert remove(teacher, narrow[:1]).shapes
    assert not remove(teacher, narrow).shapes
    even = convs[3:7]  # of the units that read and give 24
    assert not protected.intersection(even)
    assert all(remove(teacher, even[:count]).shapes for count in range(1, 5))


def test_outputs_are_multiples_of_the_groups():
    for name, groups in (("resnext", 8), ("regnet_y", 13)):
        teacher = FAMILIES[name]()
        decisions = [d for d in shrink_decisions(teacher) if d.multiple > 1]
        assert max(d.multiple for d in decisions) == groups
        stage = ShrinkStage(Student(teacher))
        student = stage.student([0] * stage.decisions).architecture
        kept = [node.layer.groups for node in student.nodes if node.layer.kind == "conv"]
        assert kept == [node.layer.groups for node in teacher.nodes if node.layer.kind == "conv"]


def test_grouped_convolutions_inherit_their_own_groups():
    teacher = FAMILIES["resnext"]()
    stage = ShrinkStage(Student(teacher))
    halves = [4 if variable.name == "OUTPUTS" else stage.keep for variable in stage.variables]
    student = stage.student(halves)
    made, old = Network(student.architecture), trained(teacher)
    inherit(made, student, old)
    index = next(i for i, node in enumerate(teacher.nodes) if getattr(node.layer, "groups", 1) == 8)
    assert not (made.layers[index].weight == 0).any()


def test_dropout_draws_from_its_own_generator_and_only_in_training():
    teacher = FAMILIES["mobilenet_v2"]()
    images = torch.rand(4, *teacher.input_shape)
    before = torch.get_rng_state()
    first, second = (Network(teacher, torch.Generator().manual_seed(5)).train() for _ in range(2))
    drawn = [first(images) for _ in range(2)]
    assert torch.equal(drawn[0], second(images))
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(first.eval()(images), first(images))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"shufflenet_v2"}))
def test_whatever_is_shrunk_inherits_everything(name):
    """Of channels that are dealt into halves it is not always known which ones are read."""
    teacher = trained(FAMILIES[name]())
    stage = ShrinkStage(Student(teacher.architecture))
    rng = np.random.default_rng(0)
    for _ in range(4):
        student = stage.student(rng.integers(3, 10, stage.decisions).tolist())
        if student.architecture.verdict().feasible:
            made = Network(student.architecture)
            assert inherit(made, student, teacher) == sizes(made)


MOVED = {"shufflenet_v1", "shufflenet_v2", "convnext", "resnet_a"}
"""Of these, what a channel meets depends on how many there are: shuffles, norms over channels, zeros beside channels."""


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - MOVED))
def test_a_narrow_student_computes_what_the_teacher_does_without_the_other_channels(name):
    teacher = trained(FAMILIES[name]())
    stage = ShrinkStage(Student(teacher.architecture))
    rng = np.random.default_rng(2)
    widths = [variable.name == "OUTPUTS" for variable in stage.variables]
    student = stage.student([int(rng.integers(3, 9)) if width else stage.keep for width in widths])
    made = Network(student.architecture).eval()
    assert inherit(made, student, teacher) == sizes(made)
    for layer, kept in zip(teacher.layers, Kept(student, teacher).outputs, strict=True):
        layer.register_forward_hook(functools.partial(only, kept))
    images = torch.rand(3, *teacher.architecture.input_shape)
    torch.testing.assert_close(made(images), teacher(images), rtol=1e-4, atol=1e-4)


def only(kept, _module, _inputs, output):
    mask = torch.zeros(output.shape[1])
    mask[kept] = 1
    return output * mask[:, None, None]
