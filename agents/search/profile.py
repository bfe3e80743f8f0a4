"""What each layer of a teacher is worth, before any search: what it costs, and what is lost without it."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.display import Display, shown_teacher
from agents.search.options import Search
from n2n_gym.architecture import FACTORS, REMOVE, Variable, shrink_decisions
from n2n_gym.errors import InputError
from n2n_gym.layers import Verdict
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage, ShrinkStage, Stage
from n2n_gym.student import Student
from n2n_gym.system.device import one_thread, torch_device
from n2n_gym.system.machine import machine, process_count
from n2n_gym.system.versions import library_versions
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.loop import train
from n2n_gym.training.recipes import final_recipe, search_recipe

HALF = FACTORS.index(0.5)
"""Stage 2's action that halves."""

NO_EFFECT = "no effect"
"""Why nothing is lost by a change that leaves a network as it is: a layer of `MIN_FILTERS` has no fewer."""

PASSES = 15
"""Passes whose layers are timed; of a layer's times the median counts."""

BATCH = 64
"""Images in such a pass."""

TIMED = 1_000
"""Training images on which the students of the estimate are trained, at most."""

DRAWN = 2
"""Students of each stage that are trained for the estimate."""


def profile(
    problem: Problem,
    *,
    images: int = 1_000,
    renewed: int = 1_000,
    recipe: str = "fast",
    device: str = "auto",
    display: Display | None = None,
) -> dict[str, Any]:
    """What each layer on a teacher's main path costs, what is lost without it, and what a search would cost here.

    Nothing is trained but the few students by which the search is estimated: a network without a layer, or with half of its
    outputs, has the teacher's weights (`inherit`).

    Args:
        problem: Teacher and data; the teacher is trained first if it was not yet.
        images: Validation images that accuracies are measured on, at most.
        renewed: Training images on which batch normalisation's statistics are measured anew in a network that was changed, at
            most; 0 leaves the teacher's.
        recipe: How the search trains its students.
        device: Where.
        display: Shows how it goes.

    Returns:
        JSON data: `layers`, a row per layer; `accuracy` of the teacher on the images, and `accuracy_renewed`, the same with
        statistics renewed as those of changed networks are, which is what they are compared with; `decisions` of each stage,
        and how many of them are `free`: at least one action alone changes the network; `search`, the estimate in seconds and
        what it assumes.

    Raises:
        InputError: If a number is out of range, or the teacher or its data cannot be had.
    """
    if images < 1:
        raise InputError(f"images must be at least 1, not {images}")
    if renewed < 0:
        raise InputError(f"renewed must be 0 or more training images, not {renewed}")
    place = torch_device(device)
    with display or Display() as shown:
        teacher = shown_teacher(problem, device, shown)
        network = teacher.checkpoint.network.to(place)
        data = ImageData.of(problem, place)
        worth = _Worth(network, data, images, renewed)
        stages: list[Stage] = [RemovalStage(Student(network.architecture))]
        if shrink_decisions(network.architecture):
            stages.append(ShrinkStage(Student(network.architecture)))
        return {
            "name": teacher.name,
            "dataset": problem.dataset,
            "identity": problem.identity,
            "weights": teacher.checkpoint.fingerprint,
            "parameters": network.architecture.parameters,
            "macs": network.architecture.macs,
            "accuracy": worth.accuracy,
            "accuracy_renewed": worth.accuracy_renewed,
            "images": worth.images,
            "statistics": f"renewed on {worth.renewed:,} training images" if worth.renewed else "the teacher's",
            "layers": worth.rows(stages, teacher.checkpoint.facts.get("places"), shown),
            "decisions": {
                stage.name: {"all": stage.decisions, "free": sum(_is_free(stage, each) for each in range(stage.decisions))}
                for stage in stages
            },
            "search": _estimate(problem, network, recipe, place),
            "device": str(place),
            "machine": machine(),
            "versions": library_versions(),
        }


class _Worth:
    """Measures changed copies of a teacher.

    Args:
        network: The teacher's.
        data: Its images.
        images: Validation images, at most.
        renewed: Training images for new statistics, at most.
    """

    def __init__(self, network: Network, data: ImageData, images: int, renewed: int) -> None:
        self._network = network
        self._weights = copy.deepcopy(network).cpu()  # there students take them over
        self._teacher = network.architecture
        data.validation_images, data.validation_labels = data.validation_images.first(images), data.validation_labels[:images]
        self._data = data
        self.images = len(data.validation_images)
        normalised = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        self.renewed = min(renewed, len(data.train_images)) if normalised else 0
        self.accuracy = self.accuracy_renewed = data.validation_score(network).accuracy
        if self.renewed:  # what renewing alone does is no layer's doing
            renewed_teacher = copy.deepcopy(network)
            self._renew(renewed_teacher)
            self.accuracy_renewed = data.validation_score(renewed_teacher).accuracy

    def rows(self, stages: Sequence[Stage], places: Sequence[dict[str, Any]] | None, display: Display) -> list[dict[str, Any]]:
        """A row per layer on the main path."""
        alone = {}  # what is known of changes, by stage and position
        todo = [(stage, position) for stage in stages for position in range(stage.decisions) if _changes(stage, position)]
        display.start("layers", len(todo))
        for done, (stage, position) in enumerate(todo, 1):
            action = REMOVE if stage.name == RemovalStage.name else HALF
            for layer in stage.layers[position]:
                alone[stage.name, layer] = {**self._changed(stage, position, action), "layers": list(stage.layers[position])}
            display.update(done, "")
        shares = self._shares()
        return [
            {
                "layer": index,
                "kind": self._teacher.nodes[index].layer.kind,
                "place": places[index] if places else None,
                "shape": list(self._teacher.shapes[index]),
                "parameters": self._teacher.nodes[index].layer.parameters(self._teacher.input_shapes(index)),
                "macs": self._teacher.nodes[index].layer.macs(self._teacher.input_shapes(index), self._teacher.shapes[index]),
                "time_share": shares[index],
                "removed": alone.get((RemovalStage.name, index)),
                "halved": alone.get((ShrinkStage.name, index)),
            }
            for index in self._teacher.main_path
        ]

    def _changed(self, stage: Stage, position: int, action: int) -> dict[str, Any]:
        """What one decision alone does, or why it can do nothing."""
        student = _alone(stage, position, action)
        if student.architecture == self._teacher:
            return {"reason": NO_EFFECT}
        verdict = student.architecture.verdict(self._teacher)
        if verdict not in (Verdict.FEASIBLE, Verdict.NOT_SMALLER):  # an activation has no parameters to save
            return {"reason": str(verdict)}
        network = Network(student.architecture, torch.Generator().manual_seed(0)).eval()
        taken = inherit(network, student, self._weights)
        network.to(self._data.device)
        self._renew(network)
        found: dict[str, Any] = {}
        if stage.variables[position] is Variable.OUTPUTS:
            lead = stage.layers[position][0]
            found = {"outputs": student.architecture.widths[lead], "of": self._teacher.widths[lead]}
        return {
            **found,
            "lost": self.accuracy_renewed - self._data.validation_score(network).accuracy,
            "parameters": self._teacher.parameters - student.architecture.parameters,
            "macs": self._teacher.macs - student.architecture.macs,
            "inherited": taken / sum(value.numel() for value in network.state_dict().values()),
        }

    @torch.no_grad()
    def _renew(self, network: Network) -> None:
        """Measure the statistics of batch normalisation anew, as means over some training images."""
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        if not (norms and self.renewed):
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        indices = torch.arange(self.renewed, device=self._data.device)
        for some in indices.split(self._data.evaluation_batch):
            if len(some) > 1 or len(indices) == 1:
                network(self._data.batch(self._data.view(0, augment=False), some))
        network.eval()

    @torch.no_grad()
    def _shares(self) -> dict[int, float]:
        """Each layer's share of a forward pass, timed by hooks around it, with one thread on a CPU."""
        place = self._data.device
        batch = self._data.batch(self._data.view(0, augment=False), torch.arange(min(BATCH, len(self._data.train_images))))
        network = self._network.eval().to(memory_format=torch.channels_last)
        times: dict[int, list[float]] = {index: [] for index in range(len(network.layers))}
        with one_thread(place), _hooks(network, times, place):
            for _ in range(PASSES):
                network(batch)
        medians = {index: median(seconds[1:]) for index, seconds in times.items()}  # the first pass warms up
        return {index: seconds / sum(medians.values()) for index, seconds in medians.items()}


@contextmanager
def _hooks(network: Network, times: dict[int, list[float]], place: torch.device) -> Iterator[None]:
    def now() -> float:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        return time.perf_counter()

    begun: dict[nn.Module, float] = {}

    def before(module: nn.Module, _inputs: Any) -> None:
        begun[module] = now()

    handles = [layer.register_forward_pre_hook(before) for layer in network.layers]
    for index, layer in enumerate(network.layers):

        def after(module: nn.Module, _inputs: Any, _output: Any, index: int = index) -> None:
            times[index].append(now() - begun[module])

        handles.append(layer.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _alone(stage: Stage, position: int, action: int) -> Student:
    """The student of one decision, all others leave things as they are."""
    actions = [stage.keep] * stage.decisions
    actions[position] = action
    return stage.student(actions)


def _is_free(stage: Stage, position: int) -> bool:
    """Whether a decision has different results; masks let all factors by, also where they are rounded to the same size."""
    return any(_alone(stage, position, action).architecture != stage.base for action in stage.effective(position))


def _changes(stage: Stage, position: int) -> bool:
    """Whether a decision has a choice, and is of those that are looked at: to remove a layer, to halve outputs."""
    wanted = (Variable.LAYER, Variable.OUTPUTS)
    return stage.variables[position] in wanted and int(stage.masks[position].sum()) > 1


def _estimate(problem: Problem, network: Network, recipe_name: str, place: torch.device) -> dict[str, Any]:
    """What `n2n compress` would take here, from some short trainings of random students of both stages."""
    data = ImageData.of(problem, place)
    recipe = search_recipe(recipe_name, problem.data, problem.train_size)
    all_images, all_validation = len(data.train_images), len(data.validation_images)
    an_epoch = recipe.images or all_images
    data.train_images, data.train_labels = data.train_images.first(TIMED), data.train_labels[:TIMED]
    data.validation_images, data.validation_labels = data.validation_images.first(TIMED), data.validation_labels[:TIMED]
    logits = TeacherLogits(network, data)
    begun = time.perf_counter()
    logits.of(0, augment=recipe.augment)
    logits_seconds = (time.perf_counter() - begun) * an_epoch / len(data.train_images) * recipe.epochs
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {}
    an_image: list[float] = []
    for _ in range(DRAWN):
        student = Student(network.architecture)
        for kind in (RemovalStage, ShrinkStage):
            try:
                stage = kind(student)
                student = stage.student(stage.random_actions(rng))
            except InputError:  # nothing is left to shrink
                continue
            with one_thread(place):
                trained = Network(student.architecture, torch.Generator().manual_seed(0)).to(place)
                begun = time.perf_counter()
                train(trained, data, replace(recipe, epochs=1, images=None), seed=0, teacher=logits)
                whole = time.perf_counter() - begun
                begun = time.perf_counter()
                data.validation_score(trained)
                validation = time.perf_counter() - begun
            an_image.append(max(whole - validation, 0.0) / len(data.train_images))
            look = validation * all_validation / len(data.validation_images)
            seconds.setdefault(kind.name, []).append(recipe.epochs * an_epoch * an_image[-1] + look)
    defaults = Search()
    students = defaults.budget or defaults.iterations * defaults.rollouts
    processes = max(process_count(None, place), 1)
    each = {name: fmean(found) for name, found in seconds.items()}
    final = final_recipe(problem.data, problem.train_size).epochs
    trainings = (defaults.finalists + defaults.unsearched + len(defaults.beside)) * defaults.final_trainings
    return {
        "seconds_a_student": each,
        "seconds": sum(each.values()) * students / processes + logits_seconds,
        "final_seconds_at_most": trainings * final * all_images * fmean(an_image) / processes,
        "assumes": (
            f"{students} students a stage, as many as n2n compress tries, {processes} at a time, none of them twice; each as "
            f"slow as {DRAWN} random ones by recipe {recipe.name} ({recipe.epochs} epochs on {an_epoch:,} images, one "
            f"thread), of which an epoch on {len(data.train_images):,} was timed; at most {trainings} final trainings "
            f"of {final} epochs, as many at a time"
        ),
    }
