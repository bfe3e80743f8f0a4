"""Algorithm 1, whole: remove layers, shrink what is left, train the best student found."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from stable_baselines3.common.callbacks import BaseCallback

from agents.display import Display
from agents.reinforce import Reinforce
from agents.report import draw_architectures, draw_curves
from agents.run_folder import HISTORY, RESULT, Episode, RunFolder, read_configuration
from agents.sb3 import BatchedVecEnv
from agents.student import FinalTraining
from n2n_gym.candidate import Candidate
from n2n_gym.datasets import load_dataset
from n2n_gym.envs.base import Finished, Settings
from n2n_gym.envs.layer_removal import RemovalStage
from n2n_gym.envs.layer_shrink import ShrinkStage
from n2n_gym.envs.vector import CompressionVectorEnv
from n2n_gym.errors import InputError, unknown
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.base import Evaluation, Evaluator, library_versions
from n2n_gym.evaluators.distillation import torch_device
from n2n_gym.files import write_json
from n2n_gym.models.checkpoint import describe_checkpoint
from n2n_gym.models.teachers import Teacher, ready_teacher
from n2n_gym.problem import Problem
from n2n_gym.recipes import final_recipe, search_recipe, teacher_recipe
from n2n_gym.rewards import reward_by_name


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
    """Weight of the teacher's logits in the final training (the paper's lambda)."""
    seed: int = 0
    """Of policies, students' trainings and final training."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    workers: int | None = None
    """Processes that train students side by side; by default one per core on a CPU, none on a GPU."""
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
        if self.workers is not None and self.workers < 0:
            raise InputError(f"workers must be 0 (train in this process) or more, not {self.workers}")
        if not 0 <= self.distillation_weight < float("inf"):
            raise InputError(f"distillation-weight must be 0 or more, not {self.distillation_weight:g}")
        if self.stages not in ("1", "2", "1+2"):
            raise unknown("stages", self.stages, ("1", "2", "1+2"))
        if self.architecture is not None and self.stages != "2":
            raise InputError(f"architecture is where stage 2 starts from: it goes with stages 2, not {self.stages}")
        _ = self.start
        reward_by_name(self.reward)
        search_recipe(self.recipe, self.problem.data)
        torch_device(self.device)
        load_dataset(self.dataset).split(self.train_size)

    @cached_property
    def problem(self) -> Problem:
        """Teacher and data."""
        return Problem(self.teacher, self.dataset, self.width, self.train_size)

    @cached_property
    def start(self) -> Candidate:
        """What the first of the stages starts from."""
        teacher = self.problem.architecture
        return (
            Candidate(teacher) if self.architecture is None else Candidate.load(Path(self.architecture).expanduser(), teacher)
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """What a resumed run must have in common with its start."""
        return {name: value for name, value in asdict(self).items() if name not in _FREE}

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.out or f"runs/{self.problem.name}-s{self.seed}").expanduser()

    def resumed(self) -> Search:
        """With `resume`, the search that was started there; else this one.

        Raises:
            InputError: If there is none, or an option was given that contradicts it.
        """
        if self.resume is None:
            return self
        path = Path(self.resume).expanduser()
        saved = read_configuration(path)
        known = {f.name: f.default for f in fields(self) if f.name not in _FREE}
        for name, default in known.items():
            given = getattr(self, name)
            if given not in (default, saved.get(name, default)):
                raise InputError(f"{path} holds a run with {name} {saved.get(name)!r}, not {given!r}; leave the option out")
        try:
            return replace(self, **saved, out=str(path), resume=None)
        except TypeError:
            raise InputError(f"{path} was made by another version: its configuration does not fit") from None


_FREE = ("workers", "store", "out", "resume")


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
    search = search.resumed()
    search.check()
    with RunFolder(search.folder, search.configuration, command) as folder:
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
            store=Path(self.search.store).expanduser() if self.search.store else self.folder.path / "evaluations.sqlite",
            run=self.folder.run,
        )

    def _search(self, stage: int, start: Candidate, evaluator: Evaluator) -> Candidate | None:
        """Run one stage's policy updates; its result is the best student seen, or None if all were degenerate."""
        result = self.folder.path / f"stage{stage}.json"
        if result.exists():
            return Candidate.load(result, self.search.problem.architecture)
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
            if not place.exists():
                final = final or FinalTraining(problem, teacher, recipe, seed=self.search.seed, device=self.search.device)
                self.display.start(f"final training, {name}", recipe.epochs)
                final.run(candidate, place, name, lambda epoch, accuracy: self.display.update(epoch, f"val {accuracy:.2%}"))
            parts[name] = self._measured(describe_checkpoint(place)["facts"], teacher, candidate)
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
            "command": self.folder.command,
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
        trained_here = evaluation.run == run.folder.run and fingerprint not in self._seen
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
        note = f"best {best:.3f}, mean {mean:.3f}, {len(run.history)} students, {stored} from the store"
        run.display.update(updates, note)
