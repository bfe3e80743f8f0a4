"""Every table and figure at scale `tiny`: digits, narrow networks, two updates of two students."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.display import Display
from agents.interval import Interval
from agents.pictures import save_figure
from agents.reproduce import TARGETS, baselines, figures, lab, reproduce, tables
from agents.reproduce.baselines import _reward, best_pruned, distilled
from agents.reproduce.control import LAST, constant_rate, drawn_at, learned_rate
from agents.reproduce.lab import PAPER, SCALES, Lab, Run
from agents.reproduce.paper import ALSO_BY_HAND, TABLE_1, TABLE_2, TABLE_3, TABLE_5
from agents.reproduce.pruning import Limits
from agents.search import compress, report
from agents.search.history import Episode
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.models.checkpoint import load_checkpoint
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student
from n2n_gym.training.images import ImageData


@pytest.fixture(autouse=True)
def _teachers_are_trained_once(own_home, shared_home, monkeypatch):
    monkeypatch.setenv("N2N_HOME", str(shared_home))


@pytest.fixture(autouse=True)
def _trainings_are_short(short_trainings, few_candidates, monkeypatch):
    """What they lead to is compared with what is read again, not with what convergence would give."""
    monkeypatch.setitem(baselines.FINE_TUNING, "epochs", 3)


@pytest.fixture(autouse=True)
def _runs_draw_nothing(monkeypatch):
    """A run's own pictures are another file's tests; the documents' are drawn."""
    for name in ("draw_curves", "draw_architectures"):
        monkeypatch.setattr(compress, name, lambda *_: None)


@pytest.fixture(autouse=True)
def _equal_runs_are_copies(monkeypatch):
    """All data sets are digits here: what differs in nothing but the names of runs is run once."""
    known = {}

    def run_once(search, **said):
        asked, folder = repr(replace(search, out=None)), Path(search.out)
        if not folder.exists() and asked in known:
            shutil.copytree(known[asked], folder)
        result = compress.compress(search, **said)
        known.setdefault(asked, folder)
        return result

    monkeypatch.setattr(lab, "compress", run_once)


@pytest.fixture(autouse=True)
def _the_first_transfer_is_left_out(monkeypatch):
    """`examples/transfer_resnet18_to_34.py` is that, and has its own test."""
    others = dict(list(TABLE_5.items())[1:])
    for module in (figures, tables):
        monkeypatch.setattr(module, "TABLE_5", others)


class KilledError(BaseException):
    """Stops the program where a kill would."""


PICTURES = {
    **{f"figure{n}": [f"figure{n}.png"] for n in (6, 7, 8, 9, 10, 13)},
    "figure3": ["figure3-conv4.png", "figure3-vgg13.png"],
    "figure4": ["figure4-vgg19.png", "figure4-resnet18.png", "figure4-resnet34.png"],
    "figure5": ["figure5-resnet18.png", "figure5-resnet34.png"],
    "figure11": ["figure11-resnet18.png"],
    "figure12": ["figure12-resnet18.png"],
}
ROWS = {
    "table1": sum(1 + 2 * (len(row.reported) - 1) for row in TABLE_1),
    "table2": 4 * len(TABLE_2),
    "table3": len(TABLE_3) + 2 * (3 + len(ALSO_BY_HAND)),
    "table4": 6,
    "table5": 3 * (len(TABLE_5) - 1),
    "figure6": 5,
    "figure7": 4,
    "figure8": 4,
    "figure9": 4,
    "figure10": 2,
    "figure13": 2,
}
NETWORKS = {"figure3": 2, "figure4": 3, "figure5": 2, "figure11": 1, "figure12": 1}
"""Of figures with a row for each stage of a network's search."""


@pytest.fixture
def drawn(monkeypatch):
    """The words of each picture by its file's name."""
    words = {}

    def keep(figure, path):
        titles = [axes.get_title(loc=place) for axes in figure.axes for place in ("left", "center")]
        words[path.name] = " ".join([*titles, figure.get_suptitle()])
        save_figure(figure, path)

    for module in (figures, report):
        monkeypatch.setattr(module, "save_figure", keep)
    return words


SHARING = (
    ("table1", "table2", "table3", "figure3", "figure4", "figure5", "figure11", "figure12"),
    ("table4",),
    ("table5", "figure10"),
    ("figure6", "figure8", "figure9"),
    ("figure7",),
    ("figure13",),
)
"""Targets that share runs: one folder for those of a row, so that none is run twice."""


def test_every_target_is_among_them():
    assert sorted(target for row in SHARING for target in row) == sorted(TARGETS)


@pytest.mark.parametrize("targets", SHARING, ids=lambda row: row[0])
def test_all_end_with_their_files_complete(targets, tmp_path, drawn, monkeypatch):
    documents = {target: _check(target, tmp_path, drawn) for target in reversed(targets)}
    parts = [(tmp_path / f"{target}.md").read_text() for target in targets]  # in the paper's order
    assert (tmp_path / "results.md").read_text() == "\n".join(parts)
    monkeypatch.setattr(DistillationEvaluator, "train_student", None)  # a second call runs nothing again
    assert _reproduced(targets[0], tmp_path).rows == documents[targets[0]].rows


def _reproduced(target, folder):
    return reproduce(target, scale="tiny", out=str(folder), device="cpu", workers=0)


def _check(target, tmp_path, drawn):
    document = _reproduced(target, tmp_path)
    written = json.loads((tmp_path / f"{target}.json").read_text())
    assert written["command"] == f"n2n reproduce {target} --scale tiny"
    assert {"title", "scale", "machine", "versions"} <= set(written)
    text = (tmp_path / f"{target}.md").read_text()
    assert text.startswith(f"# {document.title}")
    if target in NETWORKS:
        assert len({row[0] for row in document.rows}) == NETWORKS[target]
    else:
        assert len(document.rows) == ROWS[target]
    assert "paper" in text
    for row in document.rows:
        assert len(row) == len(document.columns)
        assert "| " + " | ".join(row) + " |" in text
    if target != "figure13":  # it shows formulas
        said = re.compile(r"digits \(60 images, not (mnist|cifar10|svhn|cifar100|caltech256)\)")
        for row in document.rows:
            assert said.search(" ".join(row)), row
        assert all(map(said.search, drawn.values())), drawn
        assert said.search(document.title) or target in ("table1", "table2", "table3", "table4"), document.title
    for picture in PICTURES.get(target, []):
        assert (tmp_path / picture).stat().st_size > 5_000
        assert f"]({picture})" in text
    if target == "figure6":  # architecture compression learns from nobody else's students
        own = tmp_path / "runs" / "figure6-architecture-compression-s0"
        assert (own / "evaluations.sqlite").exists()
        assert not (tmp_path / "runs" / "figure6-random-s0" / "evaluations.sqlite").exists()
    return document


def test_a_target_that_was_killed_goes_on_to_the_same_end(tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "tiny", replace(SCALES["tiny"], seeds=1))
    straight = _reproduced("figure8", tmp_path / "straight")
    train_student, trained = DistillationEvaluator.train_student, []

    def dies(self, student):
        trained.append(student)
        if len(trained) == 6:
            raise KilledError
        return train_student(self, student)

    monkeypatch.setattr(DistillationEvaluator, "train_student", dies)
    with pytest.raises(KilledError):
        _reproduced("figure8", tmp_path / "killed")
    assert not (tmp_path / "killed" / "figure8.md").exists()
    resumed = _reproduced("figure8", tmp_path / "killed")
    assert resumed.rows == straight.rows
    again = [student.lineage for student in trained]
    assert len(set(again[:6])) == 6  # distinct students were trained
    assert len(set(again)) >= len(again) - 1  # all but the one it died in are trained once


def test_baselines_report_what_is_read_again(tmp_path):
    with Display() as display:
        lab = Lab("tiny", tmp_path, device="cpu", workers=0, display=display)
        problem = Problem(**lab.problem("resnet18", "cifar10"))
        for facts, folder in (
            (distilled(lab, problem, "fitnet4"), tmp_path / "hand-designed"),
            (best_pruned(lab, problem, Limits(0.0, problem.architecture.parameters // 2)), tmp_path / "pruned"),
        ):
            [tested] = folder.glob("*/tested")
            network = load_checkpoint(tested).network
            assert facts["parameters"] == sum(parameter.numel() for parameter in network.parameters())
            data = ImageData.of(problem, torch.device("cpu"))
            assert facts["test_accuracy"] == data.test_score(network).accuracy
            assert facts["val_accuracy"] == data.validation_score(network).accuracy


def test_the_best_pruned_network_is_the_best_by_reward():
    problem = Problem("conv4", "digits")
    size = problem.architecture.parameters
    facts = [
        {"parameters": parameters, "val_accuracy": accuracy, "macs": 1}
        for parameters, accuracy in ((size, 0.99), (size // 2, 0.98), (size // 8, 0.97), (size // 8, 0.5))
    ]
    rewards = [_reward(each, problem) for each in facts]
    assert rewards[0] == 0  # the teacher itself
    assert rewards.index(max(rewards)) == 2


def test_means_of_a_run_leave_degenerate_students_out_of_all_but_the_reward(tmp_path):
    facts = {"rollout": 0, "actions": "", "fingerprint": "", "parameters": 0, "macs": 0, "excess": 0.0, "seconds": 0.0}
    good = Episode(stage=1, iteration=0, accuracy=0.5, compression=0.75, reward=0.5, reason="", from_store=False, **facts)
    bad = replace(good, accuracy=0.0, compression=1.0, reward=-1.0, reason="degenerate")
    later = replace(good, stage=2, accuracy=0.9)
    run = Run(tmp_path, {}, [good, bad, later])
    assert (run.mean("reward"), run.mean("compression"), run.mean("accuracy")) == (-0.25, 0.75, 0.5)


def test_what_data_are_called():
    with Display() as display:
        tiny, cpu, paper = (Lab(scale, Path("nowhere"), display=display) for scale in ("tiny", "cpu", "paper"))
    assert tiny.data("mnist") == "digits (60 images, not mnist)"
    assert cpu.data("mnist") == "mnist (1,000 images)"
    assert cpu.data("cifar10", cpu.scale.transfer_train_size) == "cifar10 (500 images)"
    assert paper.data("mnist") == "mnist"
    assert (paper.scale.methods, paper.search.starts) == ((PAPER,), 1)


def history(actions):
    """Episodes of stage 1, two an update."""
    facts = {"fingerprint": "0" * 16, "parameters": 1, "macs": 1, "excess": 0.0, "seconds": 0.0, "from_store": False}
    facts |= {"accuracy": 0.5, "compression": 0.5, "reward": 0.5, "reason": ""}
    return [Episode(stage=1, iteration=i // 2, rollout=i % 2, actions=each, **facts) for i, each in enumerate(actions)]


def test_the_constant_rate_is_what_was_learned_at_the_end(tmp_path):
    stage = RemovalStage(Student(Problem("conv4", "digits", 0.25).architecture))
    free = stage.masks[:, 1]
    all_gone = "1" * stage.decisions  # whoever ignores masks: protected layers do not count
    early = ["0" * stage.decisions] * 4
    assert learned_rate(Run(tmp_path, {}, history(early + [all_gone] * 2 * LAST)), stage) == 1.0
    half = "".join("1" if may and free[:i].sum() < 3 else "0" for i, may in enumerate(free))
    assert learned_rate(Run(tmp_path, {}, history(early + [half] * 2 * LAST)), stage) == pytest.approx(3 / free.sum())


def test_episodes_at_a_constant_rate():
    stage = RemovalStage(Student(Problem("conv4", "digits", 0.25).architecture))
    free = stage.masks[:, 1]
    rng = np.random.default_rng(0)
    drawn = np.array([drawn_at(0.4, stage, rng) for _ in range(200)])
    assert not drawn[:, ~free].any()
    assert drawn[:, free].mean() == pytest.approx(0.4, abs=0.05)
    assert drawn_at(0.0, stage, rng) == (0,) * stage.decisions or not stage.feasible((0,) * stage.decisions)
    assert all(stage.feasible(actions) for actions in drawn[:20].tolist())
    assert stage.feasible(drawn_at(1.0, stage, rng))


def test_the_control_is_judged_as_the_policies_are(tmp_path):
    with Display() as display:
        lab = Lab("tiny", tmp_path, device="cpu", workers=0, display=display)
        common = {"stages": "1", "finalists": 0, "seed": 1}
        source = lab.compress("source", "resnet18", "cifar10", **common)
        run = constant_rate(lab, source, ("resnet18", "resnet34"), "cifar10", updates=2, **common)
        known = lab.compress("scratch", "resnet34", "cifar10", **common)
    assert len(run.history) == 2 * lab.search.rollouts
    assert len(run.curve("reward")) == 2
    assert 0 <= run.result["rate"] <= 1
    for episode in run.history:
        if not episode.reason:
            size = 1 - episode.parameters / Problem(**lab.problem("resnet34", "cifar10")).architecture.parameters
            assert episode.compression == pytest.approx(size)
            teacher = known.result["teacher"]["val_accuracy"]
            assert episode.reward == pytest.approx(size * (2 - size) * episode.accuracy / teacher)
    again = constant_rate(lab, source, ("resnet18", "resnet34"), "cifar10", updates=2, **common)
    assert [e.fingerprint for e in again.history] == [e.fingerprint for e in run.history]


def test_intervals():
    interval = Interval.of([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high - 2.0 == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    many = Interval.of([-1.0, 1.0] * 50)
    assert many.high == pytest.approx(1.984 * np.std(many.values, ddof=1) / 10, abs=1e-3)
    assert str(Interval.of([0.5])) == "0.500"
    three = Interval.of([1.0, 2.0, 3.0], together=3)
    assert three.mean == 2.0
    assert three.high - 2.0 == pytest.approx(7.649 / math.sqrt(3), abs=1e-3)  # t of 2 degrees of freedom at 1 - .025 / 3
    assert Interval.of([0.5]).to_json()["low"] is None
