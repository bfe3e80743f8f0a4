"""The end of Algorithm 1: what the search found is trained to convergence, several times, and the best of it is the student.

The search's best is a candidate: among many students whose short trainings differ by luck, the luckiest comes first. So
finalists are trained again with fresh seeds until the best is known, and beside it what needs no search is trained in the same
way.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.display import Display
from agents.interval import Interval
from agents.search.comparison import ahead_by, sizes
from agents.search.finalists import by_final_limits, finalists, unsearched, winner
from agents.search.history import Episode, furthest
from agents.search.options import Search
from agents.search.race import contenders
from agents.search.result import STUDENT
from agents.search.run_folder import BESIDE, FINALISTS, LOGITS
from agents.search.student import Training
from agents.search.trainings import FinalTrainings
from n2n_gym.architecture import Architecture
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.latency import measured_latency
from n2n_gym.models.checkpoint import load_checkpoint
from n2n_gym.networks.beside import label_beside, network_beside
from n2n_gym.networks.described import read_description
from n2n_gym.rewards import reward_by_name
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import write_folder
from n2n_gym.system.machine import process_count
from n2n_gym.teachers.saved import Teacher
from n2n_gym.training.recipes import final_recipe
from n2n_gym.training.seeds import training_seed


@dataclass
class _Contestant:
    """A network and its final trainings so far.

    Attributes:
        architecture: What it is.
        trainings: The facts of each, in the order of their seeds.
    """

    architecture: Architecture
    trainings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def accuracies(self) -> list[float]:
        """On validation images, one for each training."""
        return [facts["val_accuracy"] for facts in self.trainings]

    @property
    def best(self) -> int:
        """Which training is kept: the one with the best validation accuracy."""
        return max(range(len(self.trainings)), key=self.accuracies.__getitem__)


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
        recipe = final_recipe(search.problem.data, search.train_size, distillation_weight=search.distillation_weight)
        self._recipe = replace(recipe, epochs=search.final_epochs or recipe.epochs)

    def run(self, found: dict[int, Student]) -> tuple[Student, dict[str, Any]]:
        """Train the finalists and stage 1's best, and report on the student, on stage 1's best and on what stands beside them.

        Args:
            found: Each stage's best by the search's rewards.

        Returns:
            The student, and what `result.json` says of `stage1`, `student` and `beside`.
        """
        last = found[max(found)]
        if not self._search.finalists:
            parts = {"stage1": self._searched(found[1].architecture)} if 1 in found else {}
            return last, {**parts, "student": self._searched(last.architecture)}
        candidates = {last.architecture.fingerprint: last}
        if self._search.finalists > 1:
            history = by_final_limits(self._history, self._search)
            tried = (episode.candidate(self._search.start) for episode in finalists(history, self._search.finalists))
            candidates = {candidate.architecture.fingerprint: candidate for candidate in tried} or candidates
            most = max(candidate.architecture.parameters for candidate in candidates.values())
            alone = self._search.unsearched and self._search.baseline is None  # two searches are compared by what they find
            if alone and (alike := unsearched(self._search, most)) is not None:
                candidates.setdefault(alike.architecture.fingerprint, alike)
        contest = {fingerprint: _Contestant(each.architecture) for fingerprint, each in candidates.items()}
        best = self._raced(list(contest.values()))
        first = found[1].architecture if 1 in found else best.architecture
        stage1 = contest.get(first.fingerprint) or _Contestant(first)
        teacher, size = self._search.problem.architecture, best.architecture.parameters
        rivals = {label_beside(name): _Contestant(network_beside(name, teacher, size)) for name in self._search.beside}
        wanted = [best] * (self._search.final_trainings - len(best.trainings))
        if stage1 is not best and not stage1.trainings:
            wanted.append(stage1)
        self._train([*wanted, *list(rivals.values()) * self._search.final_trainings])
        parts = {"stage1": self._report("stage1", stage1)} if 1 in found else {}
        student = parts["student"] = self._report(STUDENT, best)
        beside = {name: self._beside(name, rival, student) for name, rival in rivals.items()}
        shutil.rmtree(self._folder / LOGITS, ignore_errors=True)
        return candidates[best.architecture.fingerprint], {**parts, "beside": beside}

    def _raced(self, contest: Sequence[_Contestant]) -> _Contestant:
        """Who is best: all are trained, then again those that may still be, until one is left or has all its trainings."""
        racing = list(contest)
        for _ in range(self._search.final_trainings):
            if len(racing) == 1:
                break
            self._train(racing)
            entitled = [each for each in contest if self._keeps_limits(each)] or list(contest)
            ahead = contenders([self._rewards(each) for each in entitled])
            racing = [entitled[index] for index in ahead]
        if len(racing) == 1:
            return racing[0]
        rewards = [fmean(self._rewards(each)) for each in racing]
        return racing[winner(rewards, [each.architecture.parameters for each in racing])]

    def _train(self, contestants: Sequence[_Contestant]) -> None:
        """One more training of each, with its next seed; one that is named several times has several."""
        turns: Counter[int] = Counter()
        due: list[tuple[_Contestant, Training]] = []
        for each in contestants:
            seed = training_seed(self._search.seed, len(each.trainings) + turns[id(each)])
            turns[id(each)] += 1
            due.append((each, Training(each.architecture, self._place(each, seed), seed)))
        new = list({training.folder: training for _, training in due if not training.folder.exists()}.values())
        if new:
            name = f"final training, {new[0].architecture.parameters:,} parameters"
            self._display.start(name if len(new) == 1 else f"{len(new)} final trainings", len(new) * self._recipe.epochs)
            self._trainings.run(new, lambda epochs: self._display.update(epochs, ""))
        for each, training in due:
            each.trainings.append(read_description(training.folder)["facts"])

    @cached_property
    def _trainings(self) -> FinalTrainings:
        search = self._search
        workers = None if isinstance(search.workers, str) else search.workers
        return FinalTrainings(
            search.problem,
            self._teacher,
            self._recipe,
            device=search.device,
            processes=process_count(workers, torch_device(search.device)),
            logits=self._folder / LOGITS,
        )

    def _place(self, contestant: _Contestant, seed: int) -> Path:
        return self._folder / FINALISTS / f"{contestant.architecture.fingerprint[:16]}-s{seed}"

    def _evaluation(
        self, contestant: _Contestant, facts: Sequence[dict[str, Any]], latency_ms: float | None = None
    ) -> Evaluation:
        """What some of its trainings say of a contestant: means."""
        return Evaluation.of(
            contestant.architecture,
            self._search.problem.architecture,
            accuracy=fmean(each["val_accuracy"] for each in facts),
            teacher_accuracy=self._teacher.validation_accuracy,
            class_accuracy=tuple(map(fmean, zip(*(each["val_class_accuracy"] for each in facts), strict=True))),
            latency_ms=latency_ms,
        )

    @cached_property
    def _reward(self) -> Callable[[Evaluation], float]:
        return reward_by_name(self._search.reward)

    def _rewards(self, contestant: _Contestant) -> list[float]:
        """One for each training."""
        return [self._reward(self._evaluation(contestant, [facts])) for facts in contestant.trainings]

    def _keeps_limits(self, contestant: _Contestant) -> bool:
        limits = self._search.limits.untimed  # latencies are noisy: they are reported, not decided by
        return not limits.violated(self._evaluation(contestant, contestant.trainings))

    def _beside(self, name: str, rival: _Contestant, student: dict[str, Any]) -> dict[str, Any]:
        """What a network that needs no search is worth, trained as the student was, as often, with the same seeds."""
        report = self._report(f"{BESIDE}/{name}", rival)
        return {**report, "student_ahead_by": ahead_by(student, report)}

    def _report(self, name: str, contestant: _Contestant) -> dict[str, Any]:
        """What the result says of one network; its trainings' test images are read now, once each."""
        folder = self._folder / name
        if not folder.exists():
            self._test(folder, contestant)
        facts = load_checkpoint(folder).facts  # its weights are looked at too: what is reported is there
        latency = None
        if self._search.limits.need_latency:
            latency = measured_latency(
                contestant.architecture, batch_size=self._search.latency_batch_size, device=self._search.device
            )
        evaluation = self._evaluation(contestant, contestant.trainings, latency)
        trainings = facts["trainings"]
        searched = self._searched(contestant.architecture, folder)
        reward = self._reward(evaluation)
        return searched | {
            **{key: facts[key] for key in ("val_accuracy", "val_class_accuracy", "test_accuracy", "epochs")},
            "reward": reward,
            "luck": None if searched["search_reward"] is None else searched["search_reward"] - reward,
            "trainings": trainings,
            "val_accuracies": Interval.of([each["val_accuracy"] for each in trainings]).to_json(),
            "test_accuracies": Interval.of([each["test_accuracy"] for each in trainings]).to_json(),
            "latency_ms": latency,
            "violates": [str(limit) for limit in self._search.limits.violated(evaluation)],
        }

    def _test(self, folder: Path, contestant: _Contestant) -> None:
        """Save the best training's network with the test accuracies of all; what was tested as stage 1's best is not again."""
        places = [self._place(contestant, facts["seed"]) for facts in contestant.trainings]
        tested = self._folder / "stage1"
        if tested.exists() and folder != tested:
            before = read_description(tested)
            same = before["weights_sha256"] == read_description(places[contestant.best])["weights_sha256"]
            if same and len(before["facts"]["trainings"]) == len(places):
                write_folder(folder, lambda part: shutil.copytree(tested, part, dirs_exist_ok=True))
                return
        self._trainings.here.test(places, contestant.best, folder)

    def _searched(self, architecture: Architecture, saved: Path | None = None) -> dict[str, Any]:
        """What the result says of a network without a final training; `saved` is where one with it is kept."""
        seen = furthest(self._history).get(architecture.fingerprint[:16])
        unknown = ("val_accuracy", "val_class_accuracy", "test_accuracy", "reward")
        return {
            **sizes(architecture, saved),
            "ratio": self._search.problem.architecture.parameters / architecture.parameters,
            **dict.fromkeys(unknown),
            "unsearched": seen is None,
            "search_reward": seen.reward if seen else None,
            "search_accuracy": seen.accuracy if seen else None,
            "violates": self._violated_in_search(architecture, seen) if seen else [],
        }

    def _violated_in_search(self, architecture: Architecture, seen: Episode) -> list[str]:
        """Limits not kept after the short training; of those on classes the history only knows that one of them is not."""
        known = Evaluation.of(
            architecture,
            self._search.problem.architecture,
            accuracy=seen.accuracy,
            teacher_accuracy=self._teacher.validation_accuracy,
            latency_ms=seen.latency_ms,
        )
        limits = self._search.limits
        others = limits.classless
        found = others.violated(known) or [row for row in limits.rows if seen.excess and row not in others.rows]
        return [str(row) for row in found]
