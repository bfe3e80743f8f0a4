"""Does a policy that learned to remove layers from ResNet-18 know how to begin on ResNet-34 (section 4.6)?

python examples/transfer_resnet18_to_34.py [scale] [folder]

`scale` is `cpu` (narrow networks on part of CIFAR-10), `paper` or `tiny` (a test). Prints table 5's columns with 95% intervals
over the seeds and draws figure 10. Stopped, it goes on where it was.
"""

import sys
from pathlib import Path

from rich.console import Console

from agents.display import ProgressDisplay
from agents.reproduce.figures import draw_lines
from agents.reproduce.lab import Lab
from agents.reproduce.tables import transfer


def main(scale: str = "cpu", folder: str = "runs/transfer", workers: int | str | None = None) -> None:
    with ProgressDisplay(Console()) as display:
        lab = Lab(scale, Path(folder), device="auto", workers=workers, display=display)
        summary = transfer(lab, "resnet18", "resnet34", "cifar10")
    print(f"first {lab.scale.first_updates} policy updates on ResNet-34, {lab.data('cifar10', lab.scale.transfer_train_size)}")
    print(
        f"means over {lab.scale.seeds} seeds (95% intervals; a difference's holds for all three transfers of table 5 at once)"
    )
    for quantity in ("reward", "compression", "accuracy"):
        print(
            f"{quantity:12}"
            + "".join(f"  {kind.replace('_', ' ')} {interval}" for kind, interval in summary[quantity].items())
        )
    picture = Path(folder) / "figure10.png"
    draw_lines(picture, {"ResNet-18 to ResNet-34": summary["curves"]})
    print(picture)


if __name__ == "__main__":  # worker processes import this file again
    main(*sys.argv[1:3])
