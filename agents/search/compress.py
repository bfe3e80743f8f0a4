"""Algorithm 1, whole: remove layers, shrink what is left, train the best student found."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stable_baselines3.common.logger import Logger
from torch import Generator

from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import NEVER, BatchedVecEnv, PolicyUpdates
from agents.display import Display, shown_teacher
from agents.search.comparison import ahead_by, beside_verdict, class_accuracies, sizes, validation
from agents.search.finalists import by_final_limits
from agents.search.finals import Finals
from agents.search.forecast import Forecast
from agents.search.history import (
    HISTORY,
    STORE,
    Episode,
    check_history,
    digest,
    furthest,
    last_trainings,
    read_history,
    trained,
    write_history,
    written,
)
from agents.search.options import Search
from agents.search.recorder import Recorder
from agents.search.report import draw_architectures, draw_curves
from agents.search.result import RESULT, has_network
from agents.search.run_folder import BASELINE, RunFolder, RunStart, now
from agents.search.trackers import check_trackers, tracked
from n2n_gym.architecture import shrink_decisions
from n2n_gym.data import load_dataset
from n2n_gym.envs.settings import JudgedSettings, Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError
from n2n_gym.evaluation import MACHINE_FAILURES, TIMEOUT
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.models.build import Network
from n2n_gym.models.speed import compare_speed
from n2n_gym.settings import values_of
from n2n_gym.student import Student
from n2n_gym.system.device import threads, torch_device
from n2n_gym.system.files import absolute, teachers_folder, write_json
from n2n_gym.system.machine import machine
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher, near_chance

UNKNOWN = "drawn from the training images; whether the teacher was trained on them is not known"


def compress(
    search: Search | None = None, *, display: Display | None = None, command: str = "", **settings: Any
) -> dict[str, Any]:
    """As `agents.compress`, without the run's page: Algorithm 1, and the final training of its best student."""
    return carried_out(asked(search, settings), display=display, command=command)


def carried_out(search: Search, *, display: Display | None = None, command: str = "") -> dict[str, Any]:
    """What `result.json` holds, when all that was `asked` is done.

    Raises:
        InputError: If an argument is wrong, or the run's folder cannot be used.
    """
    # one thread of this process, whose policies are small; whatever else is computed decides for itself
    with display or Display() as shown, threads(1):
        search.check()
        check_trackers(search)
        versions = library_versions()
        start = RunStart(
            search.configuration, search.identity, search.store and absolute(search.store), command, versions=versions
        )
        with RunFolder(search.folder, start) as folder:
            if (result := folder.result) is not None and folder.keeps_student(result):
                if search.speed and "speed" not in result and result["student"] is not None:
                    both = shlex.join(["n2n", "compare", result["teacher"]["name"], str(folder.path)])
                    shown.say(f"the run is finished, and its student was not timed: {both} does that")
                return result
            folder.hold_versions()
            with Forecast(shown, search) as told:
                return _Run(search, folder, told).go()


def asked(search: Search | None, settings: Mapping[str, Any]) -> Search:
    """What `compress` is to do, by its arguments: with `resume` what was started there.

    Raises:
        InputError: If an argument is wrong, or there is no such run.
        TypeError: If there is no such argument.
    """
    if search is None:
        search = Search.of(settings)
    elif settings or not isinstance(search, Search):
        raise TypeError("compress takes a Search, or the fields of one as keyword arguments")
    return search.resumed(settings)


class _Run:
    """One run, from wherever its folder says it is."""

    def __init__(self, search: Search, folder: RunFolder, display: Display) -> None:
        self.search = search
        self.folder = folder
        self.display = display
        self.history = read_history(folder.path)

    def go(self) -> dict[str, Any]:
        teacher = shown_teacher(self.search.problem, self.search.device, self.display)
        self.folder.hold_teacher(teacher, self.search.start)
        if self._validation == UNKNOWN:
            self.display.say(
                "whether the teacher was trained on the validation images is not known: they were drawn from the training "
                "images; --validation names those that it never saw"
            )
        if near_chance(teacher.checkpoint.facts, self.search.problem.data.classes):
            self.display.say(
                f"{teacher.name} classifies {teacher.validation_accuracy:.1%} of the validation images of "
                f"{self.search.problem.dataset} correctly, hardly more than guessing would: its students can be no better"
            )
        found: dict[int, Student] = {}
        for stage in (1, 2):
            best = self._search(stage) if str(stage) in self.search.stages else None
            if best is not None:
                found[stage] = best
        if not found and not self.history:
            raise InputError(f"nothing of {teacher.name} can be removed or shrunk in stage {self.search.stages}")
        if not found and self.search.finalists:
            raise InputError(
                f"every student that was tried was degenerate (see {self.folder.path / HISTORY}); "
                "start another run with more --iterations"
            )
        return self._finish(teacher, found)

    def _search(self, stage: int) -> Student | None:
        """One stage's result: the best student seen, or None if all were degenerate or there was nothing to search."""
        result = self.folder.path / f"stage{stage}.json"
        if result.exists():
            student = Student.load(result, self.search.problem.architecture)
            check_history(self.folder.path, stage, self.history)
            return student
        if self._failed(stage):
            self.display.say(f"stage {stage} begins again: the machine failed all of its students")
            self._forget(stage)
        starts = self._starts(stage)
        if not starts:
            self.display.say("nothing can be removed" if stage == 1 else "there is nothing to shrink")
            return None
        decisions = self.search.stage(stage, starts[0])
        store = self.search.store or self.folder.path / STORE
        try:
            evaluator = self.search.evaluator_of(decisions, run=self.folder.start.run, store=store)
        except InputError as error:
            if str(stage) == self.search.stages[0]:
                raise
            self.display.say(f"stage {stage} is left out: {error}")
            return None
        with evaluator, tracked(self.search, self.folder.path, self.folder.start.run, stage) as logger:
            for part in range(len(starts)):
                self._learn(stage, starts, part, evaluator, logger)
        if failed := self._failed(stage):
            raise InputError(self._advice(stage, failed))
        best = self._best(stage)
        if best is not None:
            best.save(result, history=digest(self.history, stage))
        return best

    def _failed(self, stage: int) -> Counter[str]:
        """How often the machine failed a stage's students, and why, where no student of it could be trained; else nothing."""
        episodes = [episode for episode in self.history if episode.stage == stage]
        if not all(episode.reason for episode in episodes):
            return Counter()
        return Counter(episode.reason for episode in episodes if episode.reason in MACHINE_FAILURES)

    def _forget(self, stage: int) -> None:
        """Have a stage begin anew."""
        for policy in self.folder.path.glob(f"stage{stage}*.policy"):
            policy.unlink()
        self.history = [episode for episode in self.history if episode.stage < stage]
        write_history(self.folder.path, self.history)

    def _advice(self, stage: int, failed: Counter[str]) -> str:
        """What to do where the machine failed all students of a stage."""
        reasons = ", ".join(f"{reason} ({count})" for reason, count in failed.most_common())
        remedies = []
        if TIMEOUT in failed:
            remedies.append("a longer --timeout, or none")
        if set(failed) - {TIMEOUT}:
            remedies.append("fewer --workers, or with less of the machine's memory used by others")
        return (
            f"no student of stage {stage} could be trained: {reasons}; see {self.folder.path / HISTORY}. Give the same "
            f"command again with {' and '.join(remedies)}: the stage then begins anew"
        )

    def _starts(self, stage: int) -> list[Student]:
        """What a stage starts from: in stage 2, after stage 1, its best students that something can be shrunk of.

        The most rewarded is often the luckiest. A table knows the students from one start only.
        """
        if stage == 1:
            free = self.search.stage(1, self.search.start).masks.sum(axis=1) > 1
            return [self.search.start] if free.any() else []
        tried = furthest(episode for episode in self.history if episode.stage == 1 and not episode.reason)
        ranked = sorted(tried.values(), key=lambda episode: (episode.excess, -episode.reward))
        best = [episode.candidate(self.search.start) for episode in ranked]
        shrinkable = [start for start in best or [self.search.start] if shrink_decisions(start.architecture)]
        return shrinkable[: 1 if self.search.uses_table else min(self.search.starts, self.search.iterations)]

    def _learn(self, stage: int, starts: Sequence[Student], part: int, evaluator: Evaluator, logger: Logger) -> None:
        """Run the policy updates of one stage from one start.

        Args:
            stage: 1 or 2.
            starts: All that the stage has; each has the same share of updates and students.
            part: Which of them; a policy that fits all goes on from one to the next.
            evaluator: Of its students.
            logger: Where its figures go.
        """
        decisions, parts = self.search.stage(stage, starts[part]), len(starts)
        chosen = {"constraints": self.search.limits_in(stage).rows, "evaluator": evaluator}
        settings = Settings(**values_of(self.search, JudgedSettings) | chosen)
        # limits were checked before anything was trained; if stage 1 left too much, stage 2 still comes as near as it can
        envs = BatchedVecEnv(CompressionVectorEnv(self.search.rollouts, decisions, settings, check_limits=False))
        *earlier, checkpoint = (
            self.folder.path / f"stage{stage}{f'-{number}' * bool(number)}.policy" for number in range(part + 1)
        )
        before = [path for path in earlier if path.exists()]
        kind = algorithm(self.search.agent)
        seed, learning_rate = self.search.seed, self.search.learning_rate
        if checkpoint.exists():
            agent = kind.load(checkpoint, envs, stage=stage, seed=seed, learning_rate=learning_rate)
        else:
            agent = kind.make(envs, stage=stage, seed=seed, learning_rate=learning_rate)
            if before and kind.any_length:
                kind.transfer(agent, before[-1])
            elif stage in self.search.policies:
                kind.transfer(agent, self.search.policies[stage])
            if isinstance(evaluator, StoredEvaluator):
                # what this run trained is not for it to know beforehand, also when it was killed and begins again
                run = self.folder.start.run
                kind.study(agent, ((student, known) for student, known in evaluator.known() if known.run != run))
        done = agent.num_timesteps // (decisions.decisions * self.search.rollouts)
        start = written(decisions.start.removals) if decisions.start != self.search.start else ""
        own = [episode for episode in self.history if (episode.stage, episode.start) == (stage, start)]
        self._check_history(own, done)
        unlearned = set(map(id, own[done * self.search.rollouts :]))
        # of what comes after there are some if this stage's result or policy was removed: it begins anew, to the same end
        following = {written(each.removals) for each in starts[part + 1 :]}
        later = [e for e in self.history if e.stage > stage or (e.stage == stage and e.start in following)]
        put_aside = unlearned | set(map(id, later))
        self.history = [episode for episode in self.history if id(episode) not in put_aside]
        recorder = Recorder(
            self.folder,
            self.history,
            stage=stage,
            start=start,
            rollouts=self.search.rollouts,
            save=lambda model: kind.save(model, checkpoint),
            display=self.display,
            students=None if self.search.budget is None else math.ceil(self.search.budget * (part + 1) / parts),
            later=later,
        )
        # what cannot be shared out goes to the better starts, which come first
        earlier_updates, updates = (math.ceil(self.search.iterations * number / parts) for number in (part, part + 1))
        if self.search.budget is None:
            self.display.start(f"stage {stage}", self.search.iterations, earlier_updates + done)
        else:
            self.display.start(f"stage {stage}, students", self.search.budget, len(trained(self.history, stage)))
        steps = (updates - earlier_updates - done) * self.search.rollouts * decisions.decisions
        if steps and not recorder.over:
            agent.set_logger(logger)
            agent.learn(steps, callback=[PolicyUpdates(), recorder], log_interval=NEVER, reset_num_timesteps=done == 0)
        self.history += later

    def _check_history(self, episodes: list[Episode], updates: int) -> None:
        if len(episodes) < updates * self.search.rollouts:
            path = self.folder.path
            raise InputError(f"{path / HISTORY} lacks episodes that {path} has learned from; start another run")

    def _best(self, stage: int) -> Student | None:
        """Who keeps the limits and has the highest reward; where nobody keeps them, who comes nearest; None if all failed."""
        tried = [episode for episode in self.history if episode.stage <= stage]  # a later one's, where this one found nobody
        history = by_final_limits(tried, self.search) if stage == 2 else tried
        students = furthest(episode for episode in history if not episode.reason).values()
        best = max(students, key=lambda episode: (-episode.excess, episode.reward), default=None)
        if best is None:
            return None
        return best.candidate(self.search.start)  # in stage 2, maybe one of stage 1

    def _finish(self, teacher: Teacher, found: dict[int, Student]) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": None}
        verdict = None
        if found:
            student, reports = Finals(self.search, self.folder.path, self.history, teacher, self.display).run(found)
            parts |= reports
            if self.search.baseline is not None and has_network(reports):
                parts |= self._baseline(reports["student"])
            verdict = beside_verdict(reports["student"], reports.get("beside", {}))
            student.save(self.folder.path / "student.json")
            draw_architectures(self.folder.path / "architectures.png", student)
            if self.search.speed:
                parts["speed"] = self._speed(student)
        draw_curves(self.folder.path / "curves.png", self.history, teacher.name)
        result = self._result(teacher, {"verdict": verdict, **parts})
        write_json(self.folder.path / RESULT, result)
        return result

    def _baseline(self, student: dict[str, Any]) -> dict[str, Any]:
        """What another agent finds with as many trained students, in a run of its own in this one's folder."""
        agent = str(self.search.baseline)
        plain: dict[str, Any] = {
            "baseline": None,
            "beside": (),
            "policy": (),
            "learning_rate": None,
            "speed": False,
            "store": None,
            "tensorboard": False,
            "wandb": None,
            "unsearched": False,
        }
        self.display.say(f"baseline: {agent}")
        other = replace(self.search, agent=agent, out=str(self.folder.path / BASELINE), **plain)
        try:
            found = compress(other, display=self.display, command=f"{self.folder.start.command} (its baseline)")
        except InputError as error:  # that it finds nothing is no reason to have no result
            self.display.say(f"baseline {agent}: {error}")
            return {"baseline_failed": f"{agent}: {error}"}
        rival = found["student"]
        ahead = ahead_by(student, rival)
        return {"baseline": {"agent": agent, **rival, "search": found["search"], "student_ahead_by": ahead}}

    def _speed(self, student: Student) -> list[dict[str, Any]]:
        """How fast the student and its teacher are here."""
        generator = Generator()  # weights make no difference to a clock
        networks = {"teacher": Network(student.teacher, generator), "student": Network(student.architecture, generator)}
        return compare_speed(networks, str(torch_device(self.search.device)))

    @property
    def _validation(self) -> str:
        """Where the validation images come from, and whether the teacher may have seen them."""
        if self.search.problem.data.validation_given:
            return "given"
        return "held out from training" if self.search.problem.trained_here else UNKNOWN

    def _result(self, teacher: Teacher, parts: dict[str, Any]) -> dict[str, Any]:
        problem, student = self.search.problem, parts["student"]
        sound = [episode for episode in self.history if episode.reason not in MACHINE_FAILURES]
        ours = last_trainings(sound).values()
        images = len(load_dataset(problem.data).split(problem.train_size)[1])
        return {
            "teacher": {
                "name": teacher.name,
                "dataset": problem.dataset,
                **sizes(problem.architecture, teachers_folder() / teacher.name),
                "val_accuracy": teacher.validation_accuracy,
                "test_accuracy": teacher.test_accuracy,
            },
            **parts,
            "data": {
                "validation": self._validation,
                **validation(images, teacher.validation_accuracy, student),
                "test": "held out from training" if problem.data.test_held_out else "given",
                "classes": class_accuracies(problem.data, teacher, student),
            },
            "search": {
                "evaluations": len(self.history),
                "trained": len(ours),
                "trained_on": sum(episode.trained_here for episode in sound) - len(ours),
                "from_store": sum(e.from_store for e in self.history),
                "degenerate": sum(bool(e.reason) and not e.seconds for e in self.history if e.reason not in MACHINE_FAILURES),
                "failed": dict(Counter(e.reason for e in self.history if e.reason in MACHINE_FAILURES)),
                "stopped": sum(episode.rung > 0 for episode in ours),
                "seconds": round(sum(episode.seconds for episode in last_trainings(self.history).values()), 3),
                "recipe": self.search.recipe,
            },
            "seed": self.search.seed,
            "device": str(torch_device(self.search.device)),
            "configuration": self.search.configuration,
            "versions": library_versions("gymnasium", "stable-baselines3"),
            "machine": machine(),
            "threads": teacher.checkpoint.facts.get("threads"),
            "command": self.folder.start.command,
            "started": self.folder.start.started,
            "finished": now(),
        }
