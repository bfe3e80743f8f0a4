"""All of Fashion-MNIST in less than an hour on two cores: a residual network is trained, compressed ten times, judged.

python examples/fashion_mnist.py [folder]

54,000 images to learn from, 6,000 to choose by, 10,000 that are looked at once, at the end.
"""

import n2n_gym.teachers  # before torch: threads that wait for each other then sleep

# isort: split

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from agents import compress
from n2n_gym.data import load_dataset
from n2n_gym.teachers.saved import teacher_facts

MEAN, STD = 0.286, 0.353


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """For grey images of 28 x 28 pixels and ten classes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        sizes = [width, width, 2 * width, 4 * width]
        blocks = [Block(sizes[i], sizes[i + 1], 2 if i else 1) for i in range(3)]
        self.blocks = nn.Sequential(*blocks, Block(sizes[-1], sizes[-1], 1))
        self.classifier = nn.Linear(sizes[-1], 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn(self.stem(images)))
        return self.classifier(self.blocks(x).mean((2, 3)))


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """One cycle of the learning rate, images mirrored at random."""
    pixels = ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.channels_last).train()
    steps = epochs * -(-len(pixels) // 128)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(pixels)).split(128):
            batch = pixels[chosen]
            batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(3), batch)
            loss = functional.cross_entropy(network(batch), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def main(
    folder: str = "runs/fashion-mnist",
    dataset: str = "fashion-mnist",
    width: int = 32,
    epochs: int = 8,
    smaller: int = 10,
    students: int = 40,
    finalists: int = 2,
    final_trainings: int = 2,
    final_epochs: int = 6,
    workers: int | None = None,
) -> None:
    begun = time.perf_counter()
    torch.manual_seed(0)
    network = ResNet(width)
    source = load_dataset(dataset)
    rows, _ = source.split(None)  # what the students will be chosen by, the teacher has not seen either
    images, labels = source.train
    train(network, torch.from_numpy(images[rows].transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels[rows]), epochs)
    name = n2n_gym.teachers.keep(network, dataset, mean=(MEAN,), std=(STD,))
    print(f"the teacher, after {(time.perf_counter() - begun) / 60:.0f} minutes: {name}")
    result = compress(
        teacher=name,
        dataset=dataset,
        stages="2",
        recipe="fast",
        reward="accuracy",
        constraint=f"parameters<={teacher_facts(name)['parameters'] // smaller}",
        students=students,
        rollouts=4,
        finalists=finalists,
        final_trainings=final_trainings,
        final_epochs=final_epochs,
        workers=workers,
        out=str(Path(folder)),
    )
    teacher, student = result["teacher"], result["student"]
    accuracy = student["test_accuracies"]["mean"]
    print(result["verdict"])
    print(
        f"{student['ratio']:.1f} times smaller; {accuracy:.2%} of the test images right, the teacher "
        f"{teacher['test_accuracy']:.2%}; {(time.perf_counter() - begun) / 60:.0f} minutes"
    )


if __name__ == "__main__":  # worker processes import this file again
    main(*sys.argv[1:2])
