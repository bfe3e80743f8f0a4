"""Networks as people write them, small."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A functional residual network; `swapped` writes the operands of its sums the other way round."""

    def __init__(self, swapped=False, channels=1, classes=3, filters=12):
        super().__init__()
        self.stem = nn.Conv2d(channels, filters, 3, padding=1)
        self.conv1 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(filters, 2 * filters, 1, stride=2)
        self.head = nn.Linear(2 * filters, classes)
        self.swapped = swapped

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.bn1(self.conv1(x))
        x = F.relu(x + y if self.swapped else y + x)
        x = self.shortcut(x) + self.conv2(x) if self.swapped else self.conv2(x) + self.shortcut(x)
        return self.head(F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1))


class Pooled(nn.Module):
    """A convolution, and a way to pool its maps."""

    def __init__(self, pooling):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)
        self.pooling = pooling

    def forward(self, x):
        return self.head(self.pooling(F.relu(self.conv(x))))


class OptionA(nn.Module):
    """A block of the CIFAR ResNets with a shortcut without weights: every second pixel, and channels of zeros."""

    def __init__(self, source, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(source, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.more = filters - source

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        out += x
        return F.relu(out)


class ResNet20(nn.Module):
    """A CIFAR ResNet: 3 stages of so many blocks."""

    def __init__(self, blocks=3, filters=16, channels=3, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        stages, source = [], filters
        for stage in range(3):
            for block in range(blocks):
                width = filters * 2**stage
                stages.append(OptionA(source, width, 2 if stage and not block else 1))
                source = width
        self.layers = nn.Sequential(*stages)
        self.linear = nn.Linear(source, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        x = F.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


class Gated(nn.Module):
    """Squeeze and excitation as older code writes it: the gate is expanded by hand."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 12, 3, padding=1)
        self.down, self.up = nn.Linear(12, 4), nn.Linear(4, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.conv(x))
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3)))))).view(x.size(0), -1, 1, 1)
        return self.head((x * self.expanded(gate, x)).mean((2, 3)))

    def expanded(self, gate, x):
        return gate.expand_as(x)


class GatedAnew(Gated):
    """The same with the gate written out, and looked at in other ways."""

    def expanded(self, gate, x):
        rows = gate.expand(-1, -1, 16, 8)[:, :, 2:10]
        return rows.contiguous().view(x.shape).flatten(2).unflatten(2, (8, 8))


class Shuffled(nn.Module):
    """Halves, one of them convolved, put together and shuffled."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.mix, self.head = nn.Conv2d(16, 16, 1, groups=2), nn.Linear(16, 3)

    def forward(self, x):
        left, right = self.stem(x).chunk(2, dim=1)
        x = torch.cat([left, F.relu(self.branch(right))], 1)
        images, channels, height, width = x.shape
        x = x.view(images, 2, channels // 2, height, width).transpose(1, 2).contiguous().view(images, -1, height, width)
        return self.head(F.relu(self.mix(x)).mean((2, 3)))


class InPlace(nn.Module):
    """What is added again after it was rectified in place, through another view of it, is the rectified map."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1), nn.Linear(12, 3)

    def forward(self, x):
        x = self.one(x)
        F.relu_(x.flatten(1))
        y = self.two(x)
        return self.head((x + y).mean((2, 3)))


class Copied(InPlace):
    """What was copied before another was changed in place stays as it was; what only looks like a copy does not.

    `copy` makes the copy; `changed` says which of the two is changed.
    """

    def __init__(self, copy=torch.clone, changed="original"):
        super().__init__()
        self.copy, self.changed = copy, changed

    def forward(self, x):
        x = self.one(x)
        copy = self.copy(x)
        F.relu_(x if self.changed == "original" else copy)
        return self.head((self.two(x) + copy).mean((2, 3)))


class ShuffledInPlace(Shuffled):
    """What a shuffle wrote anew is rectified in place, and a part of that is doubled in place, which leaves the other."""

    def forward(self, x):
        x = self.stem(x)
        images, channels, height, width = x.shape
        y = x.view(images, 2, channels // 2, height, width).transpose(1, 2).contiguous().view(images, -1, height, width)
        F.relu_(y.flatten(1))
        left, right = y.chunk(2, dim=1)
        left.mul_(2)
        return self.head(self.mix(torch.cat([self.branch(left) + left, right], 1) + x).mean((2, 3)))


class Rows(nn.Module):
    """Several linear layers with dropout between them, and a view that is written out."""

    def __init__(self, classes=3):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2)
        self.one, self.bn, self.two = nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Linear(20, classes)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        x = self.pool(F.relu(self.conv(x))).reshape(-1, 64)
        return self.two(self.drop(F.relu(self.bn(self.one(x)))))


class Indexed(Residual):
    """What nothing reads is of no account."""

    def forward(self, x):
        topmost = x.flatten(1).topk(1)
        pooled, _ = F.max_pool2d(x, 2, return_indices=True)
        return super().forward(pooled) if topmost is not None else x


class Scaled(nn.Module):
    """A learned scale that is brought into shape where it is used."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 12, 3, padding=1), nn.Linear(12, 3)
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 12))

    def forward(self, x):
        return self.head((F.relu(self.conv(x)) * self.scale.reshape(1, -1, 1, 1)).mean((2, 3)))


class ScaledFirst(Scaled):
    """The scale is written first, as that of a layer in a residual branch often is; and what is pooled is picked out."""

    def forward(self, x):
        x = self.conv(x)
        return self.head(F.adaptive_avg_pool2d(x + self.scale[:, None, None] * F.relu(x), 1)[:, :, 0, 0])


# What cannot be imported


class Standardised(nn.Conv2d):
    """Weights that are computed anew from weights, each time."""

    def forward(self, x):
        rows = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(rows, None, None, training=True).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias).mean((2, 3))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up, self.head = nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 2, 2), nn.Linear(8, 3)

    def forward(self, x):
        x = self.up(self.down(x))
        x = F.interpolate(x, scale_factor=2)
        return torch.softmax(self.head(x.mean((2, 3))), 1)


class EarlyExit(Residual):
    def forward(self, x):
        if self.stem(x).mean() > 100:
            return self.head(torch.zeros(len(x), 24))
        return super().forward(x)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 3)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = F.relu(self.conv(x))
        return self.head(x.flatten(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, 16, 2, 2), nn.Linear(16, 3)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(x).mean(1))


class TwoInputs(Residual):
    def forward(self, x, mask):
        return super().forward(x * mask)


class Dictionary(Residual):
    def forward(self, x):
        return {"logits": super().forward(x)}


class Auxiliary(Residual):
    def __init__(self):
        super().__init__()
        self.auxiliary = nn.Linear(3, 3)


class Random(Residual):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)


class Mixing(Residual):
    def forward(self, x):
        return super().forward(x).view(-1, 2, 3).flatten(1).view(-1, 3).transpose(0, 1).reshape(-1, 3)


def broken():
    raise KeyError("x")


def needs(filters):
    return Residual(filters=filters)


NUMBER = 3
