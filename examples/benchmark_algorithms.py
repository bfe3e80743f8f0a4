"""Which algorithm finds good students soonest? Some of them on a table whose best student is known, several seeds each.

python examples/benchmark_algorithms.py [table] [folder]

What `n2n benchmark` does for all algorithms and tables; stopped, it goes on where it was. Prints, for each algorithm, how
much of the best reward it reached, and draws the curves.
"""

import sys
from pathlib import Path

from rich.console import Console

from agents.benchmark.runs import versions
from agents.benchmark.suite import benchmark
from agents.display import ProgressDisplay
from n2n_gym.system.machine import machine

AGENTS = ("reinforce-imitating", "maskable-ppo", "evolution", "random")


def main(
    table: str = "conv4-digits-removal", folder: str = "runs/benchmark-example", seeds: int = 5, evaluations: int = 250
) -> None:
    facts = {"command": "examples/benchmark_algorithms.py", "machine": machine(), "versions": versions()}
    with ProgressDisplay(Console()) as display:
        comparison = benchmark(
            AGENTS, tasks=(table,), seeds=seeds, evaluations=evaluations, out=Path(folder), facts=facts, display=display
        )
    print(f"{evaluations} students, {seeds} seeds: interquartile means as shares of the best reward (95% interval)")
    for agent in comparison.agents:
        print(f"{agent:14} best student {comparison.best[agent]}, final policy {comparison.policy[agent]}")
    print(Path(folder) / "regret.png")


if __name__ == "__main__":  # worker processes import this file again
    main(*sys.argv[1:3])
