"""The end of Algorithm 1: what the search found is trained to convergence, and the best of it is the student."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.display import Display
from agents.search.comparison import sizes
from agents.search.options import Search
from agents.search.run_folder import FINALISTS, Episode
from agents.search.student import FinalTraining
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.latency import measured_latency
from n2n_gym.limits import Constraints
from n2n_gym.models.checkpoint import describe_checkpoint, load_checkpoint
from n2n_gym.rewards import reward_by_name
from n2n_gym.student import Student
from n2n_gym.system.files import part_of
from n2n_gym.teachers.saved import Teacher
from n2n_gym.training.recipes import final_recipe


def finalists(history: Sequence[Episode], count: int) -> list[Episode]:
    """The students that are worth their final training: the most rewarded among those that none beats on both counts.

    The search's rewards are noisy. Students on the front of accuracy and parameters differ in size, so that one of them is
    better than the others once all are trained to convergence.

    Args:
        history: Every student that was tried.
        count: How many, at most.
    """
    least = min((episode.excess for episode in history if not episode.reason), default=0.0)
    distinct = {e.fingerprint: e for e in reversed(history) if not e.reason and e.excess == least}.values()
    front = [
        episode
        for episode in distinct
        if not any(
            other.accuracy >= episode.accuracy
            and other.parameters <= episode.parameters
            and (other.accuracy, other.parameters) != (episode.accuracy, episode.parameters)
            for other in distinct
        )
    ]
    return sorted(front, key=lambda episode: (-episode.reward, episode.fingerprint))[:count]


def by_final_limits(history: Sequence[Episode], search: Search) -> list[Episode]:
    """The history with every student held to the limits that the end result must keep.

    Stage 1 leaves `headroom` to stage 2, so what kept its limits may still exceed these.
    """
    if search.stages_alike:
        return list(history)
    looser = Constraints(tuple(row for row in search.limits.rows if row.limits_what_shrinks))

    def excess(episode: Episode) -> float:  # those limits are on nothing but sizes: what accuracy it has does not matter
        student = episode.candidate(search.start).architecture
        size = Evaluation.of(student, search.problem.architecture, accuracy=0.0, teacher_accuracy=1.0)
        return max(episode.excess, looser.excess(size))

    return [replace(e, excess=excess(e)) if e.stage == 1 and not e.reason else e for e in history]


TIE = 1e-3
"""Final rewards that differ by less are equal: the accuracy on 6,000 validation images has a standard error twice as large."""


def winner(rewards: Sequence[float], parameters: Sequence[int]) -> int:
    """Which finalist is the student: the smallest of those whose rewards equal the highest, but for `TIE`."""
    least = max(rewards) - TIE
    tied = [index for index, reward in enumerate(rewards) if reward > least]
    return min(tied, key=lambda index: (parameters[index], -rewards[index]))


class Finals:
    """Final trainings of one run.

    Args:
        search: What was asked for.
        folder: The run's.
        history: Every student that was tried.
        teacher: The trained teacher.
        display: Shows how it goes.
    """

    def __init__(self, search: Search, folder: Path, history: list[Episode], teacher: Teacher, display: Display) -> None:
        self._search = search
        self._folder = folder
        self._history = history
        self._teacher = teacher
        self._display = display
        self._recipe = final_recipe(search.problem.data, distillation_weight=search.distillation_weight)

    def run(self, found: dict[int, Student]) -> tuple[Student, dict[str, dict[str, Any]]]:
        """Train stage 1's best and the finalists, and report on stage 1's best and the student.

        Args:
            found: Each stage's best by the search's rewards.

        Returns:
            The student, and what `result.json` says of `stage1` and `student`.
        """
        last = found[max(found)]
        if not self._search.finalists:
            parts = {"stage1": self._searched(found[1])} if 1 in found else {}
            return last, {**parts, "student": self._searched(last)}
        candidates = {last.architecture.fingerprint: last}
        if self._search.finalists > 1:
            history = by_final_limits(self._history, self._search)
            tried = (self._candidate(episode, found) for episode in finalists(history, self._search.finalists))
            candidates = {candidate.architecture.fingerprint: candidate for candidate in tried} or candidates
        contest = [(each, self._evaluation(each, self._trained(each))) for each in candidates.values()]
        limits = self._search.limits.untimed  # latencies are noisy: they are reported, not decided by
        contest = [(each, found) for each, found in contest if not limits.violated(found)] or contest
        rewards = [self._rewarded(evaluation) for _, evaluation in contest]
        student, _ = contest[winner(rewards, [evaluation.parameters for _, evaluation in contest])]
        parts = {"stage1": self._report("stage1", found[1])} if 1 in found else {}
        return student, {**parts, "student": self._report("student", student)}

    def _candidate(self, episode: Episode, found: dict[int, Student]) -> Student:
        start = self._search.start
        return episode.candidate(found.get(1, start) if episode.stage == 2 else start)

    def _trained(self, candidate: Student) -> dict[str, Any]:
        """A candidate's facts after its final training, which is done if it was not yet."""
        place = self._place(candidate)
        if not place.exists():
            name = f"{candidate.architecture.parameters:,} parameters"
            self._display.start(f"final training, {name}", self._recipe.epochs)
            self._final.run(
                candidate.architecture, place, lambda epoch, accuracy: self._display.update(epoch, f"val {accuracy:.2%}")
            )
        facts: dict[str, Any] = describe_checkpoint(place)["facts"]
        return facts

    @cached_property
    def _final(self) -> FinalTraining:
        search = self._search
        return FinalTraining(search.problem, self._teacher, self._recipe, seed=search.seed, device=search.device)

    def _place(self, candidate: Student) -> Path:
        return self._folder / FINALISTS / candidate.architecture.fingerprint[:16]

    def _evaluation(self, candidate: Student, facts: dict[str, Any], latency_ms: float | None = None) -> Evaluation:
        return Evaluation.of(
            candidate.architecture,
            candidate.teacher,
            accuracy=facts["val_accuracy"],
            teacher_accuracy=self._teacher.validation_accuracy,
            class_accuracy=tuple(facts["val_class_accuracy"]),
            latency_ms=latency_ms,
        )

    def _rewarded(self, evaluation: Evaluation) -> float:
        return reward_by_name(self._search.reward)(evaluation)

    def _report(self, name: str, candidate: Student) -> dict[str, Any]:
        """What the result says of one network; its test images are read now, once."""
        self._trained(candidate)
        if not (self._folder / name).exists():
            self._test(name, candidate)
        facts = load_checkpoint(self._folder / name).facts  # its weights are looked at too: what is reported is there
        latency = None
        if self._search.limits.need_latency:
            latency = measured_latency(
                candidate.architecture, batch_size=self._search.latency_batch_size, device=self._search.device
            )
        evaluation = self._evaluation(candidate, facts, latency)
        violated = self._search.limits.violated(evaluation)
        if violated and name == "student":
            self._display.say(f"the student does not keep {'; '.join(map(str, violated))}: try more --iterations")
        return self._searched(candidate, self._folder / name) | {
            "val_accuracy": facts["val_accuracy"],
            "val_class_accuracy": facts["val_class_accuracy"],
            "test_accuracy": facts["test_accuracy"],
            "reward": self._rewarded(evaluation),
            "epochs": facts["epochs"],
            "latency_ms": latency,
            "violates": [str(limit) for limit in violated],
        }

    def _test(self, name: str, candidate: Student) -> None:
        """Save a finally trained network with its test accuracy; one that was tested as stage 1's best is not tested again."""
        tested = self._folder / "stage1"
        trained = describe_checkpoint(self._place(candidate))
        if tested.exists() and describe_checkpoint(tested)["weights_sha256"] == trained["weights_sha256"]:
            part = part_of(self._folder / name)
            shutil.copytree(tested, part)
            part.rename(self._folder / name)
        else:
            self._final.test(self._place(candidate), self._folder / name)

    def _searched(self, candidate: Student, saved: Path | None = None) -> dict[str, Any]:
        """What the result says of a network without a final training; `saved` is where one with it is kept."""
        architecture = candidate.architecture
        seen = next((e for e in self._history if e.fingerprint == architecture.fingerprint[:16]), None)
        return {
            **sizes(architecture, saved),
            "ratio": candidate.teacher.parameters / architecture.parameters,
            "val_accuracy": None,
            "val_class_accuracy": None,
            "test_accuracy": None,
            "reward": None,
            "search_reward": seen.reward if seen else None,
            "search_accuracy": seen.accuracy if seen else None,
        }
