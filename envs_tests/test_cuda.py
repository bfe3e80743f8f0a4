"""What is done on a GPU gives what a CPU gives, or says what differs; skipped where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import compress
from envs_tests.families import FAMILIES
from n2n_gym.evaluators import make_evaluator
from n2n_gym.layers import Dropout
from n2n_gym.models.build import Network
from n2n_gym.models.inherit import inherit
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student
from n2n_gym.training.gradients import GRAPH_STEPS, GraphedGradients, PlainGradients, gradients_of
from n2n_gym.training.images import ImageData
from n2n_gym.training.loop import train, training
from n2n_gym.training.recipes import Recipe
from n2n_gym.training.turns import finished, in_turns

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in whole float32, for the comparison with a CPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("name", [*FAMILIES, *ZOO])
def test_logits_are_a_cpus(name):
    architecture = FAMILIES[name]() if name in FAMILIES else network(name, width=0.125)
    built = Network(architecture, torch.Generator().manual_seed(0)).eval()
    images = torch.rand(4, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        here = built(images)
        there = built.to(GPU)(images.to(GPU)).cpu()
    assert torch.allclose(here, there, rtol=1e-3, atol=1e-4 * float(here.abs().max().clamp(min=1)))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_learns_and_hands_on_its_weights(name):
    architecture = FAMILIES[name]()
    teacher = Network(architecture, torch.Generator().manual_seed(0)).to(GPU)
    stage = RemovalStage(Student(architecture))
    student = stage.student([stage.keep] * stage.decisions)
    built = Network(student.architecture, torch.Generator().manual_seed(1)).to(GPU)
    inherit(built, student, teacher)
    images = torch.rand(8, *architecture.input_shape, generator=torch.Generator().manual_seed(1)).to(GPU)
    with torch.no_grad():
        assert torch.allclose(teacher.eval()(images), built.eval()(images), rtol=1e-3, atol=1e-3)
    with torch.autocast("cuda", torch.bfloat16):
        loss = built.train()(images).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in built.parameters())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "nesterov"])
def test_a_training_learns_and_resumes(toy_problem, tmp_path: Path, monkeypatch, optimizer, bf16):
    monkeypatch.setattr("n2n_gym.training.precision.BF16_MACS", 1)
    monkeypatch.setattr("n2n_gym.training.resume.SECONDS", 0.0)
    data = ImageData.of(toy_problem, GPU)
    rate = 5e-3 if optimizer == "adam" else 2e-2
    recipe = Recipe(name="test", epochs=8, batch_size=20, optimizer=optimizer, learning_rate=rate, hard=1.0, one_cycle=True)

    def trained(stop: int | None) -> float:
        def on_epoch(epoch: int, _accuracy: float) -> None:
            if epoch == stop:
                raise KeyboardInterrupt

        built = Network(toy_problem.architecture, torch.Generator().manual_seed(0)).to(GPU)
        file = tmp_path / "unfinished" if stop or (tmp_path / "unfinished").exists() else None
        return train(built, data, recipe, seed=0, bf16=bf16, on_epoch=on_epoch, resume=file).score.accuracy

    whole = trained(None)
    with pytest.raises(KeyboardInterrupt):
        trained(5)
    assert (tmp_path / "unfinished").exists()
    assert trained(None) == pytest.approx(whole, abs=0.1)
    assert whole > 0.6  # guessing gets a third


@pytest.mark.parametrize("name", [*FAMILIES, *ZOO])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_graph_has_the_gradients_and_running_statistics_of_plain_steps(name, bf16):
    architecture = FAMILIES[name]() if name in FAMILIES else network(name, width=0.125)
    nodes = (replace(n, layer=replace(n.layer, share=0.0)) if isinstance(n.layer, Dropout) else n for n in architecture.nodes)
    architecture = replace(architecture, nodes=tuple(nodes))  # a graph draws other numbers
    recipe = Recipe(name="test", epochs=1, batch_size=8, hard=1.0, soft=0.5)
    generator = torch.Generator().manual_seed(1)
    batches = [
        (
            torch.rand(size, *architecture.input_shape, generator=generator).to(GPU),
            torch.randint(architecture.classes, (size,), generator=generator).to(GPU),
            torch.randn(size, architecture.classes, generator=generator).to(GPU),
        )
        for size in (8, 8, 5, 8)  # an epoch's last batch is smaller
    ]
    said = []
    for steps in (1, GRAPH_STEPS):
        built = Network(architecture, torch.Generator().manual_seed(0)).to(GPU).train()
        gradients = gradients_of(built, recipe, steps=steps, bf16=bf16)
        assert isinstance(gradients, GraphedGradients if steps >= GRAPH_STEPS else PlainGradients)
        losses = [float(gradients(batch)) for batch in batches]
        moved = torch.cat([p.grad.flatten() for p in built.parameters()] + [b.flatten().float() for b in built.buffers()])
        said.append((losses, moved))
    assert said[1][0] == pytest.approx(said[0][0], rel=0.02 if bf16 else 1e-4)
    difference = (said[1][1] - said[0][1]).norm() / said[0][1].norm()  # convolutions add up in an order of their own
    assert float(difference) < (0.1 if bf16 else 0.01)


def test_images_prepared_at_once_are_those_prepared_batch_by_batch(toy_problem):
    data = ImageData.of(toy_problem, GPU)
    indices = torch.arange(len(data.train_images), device=GPU)
    for epoch in (0, 1, 2, 0):
        at_once = data.viewed(epoch, augment=True)
        assert isinstance(at_once, torch.Tensor)
        assert torch.equal(at_once[indices], data.batch(data.view(epoch, augment=True), indices))


def test_trainings_in_turns_end_as_alone(toy_problem, monkeypatch):
    monkeypatch.setattr("n2n_gym.training.gradients.GRAPH_STEPS", 1)
    data = ImageData.of(toy_problem, GPU)
    recipe = Recipe(name="test", epochs=8, batch_size=20, learning_rate=5e-3, hard=1.0, one_cycle=True)

    def begun(seed: int):
        built = Network(toy_problem.architecture, torch.Generator().manual_seed(seed)).to(GPU)
        return training(built, data, recipe, seed=seed)

    alone = [finished(begun(seed)).score.accuracy for seed in range(4)]
    together = [each.score.accuracy for each in in_turns([begun(seed) for seed in range(4)], GPU, at_once=3)]
    assert together == pytest.approx(alone, abs=0.1)
    assert min(together) > 0.6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluator_trains_students(deeper_toy_teacher: str, toy_data: str, workers: int):
    problem = Problem(deeper_toy_teacher, toy_data)
    stage = RemovalStage(Student(problem.architecture))
    rng = np.random.default_rng(0)
    student = stage.student(next(actions for _ in range(100) if stage.feasible(actions := stage.random_actions(rng))))
    with make_evaluator(problem, device="cuda", workers=workers) as evaluator:
        [evaluation] = evaluator.evaluate([student])
    assert not evaluation.reason
    assert evaluation.accuracy > 0.0


def test_the_whole_way(deeper_toy_teacher, toy_data, tmp_path: Path):
    result = compress(
        teacher=deeper_toy_teacher,
        dataset=toy_data,
        device="cuda",
        iterations=3,
        rollouts=2,
        finalists=2,
        final_trainings=2,
        out=str(tmp_path / "run"),
    )
    assert result["device"] == "cuda"
    assert result["student"]["test_accuracy"] > 0.6
    assert result["speed"]
