"""Each benchmark program runs, at a tiny size, and writes what it measured."""

import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents import compress
from agents.commands.main import main
from envs_tests.conftest import made_sample
from n2n_gym.system.files import home

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

TINY = {
    "cifar10_headline": "--run run --epochs 1 --trainings 2 --processes 0 --smaller 0:1",
    "cifar10_teacher": "--epochs 1 --images 20",
    "env_steps": "--seconds 0.01 --repeats 1",
    "evaluator_throughput": "--cases conv4-digits --students 2 --repeats 1 --workers 0 --warm-seconds 0 --step-images 0",
    "feasibility": "--networks conv4 resnet18 --episodes 2",
    "final_recipes": "--train-size 50 --width 0.1 --students 1 --epochs 2 --rates 0.01",
    "fidelity": (
        "--problem own --teacher conv2 --train-size 50 --width 0.1 --students 6 --searched 16 --epochs 1 --processes 1"
    ),
    "gpu_throughput": "--networks resnet18 --dataset digits --width 0.1 --train-size 50 --epochs 2 --many 2 --device cpu",
    "halving": "--tables conv4-digits-shrink --agents random --looks 10 --seeds 2",
    "kill_anywhere": "--kills 2 --width 0.1 --train-size 50 --iterations 1",
    "large_space": (
        "--teacher conv4 --width 0.1 --train-size 50 --seeds 2 --evaluations 5 --again 1 --policy-episodes 5 --workers 0 "
        "--agents reinforce random"
    ),
    "large_choices": "--results random.large.json --tasks samples/shrink-False.json --budget 3 --trainings 1",
    "large_trajectories": "--results . --tasks samples/shrink-False.json --agents random evolution --budget 3",
    "memory": "--train-size 50 --width 0.1 --students 6 --every 2 --workers 0",
    "scaling": "--workers 0 1 --batches 1 --images 100 --depths conv2 --students 1 --repeats 1 --warm-seconds 0",
    "soak": "--train-size 50 --width 0.1 --students 8 --workers 0 --every 5",
    "search_time": "--train-size 50 --width 0.1 --iterations 2 --seeds 1",
    "starts": "--train-size 50 --width 0.1 --students 2 --seeds 1",
    "transfer": "--samples samples --seeds 1 --updates 3 --trainings 1 --contenders pretrained constant-rate",
    "tune": "--agents cross-entropy --tasks conv4-digits-shrink --trials 2 --seeds 1 --again 2 --workers 1 --kept kept",
    "step_ways": "--networks resnet20 --images 8 --repeats 1 --no-compiled",
}

NO_PROGRAMS = {"fresh", "reference_loop", "report", "students"}


@pytest.fixture(autouse=True)
def _teachers_are_trained_once(own_home, shared_home, monkeypatch):
    monkeypatch.setenv("N2N_HOME", str(shared_home))


def test_every_benchmark_is_tested():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*TINY, *NO_PROGRAMS}


def few_of_cifar10():
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 40), ("test", 20)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 10
    (home() / "datasets").mkdir(exist_ok=True)
    np.savez(home() / "datasets" / "cifar10.npz", **arrays)


def few_samples(folder):
    folder.mkdir()
    for stage in ("removal", "shrink"):
        sample = made_sample(stage, 12)
        for held_out in (False, True):
            name = f"{stage}-{held_out}"
            replace(sample, name=name, held_out=held_out).save(folder / f"{name}.json")


@pytest.fixture(autouse=True)
def _little_is_trained(short_teachers, few_candidates, quick_workers, exports_run_here, monkeypatch):
    monkeypatch.setattr("agents.algorithms.known.DRAWS", 3)
    monkeypatch.setattr("agents.algorithms.known.ELSEWHERE", 10)
    monkeypatch.setattr("n2n_gym.training.recipes.FINAL_EPOCHS", (3, 3))


@pytest.mark.parametrize("name", TINY)
def test_benchmark(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "cifar10_teacher":
        few_of_cifar10()
    if name == "cifar10_headline":
        few = {"width": 0.1, "train_size": 50, "iterations": 1, "rollouts": 2, "workers": 0}
        compress(teacher="conv4", dataset="digits", finalists=0, speed=False, out="run", **few)
    if name in ("transfer", "large_choices", "large_trajectories"):
        few_samples(tmp_path / "samples")
    if name in ("large_choices", "large_trajectories"):
        sizes = ["--seeds", "2", "--budgets", "3", "--workers", "1", "--tracks", "large"]
        assert (
            main(
                [
                    "benchmark",
                    "--agents",
                    "random",
                    "evolution",
                    "--tasks",
                    "samples/shrink-False.json",
                    *sizes,
                    "--out",
                    "ran",
                ]
            )
            == 0
        )
        for agent in ("random", "evolution"):
            shutil.copy(f"ran/agents/{agent}.json", f"{agent}.large.json")
    out = tmp_path / "out.json"
    program = str(BENCHMARKS / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [program, *TINY[name].split(), "--out", str(out)])
    monkeypatch.syspath_prepend(BENCHMARKS)
    runpy.run_path(program, run_name="__main__")
    written = json.loads(out.read_text())
    assert written["rows"]
    assert written["machine"]["cores"]
    assert written["command"].startswith(f"python benchmarks/{name}.py")
    assert str(tmp_path) not in out.read_text()  # no machine's folders
    for row in written["rows"]:
        assert len(row) > 1
    if name == "cifar10_headline":
        picture = tmp_path / "out-accuracy.png"
        drawn = picture.read_bytes()
        picture.unlink()
        monkeypatch.setattr(sys, "argv", [program, "--out", str(out)])
        runpy.run_path(program, run_name="__main__")  # without a run: from the figures' file alone
        assert picture.read_bytes() == drawn
