"""Compress a network and classify images with the student.

python examples/compress_and_use.py [iterations]
"""

import sys
import tempfile

import torch

from agents import compress, load_student
from n2n_gym.data import load_dataset


def main(iterations: int = 10, workers: int | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = compress(teacher="conv4", dataset="digits", iterations=iterations, workers=workers, out=f"{folder}/run")
        student = load_student(f"{folder}/run")
    images, labels = load_dataset("digits").test
    predicted = student(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).argmax(1).numpy()
    print(f"{result['student']['ratio']:.1f} times smaller; {(predicted == labels).mean():.2%} of the test images right")


if __name__ == "__main__":  # worker processes import this file again
    main(*map(int, sys.argv[1:2]))
