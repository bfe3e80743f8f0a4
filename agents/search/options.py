"""What a compression run is asked to do; `n2n compress` takes each field of `Search` as an option."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from agents.algorithms.saving import PRETRAINED, pretrained_policies, read_agent
from agents.search.places import MOVABLE, alike, gone, placed
from agents.search.run_folder import CONFIG, check_version, read_start
from n2n_gym.architecture import FACTORS, student_ranges
from n2n_gym.data import load_dataset
from n2n_gym.envs.settings import JudgedSettings
from n2n_gym.errors import InputError, check_arguments, typed, unknown
from n2n_gym.evaluators import EVALUATORS
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.limits import Constraint, Constraints, Relaxation
from n2n_gym.models.checkpoint import file_hash
from n2n_gym.networks.beside import WIDTH_SCALED, label_beside, network_beside
from n2n_gym.stages import RemovalStage, ShrinkStage, Stage
from n2n_gym.student import Student
from n2n_gym.system.device import torch_device
from n2n_gym.system.documents import checked
from n2n_gym.tables.surrogate import uses_surrogate


def _agents(default: str) -> str:
    from agents.algorithms.registry import ALGORITHMS  # Stable-Baselines3 takes long to import: only for --help

    return f"(default: {default}; known: {', '.join(ALGORITHMS.spellings)})"


@dataclass(frozen=True, kw_only=True)
class Search(JudgedSettings):
    """What to compress, and how."""

    agent: Annotated[str, tyro.conf.arg(help_behavior_hint=_agents)] = "dyna"
    """Who searches. dyna is a recurrent policy that learns from imagined episodes too; reinforce and actor-critic are the
    paper's, with one plain step per update; those called imitating take clipped steps, have an entropy bonus, and imitate the
    best students so far."""
    policy: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A saved policy to start from, such as runs/a/stage1.policy, maybe of another teacher; once for each stage. pretrained is
    what the package has: learned on 32 small networks, for both stages."""
    stages: Literal["1", "2", "1+2"] = "1+2"
    """Which stages to run: 1 removes layers, 2 shrinks them."""
    architecture: str | None = None
    """With stages 2: file of the stage-1 student to start from (stage1.json of a run); by default the teacher itself."""
    iterations: int = 100
    """Policy updates in each stage, at most."""
    students: int | None = 100
    """End a stage with the update in which it has trained so many distinct students. Degenerate ones cost nothing, nor do
    those that were seen before, so searches with equally many students are a fair comparison. With None iterations end it."""
    starts: int = 3
    """Stage 2 starts from so many of stage 1's best students, each with its share of updates and students: the most rewarded
    one is often the luckiest."""
    rollouts: int = 5
    """Students per policy update."""
    learning_rate: float | None = None
    """The agent's learning rate in every stage; by default its own (recurrent policies: 0.003 in stage 1, 0.01 in stage 2)."""
    recipe: str = "fast"
    constraint: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A limit that the student must keep, such as "parameters<=20000", "macs<=1e6", "latency_ms<=2.5", "accuracy>=0.9",
    "class_accuracy[3]>=0.9", a sum such as "parameters + 0.1*macs <= 50000", or a .json file; may be given again."""
    relaxation: str = "relaxed"
    headroom: float = 4.0
    """Factor by which a student of stage 1 may exceed the limits on parameters, macs and model_bytes if stage 2 follows, which
    divides parameters by four if it halves all filters. With 1 stage 1 keeps the limits by itself."""
    finalists: int = 5
    """Number of students that get the final training: the most rewarded on the front of accuracy and parameters. The best of
    them by its reward on validation images is the student; of those within 0.001, the smallest. 1 trains the most rewarded
    alone, 0 trains none: the run ends with the search."""
    unsearched: bool = True
    """With several finalists: race them against the teacher with the filters of all its layers shrunk alike, which no search
    has to find. If it wins it is the student, and the result says so. Not with --stages 1, nor with --baseline."""
    final_trainings: int = 3
    """Number of trainings of a finalist, each with a seed of its own. From the second on those that are worse than the best
    with 95% certainty have no more. The student has all, so that its accuracy has an interval."""
    final_epochs: int | None = None
    """Epochs of a final training; by default 30 to 60, the fewer the more images there are."""
    beside: tuple[str, ...] = (WIDTH_SCALED,)
    """What is trained beside the student, as often: width-scaled is the teacher with fewer filters everywhere, as small as the
    student; resnet20, resnet32, resnet56, mobilenetv2x0.5, fitnet4, squeezenet1.1 and vgg-small are as people designed them;
    or an architecture's .json file."""
    baseline: str | None = None
    """Another agent, such as random, that searches beside this one with as many trained students; needs --students."""
    distillation_weight: float = 1.0
    """Weight of the mean squared error to the teacher's logits in the final training (the paper's lambda; a mean over classes,
    where the paper has a sum)."""
    seed: int = 0
    """Seed of policies, of students' trainings and of final trainings. With a table, a student's accuracy is the mean of those
    of its trainings that a search may see, whatever the seed."""
    speed: bool = True
    """Time the student beside its teacher at the end, in torch and, where it is installed, in ONNX Runtime."""
    tensorboard: bool = False
    """Write the search's figures for TensorBoard, into tensorboard/ in the run's folder (needs the extra tensorboard)."""
    wandb: str | None = None
    """Project at Weights & Biases that the search's figures go to (needs the extra wandb, and a login there)."""
    evaluator: str = "distillation"
    workers: int | str | None = None
    store: str | None = None
    """SQLite file of evaluated students to share with other runs; by default the run has its own."""
    out: str | None = None
    """The run's folder; by default runs/TEACHER-DATASET-sSEED. A run that is there is gone on with."""
    resume: str | None = None
    """Folder of a run to go on with, with the options it was started with."""

    LEAST = {
        **JudgedSettings.LEAST,
        **dict.fromkeys(("iterations", "starts", "rollouts", "students", "final_trainings", "final_epochs"), 1),
        "finalists": 0,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("constraint", "policy", "beside"):  # in Python one may be given by itself, and limits as objects
            given: Any = getattr(self, name)
            given = (given,) if isinstance(given, str | Path | Constraint) else given
            if not isinstance(given, Iterable):
                raise InputError(f"{name} must be text, or several of them, not {given!r}")
            object.__setattr__(self, name, tuple(map(str, given)))
        object.__setattr__(self, "stages", str(self.stages))
        if not isinstance(self.relaxation, str | Relaxation):
            raise InputError("a run is written down: its relaxation must be a text or a Relaxation, not another schedule")
        object.__setattr__(self, "relaxation", str(self.relaxation))

    def check(self) -> None:
        """Refuse what cannot be done before anything is.

        Raises:
            InputError: If a name is unknown, a number out of range, or a file of the user's malformed.
        """
        from agents.algorithms.registry import check_agent  # Stable-Baselines3 takes long to import: not for --help

        self.check_numbers()
        if self.stages not in ("1", "2", "1+2"):
            raise unknown("stages", self.stages, ("1", "2", "1+2"))
        if self.baseline is not None:
            check_agent(self.baseline, None)
            if self.budget is None:
                raise InputError(
                    "a baseline searches with as many trained students: say how many by --students, and give --iterations and "
                    f"--rollouts that can train more ({self.iterations} x {self.rollouts} are tried at most)"
                )
        labels = [label_beside(name) for name in self.beside]
        for name, label in zip(self.beside, labels, strict=True):
            network_beside(name, self.problem.architecture, 1)
            if labels.count(label) > 1:
                raise InputError(f"two networks beside the student would be called {label}; give the file another name")
        if self.architecture is not None and self.stages != "2":
            raise InputError(f"architecture is where stage 2 starts from: it goes with stages 2, not {self.stages}")
        number = int(self.stages[0])
        first = self.stage(number, self.start)
        check_agent(self.agent, self.learning_rate, self.policies.values())
        self.check_names()
        if self.limits:
            whose = {"classes": self.problem.data.classes, "teacher_parameters": self.problem.architecture.parameters}
            self.limits.check(student_ranges(self.problem.architecture), **whose)
            self._check_first_stage(number, first, **whose)
        torch_device(self.device)
        self.evaluator_of(first).close()  # nothing is trained: what does not fit is said at once
        dataset = load_dataset(self.problem.data)
        _ = dataset.split(self.train_size), dataset.test  # what is wrong with it is said now, not when all is done
        if self.store is not None:
            EvaluationStore(Path(self.store).expanduser()).close()

    def _check_first_stage(self, number: int, stage: Stage, **whose: int) -> None:
        """Refuse limits that no student of the first stage can keep."""
        try:
            self.limits_in(number).check(stage.ranges, **whose)
        except InputError as error:
            if self.stages != "1+2":
                raise
            raise InputError(
                f"in stage 1, where limits on sizes are {self.headroom:g} times as wide, {error}; or give more --headroom"
            ) from None

    def check_numbers(self) -> None:
        super().check_numbers()
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning-rate must be greater than 0, not {self.learning_rate:g}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be 0 to {2**32 - 1}, not {self.seed}")
        if not 1 <= self.headroom < float("inf"):
            raise InputError(f"headroom must be at least 1, not {self.headroom:g}")
        if not 0 <= self.distillation_weight < float("inf"):
            raise InputError(f"distillation-weight must be 0 or more, not {self.distillation_weight:g}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Search:
        """From arguments in Python, which may be of the wrong type.

        Raises:
            InputError: If one is.
            TypeError: If there is no such argument.
        """
        check_arguments("compress", settings, (each.name for each in fields(cls)))
        # these may be of several types, and are looked at as they are read
        free = dict.fromkeys(("teacher", "stages", "constraint", "policy", "beside", "relaxation"), object)
        return cls(**typed("compress", settings, {**get_type_hints(cls), **free}))

    @cached_property
    def limits(self) -> Constraints:
        """What the student must keep."""
        return Constraints.parse(self.constraint)

    def limits_in(self, stage: int) -> Constraints:
        """What the students of a stage must keep."""
        return self.limits.loosened(self.headroom) if stage == 1 and self.stages == "1+2" else self.limits

    def stage(self, number: int, start: Student) -> Stage:
        """The decisions of stage 1 or 2, from a student on."""
        return (RemovalStage if number == 1 else ShrinkStage)(start, lookahead=self.lookahead)

    @property
    def stages_alike(self) -> bool:
        """Whether both stages' students keep the same limits, so that the student may come from either."""
        return self.limits_in(1) == self.limits_in(2)

    @cached_property
    def policies(self) -> dict[int, Path]:
        """The saved policy that each stage starts from.

        Raises:
            InputError: If a file is no saved agent, or is for a stage that is not run or has one already.
        """
        found: dict[int, Path] = {}
        stages = [int(stage) for stage in self.stages.split("+")]
        for text in self.policy:
            if text == PRETRAINED:
                found |= {stage: path for stage, path in pretrained_policies().items() if stage in stages}
                continue
            path = Path(text).expanduser()
            stage = {2: 1, len(FACTORS): 2}.get(read_agent(path)[1].get("actions", 0))
            if stage is None or stage not in stages:
                raise InputError(f"{path} holds a policy for stage {stage}, which is not run (stages is {self.stages})")
            if stage in found:
                raise InputError(f"{path} and {found[stage]} both hold a policy for stage {stage}; give one for each stage")
            found[stage] = path
        return found

    @cached_property
    def start(self) -> Student:
        """What the first of the stages starts from."""
        teacher = self.problem.architecture
        if self.architecture is None:
            return Student(teacher)
        candidate = Student.load(Path(self.architecture).expanduser(), teacher)
        if candidate.shrinkages is not None:
            raise InputError(
                f"{self.architecture} is a stage-2 result; stage 2 starts from a stage-1 result, such as stage1.json"
            )
        return candidate

    @property
    def configuration(self) -> dict[str, Any]:
        """What a resumed run must have in common with its start."""
        values = {name: value for name, value in asdict(self).items() if name not in _FREE}
        values |= {name: list(getattr(self, name)) for name in _LISTS}  # as JSON gives them back
        return {name: placed(name, value) for name, value in values.items()}

    @property
    def budget(self) -> int | None:
        """Students that end a stage; None if its iterations end it anyway, as they cannot train so many."""
        return None if self.students is None or self.iterations * self.rollouts <= self.students else self.students

    @property
    def training_seed(self) -> int | None:
        """The seed of students' trainings; a table has the mean of several, whatever the policies' seed."""
        return None if self.uses_table else self.seed

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.out or f"runs/{self.problem.name}-s{self.seed}").expanduser()

    @property
    def identity(self) -> dict[str, str]:
        """What the configuration's files hold: a resumed run must find the same."""
        file = EVALUATORS.file_in(self.evaluator) or (self.teacher if uses_surrogate(self) else None)
        return {
            "teacher": self.problem.identity,
            "dataset": load_dataset(self.problem.data).fingerprint,
            "constraints": str(self.limits),
            "start": self.start.architecture.fingerprint,
            "policies": " ".join(file_hash(path) for path in self.policies.values()),
            **({} if file is None else {"evaluator": file_hash(Path(file).expanduser())}),
        }

    def resumed(self, given: Collection[str]) -> Search:
        """With `resume`, the search that was started there; else this one, with the data that its teacher brings along.

        Args:
            given: The fields that were given explicitly; one that contradicts the run is refused.

        Raises:
            InputError: If there is no run, it is damaged, or an option contradicts it.
        """
        if self.resume is None:
            found = replace(self, dataset=self.problem.dataset, image_size=self.problem.image_size)
            return self if found == self else found  # this one has its problem already
        path = Path(self.resume).expanduser()
        saved = read_start(path)
        complaint = f"{path} was made by another version, or its {CONFIG} is damaged: its configuration does not fit"
        check_version(path, saved.configuration, self.configuration)
        checked(saved.configuration, type(self), complaint)
        if "out" in given:
            raise InputError("a resumed run stays in its folder: give --resume without --out")
        for name in given:
            if name not in saved.configuration or name not in self.configuration:
                continue
            if name in ("dataset", "image_size") and getattr(self, name) is None:
                continue  # the teacher's own
            there, here = placed(name, saved.configuration[name]), self.configuration[name]
            if not alike(name, there, here):
                raise InputError(f"{path} holds a run with {name} {there!r}, not {here!r}; leave the option out")
        try:
            store = self.store if "store" in given else saved.store
            lists = {name: tuple(saved.configuration[name]) for name in _LISTS}
            named = {name: getattr(self, name) for name in MOVABLE if name in given}
            for name in set(MOVABLE) - set(named):
                if file := gone(name, saved.configuration[name]):
                    there = f"{file} is not there" if Path(file).is_absolute() else f"there is no {file} in {Path.cwd()}"
                    raise InputError(
                        f"the run in {path} was started with {name} {file}, and {there}; say where it is: --{name}"
                    )
            return replace(self, **{**saved.configuration, **lists, **named}, store=store, out=str(path), resume=None)
        except (TypeError, KeyError):
            raise InputError(complaint) from None


_LISTS = ("constraint", "policy", "beside")
_FREE = ("workers", "timeout", "speed", "store", "tensorboard", "wandb", "out", "resume")
