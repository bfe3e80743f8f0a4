"""Joined networks compute what each of them computes by itself."""

import pytest
import torch

from envs_tests import families
from n2n_gym.architecture import IMAGE, Architecture
from n2n_gym.layers import add, batch_norm, conv, depthwise, linear, max_pool, relu
from n2n_gym.models.build import Network
from n2n_gym.models.joined import JoinedNetwork
from n2n_gym.networks.zoo import network


def bottleneck():
    net = families.Builder()
    head = net(IMAGE, conv(4), batch_norm(), relu())
    branch = net(head, conv(2, 1), batch_norm(), relu(), conv(2, stride=2), batch_norm(), relu(), conv(8, 1), batch_norm())
    shortcut = net(head, conv(8, 1, stride=2), batch_norm())
    return net.done(net((branch, shortcut), add(), relu()), size=12)


NETWORKS = {
    "biases": Architecture.chain([conv(4, 5, bias=True), relu(), max_pool(), linear(6), relu(), linear(3)], (1, 8, 8), 3),
    "depthwise": Architecture.chain([conv(4), batch_norm(), depthwise(3), conv(6, 1), relu(), linear(3)], (2, 8, 8), 3),
    "grouped": Architecture.chain([conv(4), conv(8, groups=2), relu(), linear(3)], (3, 8, 8), 3),
    "strided shortcuts": network("resnet18", (3, 32, 32), 10, width=0.0625),
    "bottleneck": bottleneck(),
    "mean at the end": network("conv3", (1, 28, 28), 10, width=0.125),
}


def drawn(architecture, count=3):
    return [Network(architecture, torch.Generator().manual_seed(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_logits_and_statistics_are_each_networks_own(name, training):
    networks = drawn(NETWORKS[name])
    joined = JoinedNetwork(networks)
    images = torch.randn(3, 8, *networks[0].architecture.input_shape, generator=torch.Generator().manual_seed(9))
    for each in (*networks, joined):
        each.train(training)
    apart = torch.stack([each(own) for each, own in zip(networks, images, strict=True)])
    together = joined(images.transpose(0, 1).flatten(1, 2))
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    assert (apart[0] - apart[1]).abs().max() > 0.01, "networks that are alike would show nothing"
    statistics = [buffer for buffer_name, buffer in joined.named_buffers() if "running" in buffer_name]
    for index, buffer in enumerate(statistics):
        own = [[b for n, b in each.named_buffers() if "running" in n][index] for each in networks]
        torch.testing.assert_close(buffer, torch.cat(own), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_images_may_be_given_once(name):
    networks = [each.eval() for each in drawn(NETWORKS[name])]
    images = torch.randn(4, *networks[0].architecture.input_shape, generator=torch.Generator().manual_seed(9))
    torch.testing.assert_close(
        JoinedNetwork(networks).eval()(images), torch.stack([each(images) for each in networks]), rtol=1e-4, atol=1e-4
    )


def test_a_networks_gradients_are_its_own():
    networks = drawn(NETWORKS["bottleneck"])
    joined = JoinedNetwork(networks).train()
    images = torch.randn(8, *networks[0].architecture.input_shape, generator=torch.Generator().manual_seed(9))
    joined(images)[1].sum().backward()
    networks[1].train()(images).sum().backward()
    for there, here in zip(joined.parameters(), networks[1].parameters(), strict=True):
        by_network = there.grad.view(3, *here.shape)
        torch.testing.assert_close(by_network[1], here.grad, rtol=1e-3, atol=1e-3)
        assert not by_network[0].any()
        assert not by_network[2].any()


def test_what_cannot_be_joined_is_said():
    with pytest.raises(TypeError, match="Concatenation of several networks cannot be joined"):
        JoinedNetwork(drawn(families.densenet()))
    with pytest.raises(ValueError, match="of one architecture"):
        JoinedNetwork([*drawn(NETWORKS["biases"], 1), *drawn(NETWORKS["grouped"], 1)])
    with pytest.raises(ValueError, match="one or more"):
        JoinedNetwork([])
