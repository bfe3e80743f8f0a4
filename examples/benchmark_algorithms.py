"""Which algorithm finds good students soonest? Some of them on a table whose best student is known, several seeds each.

python examples/benchmark_algorithms.py [table] [folder]

What `n2n benchmark` does for all algorithms and tables; stopped, it goes on where it was. Prints, for each algorithm, which
share of the gap between random search and the best student it closed, and draws the curves.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agents.benchmark.runs import versions
from agents.benchmark.suite import benchmark
from agents.display import ProgressDisplay
from n2n_gym.system.machine import machine

AGENTS = ("reinforce-imitating", "maskable-ppo", "evolution", "random")


def main(
    table: str = "conv4-digits-removal",
    folder: str = "runs/benchmark-example",
    seeds: int = 5,
    budgets: Sequence[int] = (10, 50),
) -> None:
    facts = {"command": "examples/benchmark_algorithms.py", "machine": machine(), "versions": versions()}
    with ProgressDisplay(Console()) as display:
        comparison = benchmark(
            AGENTS,
            tasks=(table,),
            tracks=("reward",),
            seeds=seeds,
            budgets=budgets,
            out=Path(folder),
            facts=facts,
            display=display,
        )
    [standing] = comparison.standings
    print(f"{seeds} seeds: share of the gap to random search closed (95% interval)")
    for agent in standing.agents:
        print(f"{agent:14} {', '.join(f'{budget} students {standing.at(agent, budget)}' for budget in budgets)}")
    print(Path(folder) / "curves.png")


if __name__ == "__main__":  # worker processes import this file again
    main(*sys.argv[1:3])
