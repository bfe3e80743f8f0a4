"""Compress a network of your own: your code, your training, your images in folders, your normalisation.

python examples/own_network.py [folder]

Stands in for your own: a depthwise-separable network, and Fashion-MNIST written as PNGs, a class a folder.
"""

import n2n_gym.teachers  # before torch: threads that wait for each other then sleep

# isort: split

import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from agents import compress, export
from n2n_gym.data import load_dataset
from n2n_gym.teachers.saved import teacher_facts

MEAN, STD = 0.25, 0.3


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution, then a pointwise one."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class MyNet(nn.Module):
    """For grey images of 28 x 28 pixels and ten classes."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = nn.Sequential(separable(width, 2 * width, 2), separable(2 * width, 2 * width))
        self.stage2 = nn.Sequential(separable(2 * width, 4 * width, 2), separable(4 * width, 4 * width))
        self.classifier = nn.Linear(4 * width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stage2(self.stage1(self.stem(images)))
        return self.classifier(x.mean((2, 3)))


def write_pictures(folder: Path, dataset: str, count: int) -> None:
    """Fashion-MNIST as PNGs: FOLDER/train/CLASS/NUMBER.png, FOLDER/val/... and FOLDER/test/....

    Nobody has trained on the images in val: those that your network knows by heart are no measure of its students.
    """
    source = load_dataset(dataset)
    held = count // 6
    parts = {"train": (source.train, 0, count), "val": (source.train, count, held), "test": (source.test, 0, held)}
    for split, ((images, labels), first, number) in parts.items():
        for i in range(first, min(first + number, len(images))):
            place = folder / split / f"class{labels[i]}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i, :, :, 0]).save(place / f"{i:05d}.png")


def train(network: nn.Module, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    """Your training."""
    pixels = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255 - MEAN) / STD
    targets = torch.from_numpy(labels)
    steps = epochs * -(-len(pixels) // 128)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(pixels)).split(128):
            loss = functional.cross_entropy(network(pixels[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def main(
    folder: str = "runs/own-network",
    dataset: str = "fashion-mnist",
    pictures: int = 6_000,
    epochs: int = 8,
    width: int = 64,
    smaller: int = 8,
    fewer_macs: int = 5,
    iterations: int = 8,
    finalists: int = 2,
    final_trainings: int = 2,
    workers: int | None = None,
) -> None:
    out = Path(folder)
    write_pictures(out / "pictures", dataset, pictures)
    torch.manual_seed(0)
    network = MyNet(width)
    source = load_dataset(dataset)
    train(network, source.train[0][:pictures], source.train[1][:pictures], epochs)
    begun = time.perf_counter()
    name = n2n_gym.teachers.keep(network, str(out / "pictures"), mean=(MEAN,), std=(STD,))
    parameters, macs = (teacher_facts(name)[quantity] for quantity in ("parameters", "macs"))
    result = compress(
        teacher=name,
        dataset=str(out / "pictures"),
        recipe="sample",  # students start from your weights
        reward="accuracy",  # as accurate as can be within these limits
        constraint=(f"parameters<={parameters // smaller}", f"macs<={macs // fewer_macs}"),
        relaxation="relaxed:5",
        iterations=iterations,
        finalists=finalists,
        final_trainings=final_trainings,
        workers=workers,
        out=str(out / "run"),
    )
    print(f"compressed in {(time.perf_counter() - begun) / 60:.0f} minutes")
    forms = ("python", "torch", "onnx") if find_spec("onnxscript") else ("python", "torch")  # pip install "n2n-gym[export]"
    files = [path.name for form in forms for path in export(out / "run", form)]
    teacher, student = result["teacher"], result["student"]
    accuracy = student["test_accuracies"]["mean"]
    print(
        f"{student['ratio']:.1f} times smaller; {accuracy:.2%} of the test images right, the teacher "
        f"{teacher['test_accuracy']:.2%}; exported: {', '.join(files)}"
    )
    print(result["verdict"])
    for row in result["speed"]:
        if row["batch"] == 64:
            faster = row["teacher"]["median"] / row["student"]["median"]
            print(f"{row['engine']}, {row['threads']} threads, 64 images at a time: {faster:.1f} times faster")


if __name__ == "__main__":  # worker processes import this file again
    main(*sys.argv[1:2])
