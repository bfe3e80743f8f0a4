"""The leaderboard and the benchmark's figures, made from result files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.metrics import Scores, bootstrap, difference, median_evaluations, profile
from agents.benchmark.results import Results
from agents.benchmark.tasks import Task
from agents.interval import Interval
from agents.pictures import new_figure, open_frame, save_figure
from n2n_gym.errors import InputError
from n2n_gym.system.files import write_json, write_text

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#222222", "#ee8866", "#44bb99", "#999933")

LINES = ("-", "--", "-.")

SHARES = (0.95, 0.99)


class Comparison:
    """Algorithms side by side.

    Args:
        results: One for each algorithm; all with the same number of evaluations.
        tasks: What they ran on.

    Raises:
        InputError: If they cannot be compared.
    """

    def __init__(self, results: Sequence[Results], tasks: Sequence[Task]) -> None:
        if len({each.agent for each in results}) != len(results):
            raise InputError(f"algorithms must have different names: {', '.join(each.agent for each in results)}")
        sizes = {(each.evaluations, len(each.of_task(task.table.name))) for each in results for task in tasks}
        if len(sizes) != 1:
            shown = "; ".join(f"{evaluations} students, {seeds} seeds" for evaluations, seeds in sorted(sizes))
            raise InputError(f"only runs with as many students and seeds can be compared, not {shown}")
        self.tasks = list(tasks)
        self.results = list(results)
        self.evaluations = results[0].evaluations
        self.scores = {each.agent: [Scores.of(each.of_task(task.table.name), task) for task in tasks] for each in results}
        self.best = {agent: bootstrap([s.best for s in scores]) for agent, scores in self.scores.items()}
        self.area = {agent: bootstrap([s.area for s in scores]) for agent, scores in self.scores.items()}
        self.policy = {agent: self._of_policies("policy_mean", scores) for agent, scores in self.scores.items()}
        self.greedy = {agent: self._of_policies("policy_greedy", scores) for agent, scores in self.scores.items()}
        self.agents = sorted(self.scores, key=lambda agent: -self.area[agent].mean)

    @staticmethod
    def _of_policies(name: str, scores: list[Scores]) -> Interval | None:
        values = [getattr(each, name) / each.optimum for each in scores]
        return None if np.isnan(np.concatenate(values)).any() else bootstrap(values)

    def write(self, folder: Path, command: str) -> None:
        """Write `LEADERBOARD.md`, `comparison.json` and the figures."""
        write_text(folder / "LEADERBOARD.md", self.leaderboard(command))
        write_json(folder / "comparison.json", self.to_json())
        _draw_curves(self, folder / "regret.png")
        _draw_profiles(self, folder / "profiles.png")

    def to_json(self) -> dict[str, Any]:
        """Everything that the leaderboard says, as JSON data."""
        return {
            agent: {
                "best": _as_json(self.best[agent]),
                "area": _as_json(self.area[agent]),
                "policy_mean": _as_json(self.policy[agent]),
                "policy_greedy": _as_json(self.greedy[agent]),
                "tasks": {
                    task.table.name: {
                        "regret": scores.regret[:, -1].tolist(),
                        **{f"evaluations_to_{share:.0%}": _finite(scores.evaluations_to(share)) for share in SHARES},
                        "policy_mean": _finite(scores.policy_mean),
                        "policy_greedy": _finite(scores.policy_greedy),
                        "policy_mean_above_random": _difference_as_json(self._above_random(agent, index)),
                        "seconds": scores.seconds.tolist(),
                    }
                    for index, (task, scores) in enumerate(zip(self.tasks, self.scores[agent], strict=True))
                },
            }
            for agent in self.agents
        }

    def _above_random(self, agent: str, index: int) -> Interval | None:
        """How much more the final policy's mean reward is than random search's on a task; None where either is not there."""
        scores, random = self.scores[agent][index], self.scores.get("random")
        if random is None or np.isnan(scores.policy_mean).any():
            return None
        return difference(scores.policy_mean, random[index].policy_mean)

    def random_search_error(self, index: int) -> float | None:
        """How far random search's mean curve is from its exact expectation on a task, at the most: in standard errors."""
        if "random" not in self.scores or len(self.scores["random"][index].regret) < 2:
            return None
        scores, table = self.scores["random"][index], self.tasks[index].table
        seen = scores.optimum - scores.regret
        error = seen.std(axis=0, ddof=1) / np.sqrt(len(seen))
        apart = np.abs(seen.mean(0) - table.expected_best(self.evaluations))
        return float((apart[error > 0] / error[error > 0]).max(initial=0.0))

    def leaderboard(self, command: str) -> str:
        """The leaderboard as Markdown."""
        seeds = len(self.results[0].of_task(self.tasks[0].table.name))
        lines = [
            "# Leaderboard",
            "",
            f"{len(self.tasks)} task{'s' * (len(self.tasks) > 1)}, {seeds} seeds each, {self.evaluations} evaluated students "
            "a run. Interquartile means "
            "over all runs as shares of the best reward that there is, with stratified bootstrap 95% intervals. Sorted by "
            "the area under the curve of the best student so far. *Policy*: mean reward of "
            "100 episodes of the final policy, and reward of its most probable one; of a search without a policy, what it "
            "would look at next, and its best student."
            + (" With fewer than 10 seeds the intervals are too narrow." if seeds < 10 else ""),
            "",
            "| algorithm | area | best student | policy | greedy | reached 99%, runs |",
            "|---|---|---|---|---|---|",
        ]
        for agent in self.agents:
            reached = [s.evaluations_to(SHARES[-1]) for s in self.scores[agent]]
            share = f"{sum(int(np.isfinite(r).sum()) for r in reached)} of {sum(map(len, reached))}"
            cells = (self.area[agent], self.best[agent], self.policy[agent], self.greedy[agent])
            lines.append(f"| {agent} | {' | '.join(_shown(cell) for cell in cells)} | {share} |")
        for index, task in enumerate(self.tasks):
            lines += self._of_task(index, task)
        lines += ["", "![Regret](regret.png)", "", "![Profiles](profiles.png)", "", f"Made by `{command}`.", ""]
        return "\n".join(lines)

    def _of_task(self, index: int, task: Task) -> list[str]:
        best = task.table.best()
        lines = [
            "",
            f"## {task.table.name}",
            "",
            f"Best reward {best.value:.4f}, of a student with {best.evaluation.parameters:,} parameters. Regret: mean over "
            "the seeds, with the standard deviation.",
            "",
            "| algorithm | regret | "
            + " | ".join(f"evaluations to {share:.0%} (median)" for share in SHARES)
            + " | reached 99% |"
            " policy | policy - random's (95%) | greedy | seconds a run, as reported |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for agent in sorted(self.scores, key=lambda agent: self.scores[agent][index].regret[:, -1].mean()):
            scores = self.scores[agent][index]
            final = scores.regret[:, -1]
            medians = [median_evaluations(scores.evaluations_to(share)) for share in SHARES]
            until = " | ".join(f"{median:.0f}" if np.isfinite(median) else "-" for median in medians)
            reached = f"{int(np.isfinite(scores.evaluations_to(SHARES[-1])).sum())} of {len(final)}"
            has_policy = not np.isnan(scores.policy_mean).any()
            more = self._above_random(agent, index)
            policy = f"{scores.policy_mean.mean():.3f} | {_shown(more, '+.3f')} | {scores.policy_greedy.mean():.3f}"
            lines.append(
                f"| {agent} | {final.mean():.4f} ± {final.std(ddof=1) if len(final) > 1 else 0.0:.4f} | {until} | {reached} "
                f"| {policy if has_policy else '- | - | -'} | {np.median(scores.seconds):.1f} |"
            )
        if (error := self.random_search_error(index)) is not None:
            lines += ["", f"Random search's mean curve is at most {error:.1f} standard errors from its exact expectation."]
        return lines


def _finite(values: np.ndarray[Any, Any]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _as_json(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    data = interval.to_json()
    return {"interquartile_mean": data.pop("mean"), **data}


def _difference_as_json(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else {key: value for key, value in interval.to_json().items() if key != "values"}


def _shown(interval: Interval | None, numbers: str = ".4f") -> str:
    return "-" if interval is None else f"{interval:{numbers}}"


def _looks(agents: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """A colour for each algorithm; more than there are colours get dashes."""
    return [
        (agent, {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i // len(COLOURS) % len(LINES)], "label": agent})
        for i, agent in enumerate(agents)
    ]


def _draw_curves(comparison: Comparison, path: Path) -> None:
    """Regret against evaluations, on each task; random search's exact expectation beside its measured mean."""
    tasks = comparison.tasks
    figure = new_figure(max(6.0, 4.6 * len(tasks)), 4.2)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    evaluations = np.arange(1, comparison.evaluations + 1)
    for index, (task, axes) in enumerate(zip(tasks, panels, strict=True)):
        for agent, look in _looks(comparison.agents):
            regret = comparison.scores[agent][index].regret
            axes.plot(evaluations, regret.mean(0), linewidth=1.4, **look)
        expected = task.table.best().value - task.table.expected_best(comparison.evaluations)
        axes.plot(evaluations, expected, color="black", linestyle=":", label="random, exact expectation")
        axes.set(title=task.table.name, xlabel="evaluated students", ylabel="regret (mean over the seeds)", yscale="log")
        axes.set_ylim(max(1e-4, expected[-1] / 30))
        open_frame(axes, grid="both")
    panels[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)


def _draw_profiles(comparison: Comparison, path: Path) -> None:
    """The share of runs that reach a score: the best student's, and the final policy's mean."""
    figure = new_figure(9.2, 3.8)
    left, right = figure.subplots(1, 2)
    lowest = min(float(np.quantile(np.concatenate([s.best for s in each]), 0.02)) for each in comparison.scores.values())
    shares = np.linspace(lowest, 1.0, 201)
    whole = np.linspace(0.0, 1.0, 201)
    for agent, look in _looks(comparison.agents):
        scores = comparison.scores[agent]
        left.step(shares, profile([s.best for s in scores], shares), where="post", **look)
        if comparison.policy[agent] is not None:
            policies = [s.policy_mean / s.optimum for s in scores]
            right.step(whole, profile(policies, whole), where="post", **look)
    left.set(title="best student", xlabel="reward, share of the optimum", ylabel="share of runs that reach it")
    right.set(title="final policy, mean of 100 episodes", xlabel="reward, share of the optimum")
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
        open_frame(axes)
    right.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)
