"""Evaluators by name. The modules that train are imported when an evaluator is made that needs them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from n2n_gym.errors import InputError, check_arguments
from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.evaluators.settings import EvaluationSettings, TrainingSettings
from n2n_gym.problem import ProblemSettings
from n2n_gym.registry import Registry
from n2n_gym.rewards import Reward, paper_reward
from n2n_gym.settings import values_of
from n2n_gym.stages.base import Stage

if TYPE_CHECKING:
    from n2n_gym.evaluators.distillation import DistillationEvaluator


@dataclass(frozen=True)
class Order:
    """What an evaluator is made for.

    Attributes:
        stage: Whose students it will be asked for; None if that is not known.
        argument: What stands behind the colon of its name.
        run: Name to mark newly stored students with.
        thorough: Whether students are validated after each epoch and tested at the end, for tables; a search must not.
        reward: What students are worth to who asks.
    """

    stage: Stage | None = None
    argument: str = ""
    run: str = ""
    thorough: bool = False
    reward: Reward = paper_reward


Maker = Callable[[EvaluationSettings, Order], Evaluator]
"""Makes an evaluator: trains and downloads nothing, and refuses with an `InputError` what cannot be."""

_MAKER = "a maker that takes (settings, order) and gives an Evaluator"

EVALUATORS: Registry[Maker] = Registry("evaluator", kind=Callable, wanted=_MAKER)

WORKERS: Registry[Callable[[DistillationEvaluator, str], Evaluator]] = Registry("workers", others=("a number",))
"""Who trains students, where it is not processes of this machine; made around the evaluator that trains one."""


def make_evaluator(
    settings: ProblemSettings,
    stage: Stage | None = None,
    *,
    run: str = "",
    thorough: bool = False,
    reward: Reward = paper_reward,
    **changes: Any,
) -> Evaluator:
    """The evaluator that settings describe.

    Args:
        settings: A problem, or all or some of `EvaluationSettings`.
        stage: Whose students it will be asked for.
        run: Name to mark newly stored students with.
        thorough: Whether students are validated after each epoch and tested, for tables.
        reward: What students are worth, for evaluators that give more time to better ones.
        **changes: Fields of `EvaluationSettings`, instead of what `settings` says.

    Raises:
        InputError: If a name is unknown, settings do not fit each other, or what was registered makes no evaluator.
        TypeError: If there is no such field.
    """
    check_arguments("make_evaluator", changes, (field.name for field in fields(EvaluationSettings)))
    chosen = EvaluationSettings(**values_of(settings, EvaluationSettings) | changes)
    if isinstance(chosen.evaluator, Evaluator):
        if chosen.evaluator.teacher != chosen.problem.architecture:
            raise InputError("the evaluator is for another teacher than the settings'; give both the same settings")
        return chosen.evaluator
    maker, argument = EVALUATORS.look_up(chosen.evaluator)
    order = Order(stage, argument, run, thorough, reward)
    try:
        inspect.signature(maker).bind(chosen, order)
    except (TypeError, ValueError) as error:
        raise InputError(f"evaluator {chosen.evaluator}: what was registered is not {_MAKER}: {error}") from None
    made = maker(chosen, order)
    if not isinstance(made, Evaluator):
        raise InputError(f"evaluator {chosen.evaluator}: what was registered is not {_MAKER}: it gives {made!r}")
    return made


def check_workers(workers: int | str | None) -> None:
    """Refuse workers that there are not.

    Raises:
        InputError: If the number is negative, or the word is none of `WORKERS`.
    """
    if isinstance(workers, str):
        WORKERS.look_up(workers)
    elif workers is not None and workers < 0:
        raise InputError(f"workers must be 0 (train in this process) or more, not {workers}")


def distillation(settings: EvaluationSettings, order: Order) -> Evaluator:
    """Trains students: in this process or by workers, with a store around, and with a clock if latencies are wanted.

    Raises:
        InputError: If the recipe is unknown, the workers cannot be, or the seed is no number.
    """
    from n2n_gym.evaluators.distillation import DistillationEvaluator
    from n2n_gym.evaluators.latency import LatencyEvaluator
    from n2n_gym.evaluators.store import StoredEvaluator

    if isinstance(settings.seed, str):
        raise InputError(f"seed of students' trainings must be a number, not {settings.seed!r}")
    check_workers(settings.workers)
    training = values_of(settings, TrainingSettings)
    trains = DistillationEvaluator(settings.problem, settings.seed or 0, order.thorough, **training)
    evaluator = _with_workers(trains, settings.workers)
    store = None if settings.store is None else Path(settings.store).expanduser()
    if store is not None:
        evaluator = StoredEvaluator(evaluator, store, run=order.run)
    if settings.latency_batch_size is not None:
        evaluator = LatencyEvaluator(evaluator, batch_size=settings.latency_batch_size, device=settings.device)
        if store is not None:  # accuracies are kept for every run, latencies for those that ask for the same
            evaluator = StoredEvaluator(evaluator, store, run=order.run)
    return evaluator


def halving(settings: EvaluationSettings, order: Order) -> Evaluator:
    """Trains students as `distillation` does, but those whole that are ahead on the way.

    Raises:
        InputError: As `distillation`; or if trainings cannot be stopped on the way, or have one epoch.
    """
    from n2n_gym.evaluators.halving import HalvingEvaluator

    return HalvingEvaluator(distillation(settings, order), order.reward)


def _with_workers(trains: DistillationEvaluator, workers: int | str | None) -> Evaluator:
    from n2n_gym.evaluators.workers import WorkerEvaluator
    from n2n_gym.system.device import torch_device
    from n2n_gym.system.machine import process_count

    if isinstance(workers, str):
        make, argument = WORKERS.look_up(workers)
        return make(trains, argument)
    processes = process_count(workers, torch_device(trains.device))
    return WorkerEvaluator(trains, processes) if processes else trains


def _ray(trains: DistillationEvaluator, address: str) -> Evaluator:
    from n2n_gym.evaluators.ray import RayEvaluator

    return RayEvaluator(trains, address or None)


EVALUATORS.register("distillation", distillation)
EVALUATORS.register("halving", halving)
WORKERS.register("ray", _ray, argument="ADDRESS")
