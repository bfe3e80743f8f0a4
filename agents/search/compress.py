"""Algorithm 1, whole: remove layers, shrink what is left, train the best student found."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from stable_baselines3.common.logger import Logger
from torch import Generator, get_num_threads

from agents.algorithms.embedding import ArchitectureCompression
from agents.algorithms.registry import algorithm
from agents.algorithms.sb3 import BatchedVecEnv, PolicyUpdates
from agents.display import Display, shown_teacher
from agents.search.comparison import ahead_by, beside_verdict, class_accuracies, sizes, validation
from agents.search.finalists import by_final_limits
from agents.search.finals import Finals
from agents.search.options import Search
from agents.search.recorder import Recorder
from agents.search.report import draw_architectures, draw_curves
from agents.search.result import RESULT
from agents.search.run_folder import BASELINE, HISTORY, STORE, RunFolder, RunStart, trained
from n2n_gym.architecture import shrink_decisions
from n2n_gym.data import load_dataset
from n2n_gym.envs.settings import JudgedSettings, Settings
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError, check_arguments
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.models.build import Network
from n2n_gym.models.speed import compare_speed
from n2n_gym.networks.imported import is_imported
from n2n_gym.settings import values_of
from n2n_gym.stages import Stage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.files import teachers_folder, write_json
from n2n_gym.system.versions import library_versions
from n2n_gym.teachers.saved import Teacher

UNKNOWN = "drawn from the training images; whether the teacher was trained on them is not known"

NEVER = 10**9
"""Updates between two tables of Stable-Baselines3's logger: the run folder records what there is to say."""


def compress(
    search: Search | None = None, *, display: Display | None = None, command: str = "", **settings: Any
) -> dict[str, Any]:
    """Compress a teacher: Algorithm 1 and the final training of its best student.

    Args:
        search: What to do; or give the fields of `Search` as keyword arguments.
        display: Shows progress.
        command: The command line, for the record.
        **settings: Fields of `Search`.

    Returns:
        What `result.json` holds.

    Raises:
        InputError: If an argument is wrong, or the run's folder cannot be used.
        TypeError: If there is no such argument.
    """
    if search is None:
        check_arguments("compress", settings, (field.name for field in fields(Search)))
        search = Search(**settings)
    search = search.resumed(settings)
    search.check()
    start = RunStart(search.configuration, search.identity, search.store, command)
    with RunFolder(search.folder, start) as folder:
        if (result := folder.result) is not None:
            return result
        with display or Display() as shown:
            return _Run(search, folder, shown).go()


class _Run:
    """One run, from wherever its folder says it is."""

    def __init__(self, search: Search, folder: RunFolder, display: Display) -> None:
        self.search = search
        self.folder = folder
        self.display = display
        self.history = folder.read_history()

    def go(self) -> dict[str, Any]:
        teacher = shown_teacher(self.search.problem, self.search.device, self.display)
        self.folder.check_teacher(teacher)
        if self._validation == UNKNOWN:
            self.display.say(
                "whether the teacher was trained on the validation images is not known: they were drawn from the training "
                "images; --validation names those that it never saw"
            )
        start = self.search.start
        found: dict[int, Student] = {}
        for stage in (1, 2):
            best = self._search(stage, start) if str(stage) in self.search.stages else None
            if best is not None:
                found[stage] = start = best
        if not found and self.search.finalists:
            raise InputError(
                f"every student that was tried was degenerate (see {self.folder.path / HISTORY}); "
                "start another run with more --iterations"
            )
        return self._finish(teacher, found)

    def _search(self, stage: int, start: Student) -> Student | None:
        """One stage's result: the best student seen, or None if all were degenerate or there was nothing to search."""
        result = self.folder.path / f"stage{stage}.json"
        if result.exists():
            if self.search.students is None:
                self._check_history(stage, self.search.iterations)
            return Student.load(result, self.search.problem.architecture)
        if stage == 2 and not shrink_decisions(start.architecture):
            self.display.say("stage 1 left nothing to shrink")
            return None
        decisions = self.search.stage(stage, start)
        store = self.search.store or self.folder.path / STORE
        try:
            evaluator = self.search.evaluator_of(decisions, run=self.folder.start.run, store=store)
        except InputError as error:
            if str(stage) == self.search.stages[0]:
                raise
            self.display.say(f"stage {stage} is left out: {error}")
            return None
        with evaluator:
            self._learn(stage, decisions, evaluator)
        best = self._best(stage, start)
        if best is not None:
            best.save(result)
        return best

    def _learn(self, stage: int, decisions: Stage, evaluator: Evaluator) -> None:
        """Run one stage's policy updates."""
        chosen = {"constraints": self.search.limits_in(stage).rows, "evaluator": evaluator}
        settings = Settings(**values_of(self.search, JudgedSettings) | chosen)
        # limits were checked before anything was trained; if stage 1 left too much, stage 2 still comes as near as it can
        envs = BatchedVecEnv(CompressionVectorEnv(self.search.rollouts, decisions, settings, check_limits=False))
        checkpoint = self.folder.path / f"stage{stage}.policy"
        kind = algorithm(self.search.agent)
        seed, learning_rate = self.search.seed, self.search.learning_rate
        if checkpoint.exists():
            agent = kind.load(checkpoint, envs, stage=stage, seed=seed, learning_rate=learning_rate)
        else:
            agent = kind.make(envs, stage=stage, seed=seed, learning_rate=learning_rate)
            if stage in self.search.policies:
                kind.transfer(agent, self.search.policies[stage])
            if isinstance(agent, ArchitectureCompression) and isinstance(evaluator, StoredEvaluator):
                # what this run trained is not for it to know beforehand, also when it was killed and begins again
                run = self.folder.start.run
                agent.study((student, known) for student, known in evaluator.known() if known.run != run)
        done = agent.num_timesteps // (decisions.decisions * self.search.rollouts)
        self._check_history(stage, done)
        later = [e for e in self.history if e.stage > stage]  # there are some if this stage left no result, or it was removed
        self.history = [e for e in self.history if e.stage < stage or (e.stage == stage and e.iteration < done)]
        recorder = Recorder(
            self.folder,
            self.history,
            stage=stage,
            rollouts=self.search.rollouts,
            save=lambda model: kind.save(model, checkpoint),
            display=self.display,
            students=self.search.students,
        )
        if self.search.students is None:
            self.display.start(f"stage {stage}", self.search.iterations, done)
        else:
            self.display.start(f"stage {stage}, students", self.search.students, len(trained(self.history, stage)))
        steps = (self.search.iterations - done) * self.search.rollouts * decisions.decisions
        if steps and not recorder.over:
            agent.set_logger(Logger(None, []))  # without one, Stable-Baselines3 leaves an empty folder in the temporary files
            agent.learn(steps, callback=[PolicyUpdates(), recorder], log_interval=NEVER, reset_num_timesteps=done == 0)
        self.history += later

    def _check_history(self, stage: int, updates: int) -> None:
        if sum(episode.stage == stage for episode in self.history) < updates * self.search.rollouts:
            path = self.folder.path
            raise InputError(f"{path / HISTORY} lacks episodes that {path} has learned from; start another run")

    def _best(self, stage: int, start: Student) -> Student | None:
        """Who keeps the limits and has the highest reward; where nobody keeps them, who comes nearest; None if all failed."""
        history = by_final_limits(self.history, self.search) if stage == 2 else self.history
        episodes = [episode for episode in history if not episode.reason and episode.stage <= stage]
        best = max(episodes, key=lambda episode: (-episode.excess, episode.reward), default=None)
        if best is None:
            return None
        return best.candidate(start)  # maybe what stage 2 started from, or another one of stage 1

    def _finish(self, teacher: Teacher, found: dict[int, Student]) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": None}
        verdict = None
        if found:
            student, reports = Finals(self.search, self.folder.path, self.history, teacher, self.display).run(found)
            parts |= reports
            if self.search.baseline is not None and reports["student"]["test_accuracy"] is not None:
                parts["baseline"] = self._baseline(reports["student"])
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
            "unsearched": False,
        }
        self.display.say(f"baseline: {agent}")
        other = replace(self.search, agent=agent, out=str(self.folder.path / BASELINE), **plain)
        found = compress(other, display=self.display, command=f"{self.folder.start.command} (its baseline)")
        rival = found["student"]
        return {"agent": agent, **rival, "search": found["search"], "student_ahead_by": ahead_by(student, rival)}

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
        return UNKNOWN if is_imported(self.search.problem.teacher) else "held out from training"

    def _result(self, teacher: Teacher, parts: dict[str, Any]) -> dict[str, Any]:
        problem, student = self.search.problem, parts["student"]
        images = len(load_dataset(problem.data).split(problem.train_size)[1])
        return {
            "teacher": {
                "name": teacher.name,
                "dataset": self.search.dataset,
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
                "trained": sum(not e.from_store and e.seconds > 0 for e in self.history),
                "from_store": sum(e.from_store for e in self.history),
                "degenerate": sum(bool(e.reason) for e in self.history),
                "seconds": round(sum(e.seconds for e in self.history if not e.from_store), 3),
                "recipe": self.search.recipe,
            },
            "seed": self.search.seed,
            "device": str(torch_device(self.search.device)),
            "configuration": self.search.configuration,
            "versions": library_versions("gymnasium", "stable-baselines3"),
            "threads": get_num_threads(),
            "command": self.folder.start.command,
        }
