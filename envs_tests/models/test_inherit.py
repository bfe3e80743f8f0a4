import numpy as np
import pytest
import torch

from n2n_gym.architecture import IMAGE, KEEP, REMOVE, Architecture, Node, Variable
from n2n_gym.layers import add, avg_pool, batch_norm, conv, linear, relu
from n2n_gym.layers.margin import Crop, Widen
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import Kept, inherit
from n2n_gym.networks.hand_designed import hand_designed
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.stages.removal import RemovalStage
from n2n_gym.stages.shrink import ShrinkStage
from n2n_gym.student import Student


def trained(architecture, seed=0):
    """A network whose every number is one of its own, as after a training."""
    torch.manual_seed(seed)
    made = Network(architecture).eval()
    for name, value in made.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if name.endswith("var") else value.normal_(0, 0.3)
    return made


def sizes(module):
    return sum(value.numel() for value in module.state_dict().values())


@pytest.mark.parametrize("name", ["conv4", "vgg11", "resnet18", "resnet50", "squeezenet1.1"])
def test_an_unedited_student_gives_its_teachers_logits(name):
    made = network if name in ZOO else hand_designed
    teacher = trained(made(name, (1, 8, 8), width=0.1))
    copy = Network(teacher.architecture).eval()
    assert inherit(copy, Student(teacher.architecture), teacher) == sizes(teacher)
    images = torch.rand(3, *teacher.architecture.input_shape)
    torch.testing.assert_close(copy(images), teacher(images))


def test_the_largest_channels_are_kept_and_kernels_cropped():
    architecture = Architecture.chain([conv(20), batch_norm(), relu(), conv(20), avg_pool(), linear(3)], (2, 6, 6), 3)
    teacher = trained(architecture)
    weight = teacher.layers[0].weight
    with torch.no_grad():
        weight[::2] *= 100  # the even ones matter
    stage = ShrinkStage(Student(architecture))
    student = stage.student([9, 9, 4, 0, 0, 9])  # half of the first one's filters; a kernel of 1 in the second one
    made = Network(student.architecture)
    inherit(made, student, teacher)
    kept = list(range(0, 20, 2))
    torch.testing.assert_close(made.layers[0].weight, weight[kept])
    torch.testing.assert_close(made.layers[1].running_mean, teacher.layers[1].running_mean[kept])
    torch.testing.assert_close(made.layers[3].weight, teacher.layers[3].weight[:, kept, 1:2, 1:2])
    torch.testing.assert_close(made.layers[5][1].weight, teacher.layers[5][1].weight)


def test_layers_that_meet_in_a_sum_keep_the_same_channels():
    teacher = trained(network("resnet18", width=0.5))
    stage = ShrinkStage(Student(teacher.architecture))
    student = stage.student([4 if variable.name == "OUTPUTS" else 9 for variable in stage.variables])
    made = Network(student.architecture)
    inherit(made, student, teacher)
    group = next(layers for layers, variable in zip(stage.layers, stage.variables, strict=True) if len(layers) > 2)
    kept = None
    for index in group[:2]:
        bias = teacher.layers[index + 1].bias.tolist()  # of the batch normalisation behind it: all different
        found = [bias.index(value) for value in made.layers[index + 1].bias.tolist()]
        assert kept in (None, found)
        kept = found
    assert 0 < len(kept) < len(bias)


@pytest.mark.parametrize("front", [0, 6, 12])
@pytest.mark.parametrize("tenths", [(9, 9, 9), (5, 9, 6), (6, 9, 9), (9, 4, 5), (9, 9, 4)])
def test_a_shortcut_of_zeros_carries_the_same_channels(front, tenths):
    """A student computes what its teacher does without the channels that the student lacks."""
    layers = (
        Node(conv(24), (IMAGE,)),
        Node(relu(), (0,)),
        Node(conv(30, stride=2), (1,)),
        Node(relu(), (2,)),
        Node(conv(36), (3,)),
        Node(Crop("height", step=2), (1,)),  # behind the block's own layers
        Node(Crop("width", step=2), (5,)),
        Node(Widen(36, front), (6,)),
        Node(add(), (4, 7)),
        Node(relu(), (8,)),
        Node(avg_pool(), (9,)),
        Node(linear(3), (10,)),
    )
    teacher = trained(Architecture(layers, (2, 8, 8), 3))
    stage = ShrinkStage(Student(teacher.architecture))
    outputs = iter(tenths)
    student = stage.student([next(outputs) if variable is Variable.OUTPUTS else 9 for variable in stage.variables])
    made = Network(student.architecture).eval()
    assert inherit(made, student, teacher) == sizes(made)
    kept = Kept(student, teacher)
    for index in (0, 2, 4):
        lacking = torch.ones(teacher.architecture.widths[index], dtype=torch.bool)
        lacking[kept.outputs[index]] = False
        for value in teacher.layers[index].state_dict().values():
            value[lacking] = 0
    teacher.layers[11][1].weight.data[:, lacking] = 0  # of the sum, of whose channels the shortcut carries more
    images = torch.rand(3, 2, 8, 8)
    torch.testing.assert_close(made(images), teacher(images))


@pytest.mark.parametrize("name", ["conv4", "vgg13", "resnet18", "resnet50"])
def test_any_student_takes_over_what_fits(name):
    teacher = trained(network(name, (1, 8, 8), width=0.1))
    stage = RemovalStage(Student(teacher.architecture))
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3):
        actions = [REMOVE if rng.random() < share else KEEP for _ in range(stage.decisions)]
        student = stage.student(actions)
        second = ShrinkStage(student)
        for each in (student, second.student(rng.integers(3, 10, second.decisions).tolist())):
            if each.architecture.verdict().feasible:
                made = Network(each.architecture).eval()
                taken = inherit(made, each, teacher)
                assert 0 < taken <= sizes(made)
                assert made(torch.rand(2, *each.architecture.input_shape)).isfinite().all()


def test_of_two_equal_architectures_each_inherits_from_its_own_layers():
    architecture = Architecture.chain([conv(4), conv(4), conv(4), avg_pool(), linear(3)], (4, 6, 6), 3)
    teacher = trained(architecture)
    stage = RemovalStage(Student(architecture))
    first, second = stage.student([0, 1, 0, 0, 0]), stage.student([0, 0, 1, 0, 0])
    assert first.architecture == second.architecture
    assert first.origins != second.origins
    weights = []
    for student in (first, second):
        made = Network(student.architecture)
        inherit(made, student, teacher)
        weights.append(made.layers[1].weight)
    torch.testing.assert_close(weights[0], teacher.layers[2].weight)
    torch.testing.assert_close(weights[1], teacher.layers[1].weight)


def test_another_teachers_student_is_refused():
    teacher = trained(network("conv4", (1, 8, 8), width=0.1))
    student = Student(network("conv4", (1, 8, 8), width=0.2))
    with pytest.raises(ValueError, match="another teacher's"):
        inherit(Network(student.architecture), student, teacher)
