"""Algorithm 1, whole: remove layers, shrink what is left, train the best student found."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from stable_baselines3.common.callbacks import BaseCallback
from torch import get_num_threads

from agents.display import Display
from agents.reinforce import Reinforce
from agents.report import draw_architectures, draw_curves
from agents.run_folder import HISTORY, RESULT, Episode, RunFolder, RunStart, read_start
from agents.sb3 import BatchedVecEnv
from agents.student import FinalTraining
from n2n_gym.architecture import shrink_decisions
from n2n_gym.candidate import Candidate
from n2n_gym.datasets import load_dataset
from n2n_gym.envs.base import Finished, Settings
from n2n_gym.envs.layer_removal import RemovalStage
from n2n_gym.envs.layer_shrink import ShrinkStage
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.base import Evaluation, Evaluator, library_versions
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.files import write_json
from n2n_gym.models.checkpoint import load_checkpoint, save_checkpoint
from n2n_gym.models.teachers import Teacher, ready_teacher
from n2n_gym.problem import Problem
from n2n_gym.recipes import final_recipe, search_recipe, teacher_recipe
from n2n_gym.rewards import reward_by_name
from n2n_gym.training import torch_device


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to compress and how; `n2n compress` takes each field as an option."""

    teacher: str = "conv4"
    """Network of the zoo (conv4, vgg11 ... vgg19, resnet18 ... resnet152), or an architecture's .json file."""
    dataset: str = "digits"
    """digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech256, or your own .npz file."""
    width: float = 1.0
    """Factor on the teacher's filters."""
    train_size: int | None = None
    """Number of training images; all by default."""
    stages: Literal["1", "2", "1+2"] = "1+2"
    """Which stages to run: 1 removes layers, 2 shrinks them."""
    architecture: str | None = None
    """With stages 2: file of the stage-1 student to start from (stage1.json of a run); by default the teacher itself."""
    iterations: int = 100
    """Policy updates in each stage."""
    rollouts: int = 5
    """Students per policy update."""
    recipe: str = "paper"
    """How students are trained during the search."""
    reward: str = "paper"
    """How students are rewarded: paper or naive."""
    distillation_weight: float = 1.0
    """Weight of the mean squared error to the teacher's logits in the final training (the paper's lambda; a mean over classes,
    where the paper has a sum)."""
    seed: int = 0
    """Of policies, students' trainings and final training."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    workers: int | None = None
    """Processes that train students side by side; by default one per core on a CPU, none on a GPU."""
    timeout: float | None = None
    """Seconds after which a student's training is given up; never by default."""
    store: str | None = None
    """SQLite file of evaluated students to share with other runs; by default the run has its own."""
    out: str | None = None
    """The run's folder; by default runs/TEACHER-DATASET-sSEED. A run that is there is gone on with."""
    resume: str | None = None
    """Folder of a run to go on with, with the options it was started with."""

    def check(self) -> None:
        """Refuse what cannot be done before anything is.

        Raises:
            InputError: If a name is unknown, a number out of range, or a file of the user's malformed.
        """
        for name in ("iterations", "rollouts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be 0 to {2**32 - 1}, not {self.seed}")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout must be more than 0 seconds, not {self.timeout:g}")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"workers must be 0 (train in this process) or more, not {self.workers}")
        if not 0 <= self.distillation_weight < float("inf"):
            raise InputError(f"distillation-weight must be 0 or more, not {self.distillation_weight:g}")
        if self.stages not in ("1", "2", "1+2"):
            raise unknown("stages", self.stages, ("1", "2", "1+2"))
        if self.architecture is not None and self.stages != "2":
            raise InputError(f"architecture is where stage 2 starts from: it goes with stages 2, not {self.stages}")
        if self.stages == "2":
            _ = ShrinkStage(self.start.architecture)
        reward_by_name(self.reward)
        search_recipe(self.recipe, self.problem.data)
        torch_device(self.device)
        dataset = load_dataset(self.dataset)
        dataset.split(self.train_size)
        _ = dataset.test  # what is wrong with it is said now, not when all is done
        if self.store is not None:
            EvaluationStore(Path(self.store).expanduser()).close()

    @cached_property
    def problem(self) -> Problem:
        """Teacher and data."""
        return Problem(self.teacher, self.dataset, self.width, self.train_size)

    @cached_property
    def start(self) -> Candidate:
        """What the first of the stages starts from."""
        teacher = self.problem.architecture
        if self.architecture is None:
            return Candidate(teacher)
        candidate = Candidate.load(Path(self.architecture).expanduser(), teacher)
        if candidate.shrinkages is not None:
            raise InputError(
                f"{self.architecture} is a stage-2 result; stage 2 starts from a stage-1 result, such as stage1.json"
            )
        return candidate

    @property
    def configuration(self) -> dict[str, Any]:
        """What a resumed run must have in common with its start."""
        return {name: value for name, value in asdict(self).items() if name not in _FREE}

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.out or f"runs/{self.problem.name}-s{self.seed}").expanduser()

    @property
    def identity(self) -> dict[str, str]:
        """What the configuration's files hold: a resumed run must find the same."""
        return {"teacher": self.problem.architecture.fingerprint, "dataset": load_dataset(self.dataset).fingerprint}

    def resumed(self, given: Collection[str]) -> Search:
        """With `resume`, the search that was started there; else this one.

        Args:
            given: The fields that were given explicitly; one that contradicts the run is refused.

        Raises:
            InputError: If there is no run, it is damaged, or an option contradicts it.
        """
        if self.resume is None:
            return self
        path = Path(self.resume).expanduser()
        saved = read_start(path)
        if "out" in given:
            raise InputError("a resumed run stays in its folder: give --resume without --out")
        for name in given:
            if name in saved.configuration and getattr(self, name) != saved.configuration[name]:
                there = saved.configuration[name]
                raise InputError(
                    f"{path} holds a run with {name} {there!r}, not {getattr(self, name)!r}; leave the option out"
                )
        try:
            store = self.store if "store" in given else saved.store
            return replace(self, **saved.configuration, store=store, out=str(path), resume=None)
        except TypeError:
            raise InputError(f"{path} was made by another version: its configuration does not fit") from None


_FREE = ("workers", "timeout", "store", "out", "resume")


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
    """
    if search is None:
        names = [f.name for f in fields(Search)]
        for name in settings:
            if name not in names:
                raise unknown("option", name, names)
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
        teacher = self._ready_teacher()
        start = self.search.start
        found: dict[int, Candidate] = {}
        with self._make_evaluator() as evaluator:
            for stage in (1, 2):
                best = self._search(stage, start, evaluator) if str(stage) in self.search.stages else None
                if best is not None:
                    found[stage] = start = best
        if not found:
            raise InputError(
                f"every student that was tried was degenerate (see {self.folder.path / HISTORY}); "
                "start another run with more --iterations"
            )
        return self._finish(teacher, found)

    def _ready_teacher(self) -> Teacher:
        recipe = teacher_recipe(self.search.problem.data)
        started = False

        def on_epoch(epoch: int, _accuracy: float) -> None:
            nonlocal started
            if not started:
                self.display.start("teacher", recipe.epochs)
                started = True
            self.display.update(epoch, self.search.problem.name)

        return ready_teacher(self.search.problem, device=torch_device(self.search.device), on_epoch=on_epoch)

    def _make_evaluator(self) -> Evaluator:
        workers = self.search.workers
        if workers is None:
            workers = (os.cpu_count() or 1) if torch_device(self.search.device).type == "cpu" else 0
        return make_evaluator(
            "distillation",
            self.search.problem,
            recipe=self.search.recipe,
            seed=self.search.seed,
            device=self.search.device,
            workers=workers,
            timeout=self.search.timeout,
            store=Path(self.search.store).expanduser() if self.search.store else self.folder.path / "evaluations.sqlite",
            run=self.folder.start.run,
        )

    def _search(self, stage: int, start: Candidate, evaluator: Evaluator) -> Candidate | None:
        """Run one stage's policy updates; its result is the best student seen, or None if all were degenerate."""
        result = self.folder.path / f"stage{stage}.json"
        if result.exists():
            self._check_history(stage, self.search.iterations)
            return Candidate.load(result, self.search.problem.architecture)
        if stage == 2 and not shrink_decisions(start.architecture):
            self.display.say("stage 1 left nothing to shrink")
            return None
        decisions = RemovalStage(start.architecture) if stage == 1 else ShrinkStage(start.architecture)
        settings = Settings(
            teacher=self.search.teacher,
            dataset=self.search.dataset,
            width=self.search.width,
            train_size=self.search.train_size,
            reward=self.search.reward,
            evaluator=evaluator,
        )
        envs = BatchedVecEnv(CompressionVectorEnv(self.search.rollouts, decisions, settings))
        checkpoint = self.folder.path / f"stage{stage}.policy"
        if checkpoint.exists():
            agent = Reinforce.load(checkpoint, envs)
        else:
            policy, rate = STAGE_POLICIES[stage]
            agent = Reinforce(policy, envs, rate, n_rollouts=self.search.rollouts, seed=self.search.seed)
        done = agent.num_timesteps // (decisions.decisions * self.search.rollouts)
        self._check_history(stage, done)
        self.history = [e for e in self.history if e.stage < stage or (e.stage == stage and e.iteration < done)]
        recorder = _Recorder(self, stage, checkpoint, done)
        self.display.start(f"stage {stage}", self.search.iterations, done)
        steps = (self.search.iterations - done) * self.search.rollouts * decisions.decisions
        if steps:
            agent.learn(steps, callback=recorder, log_interval=0, reset_num_timesteps=done == 0)
        best = self._best(stage, start)
        if best is not None:
            best.save(result)
        return best

    def _check_history(self, stage: int, updates: int) -> None:
        if sum(episode.stage == stage for episode in self.history) < updates * self.search.rollouts:
            path = self.folder.path
            raise InputError(f"{path / HISTORY} lacks episodes that {path} has learned from; start another run")

    def _best(self, stage: int, start: Candidate) -> Candidate | None:
        episodes = [episode for episode in self.history if not episode.reason]
        best = max(episodes, key=lambda episode: episode.reward, default=None)
        if best is None:
            return None
        if best.stage < stage:
            return start  # nothing that stage 2 saw is better than what it started from
        actions = tuple(int(action) for action in best.actions)
        return replace(start, removals=actions) if stage == 1 else replace(start, shrinkages=actions)

    def _finish(self, teacher: Teacher, found: dict[int, Candidate]) -> dict[str, Any]:
        problem = self.search.problem
        recipe = final_recipe(problem.data, distillation_weight=self.search.distillation_weight)
        last = found[max(found)]
        final: FinalTraining | None = None
        parts: dict[str, dict[str, Any]] = {}
        names = {"stage1": found[1], "student": last} if 1 in found else {"student": last}
        for name, candidate in names.items():
            place = self.folder.path / name
            if not place.exists() and name == "student" and parts and candidate == found[1]:
                same = load_checkpoint(self.folder.path / "stage1")  # stage 2 found nothing better: it is trained already
                save_checkpoint(place, same.network, same.preprocessing, same.facts)
            elif not place.exists():
                final = final or FinalTraining(problem, teacher, recipe, seed=self.search.seed, device=self.search.device)
                self.display.start(f"final training, {name}", recipe.epochs)
                final.run(candidate, place, name, lambda epoch, accuracy: self.display.update(epoch, f"val {accuracy:.2%}"))
            parts[name] = self._measured(load_checkpoint(place).facts, teacher, candidate)
        result = self._result(teacher, parts)
        draw_curves(self.folder.path / "curves.png", self.history, teacher.name)
        draw_architectures(self.folder.path / "architectures.png", last)
        write_json(self.folder.path / RESULT, result)
        return result

    def _measured(self, facts: dict[str, Any], teacher: Teacher, candidate: Candidate) -> dict[str, Any]:
        evaluation = Evaluation(
            accuracy=facts["val_accuracy"],
            teacher_accuracy=teacher.validation_accuracy,
            parameters=facts["parameters"],
            teacher_parameters=candidate.teacher.parameters,
            macs=facts["macs"],
        )
        fingerprint = candidate.architecture.fingerprint[:16]
        seen = next((e for e in self.history if e.fingerprint == fingerprint), None)
        return {
            "parameters": facts["parameters"],
            "macs": facts["macs"],
            "val_accuracy": facts["val_accuracy"],
            "test_accuracy": facts["test_accuracy"],
            "ratio": candidate.teacher.parameters / facts["parameters"],
            "reward": reward_by_name(self.search.reward)(evaluation),
            "epochs": facts["epochs"],
            "search_reward": seen.reward if seen else None,
            "search_accuracy": seen.accuracy if seen else None,
        }

    def _result(self, teacher: Teacher, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        architecture = self.search.problem.architecture
        return {
            "teacher": {
                "name": teacher.name,
                "dataset": self.search.dataset,
                "parameters": architecture.parameters,
                "macs": architecture.macs,
                "val_accuracy": teacher.validation_accuracy,
                "test_accuracy": teacher.test_accuracy,
            },
            **parts,
            "search": {
                "evaluations": len(self.history),
                "trained": sum(not e.from_store and e.seconds > 0 for e in self.history),
                "from_store": sum(e.from_store for e in self.history),
                "degenerate": sum(bool(e.reason) for e in self.history),
                "seconds": round(sum(e.seconds for e in self.history if not e.from_store), 3),
                "recipe": self.search.recipe,
            },
            "seed": self.search.seed,
            "configuration": self.search.configuration,
            "versions": library_versions("gymnasium", "stable-baselines3"),
            "threads": get_num_threads(),
            "command": self.folder.start.command,
        }


STAGE_POLICIES = {1: ("BidirectionalLstmPolicy", 0.003), 2: ("AutoregressiveLstmPolicy", 0.01)}
"""Policy and learning rate of each stage (section 4.2)."""


class _Recorder(BaseCallback):
    """Writes episodes and the agent down after each update, so that a killed run goes on from there."""

    def __init__(self, run: _Run, stage: int, checkpoint: Path, done: int) -> None:
        super().__init__()
        self._run = run
        self._stage = stage
        self._checkpoint = checkpoint
        self._saved = done
        self._seen = {episode.fingerprint for episode in run.history}

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            for finished in self.training_env.get_attr("finished"):
                self._record(finished)
        return True

    def _record(self, finished: Finished) -> None:
        run = self._run
        evaluation = finished.evaluation
        fingerprint = finished.student.fingerprint[:16]
        trained_here = evaluation.run == run.folder.start.run and fingerprint not in self._seen
        self._seen.add(fingerprint)
        count = sum(episode.stage == self._stage for episode in run.history)
        run.history.append(
            Episode(
                stage=self._stage,
                iteration=count // run.search.rollouts,
                rollout=count % run.search.rollouts,
                actions="".join(map(str, finished.actions)),
                fingerprint=fingerprint,
                accuracy=evaluation.accuracy,
                compression=evaluation.compression,
                parameters=evaluation.parameters,
                macs=evaluation.macs,
                reward=finished.reward,
                reason=evaluation.reason,
                seconds=evaluation.seconds,
                from_store=evaluation.seconds > 0 and not trained_here,
            )
        )

    def _on_rollout_start(self) -> None:
        self._save()

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        run = self._run
        episodes = [episode for episode in run.history if episode.stage == self._stage]
        updates = len(episodes) // run.search.rollouts
        if updates == self._saved:
            return
        self._saved = updates
        run.folder.write_history(run.history)
        assert isinstance(self.model, Reinforce)
        self.model.save(self._checkpoint)
        mean = sum(episode.reward for episode in episodes[-run.search.rollouts :]) / run.search.rollouts
        best = max(episode.reward for episode in episodes)
        stored = sum(episode.from_store for episode in run.history)
        note = f"best {best:.3f} mean {mean:.3f} students {len(run.history)}, {stored} stored"
        run.display.update(updates, note)
