"""Compare algorithms on a table, in a minute: the best student is known, so one sees how far each is from it.

python examples/benchmark_algorithms.py
"""

from pathlib import Path

from agents.benchmark.suite import benchmark

TASK = "conv4-digits-removal"  # every student of a Conv4 on handwritten digits: n2n table list


def main(task: str = TASK, seeds: int = 5, evaluations: int = 200, out: str = "runs/few-algorithms", workers: int = 2) -> None:
    """Three of this package's algorithms and one of one's own, on one task."""
    own = Path(__file__).parent / "hill_climbing.py"
    comparison = benchmark(
        ["reinforce", "evolution", "random", str(own)],
        tasks=[task],
        seeds=seeds,
        evaluations=evaluations,
        out=Path(out),
        workers=workers,
        facts={"command": "python examples/benchmark_algorithms.py"},
    )
    for agent in comparison.agents:
        [scores] = comparison.scores[agent]
        print(
            f"{agent:14} regret {scores.regret[:, -1].mean():.4f}, final policy's mean reward {scores.policy_mean.mean():.3f}"
        )
    print(f"{out}/LEADERBOARD.md, {out}/regret.png")


if __name__ == "__main__":
    main()
