"""Searches that halve, and those of several starts: shares, totals, and the same end after a kill."""

import json
import shutil
from pathlib import Path

import pytest

from agents.search.compress import compress
from envs_tests.agents.conftest import rows, timeless
from envs_tests.conftest import made_once, short_search
from n2n_gym.evaluators.distillation import DistillationEvaluator


class Killed(BaseException):
    """Stops the program where a kill would, so that we can choose the place."""


HALVING = {"evaluator": "halving", "recipe": "paper", "rollouts": 4, "iterations": 2, "starts": 2}


@pytest.fixture
def settings(deeper_toy_teacher, trained_toys, undrawn, tmp_path):
    return short_search(trained_toys, tmp_path / "run")


@pytest.fixture(scope="session")
def straight(tmp_path_factory, trained_toys):
    """The folder of a run that halves and was not killed; not to be changed."""

    def make(folder):
        shutil.copytree(trained_toys / "teachers", folder / "home" / "teachers")
        compress(**short_search(trained_toys, folder / "run", **HALVING))

    return made_once(tmp_path_factory, "halving", make) / "run"


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("at", [2, 5, 9])
def test_killed_and_resumed_it_ends_as_one_that_was_not(settings, straight, monkeypatch, at):
    """`at`: how many trainings, of a rung each, are begun before the end."""
    begun = []
    train_student = DistillationEvaluator.train_student

    def counting(self, student):
        begun.append(student)
        if len(begun) == at:
            raise Killed
        return train_student(self, student)

    monkeypatch.setattr(DistillationEvaluator, "train_student", counting)
    with pytest.raises(Killed):
        compress(**settings | HALVING)
    resumed = compress(resume=settings["out"], workers=0)
    assert {row["rung"] for row in rows(straight)} > {"0"}, "nobody was stopped"
    for here, there in zip(rows(settings["out"]), rows(straight), strict=True):
        assert {**here, "seconds": ""} == {**there, "seconds": ""}
    assert timeless(resumed) == timeless(result_of(straight))


def test_totals_of_a_search_that_halves_add_up(straight):
    counts = result_of(straight)["search"]
    history = rows(straight)
    ours = [row for row in history if row["from_store"] == "False" and float(row["seconds"]) > 0]
    assert counts["trained"] == len(ours)
    assert counts["stopped"] == sum(int(row["rung"]) > 0 for row in ours) > 0
    assert counts["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in ours), abs=1e-3)
    assert counts["evaluations"] == len(history) == counts["trained"] + counts["from_store"] + counts["degenerate"]
    for row in history:
        assert bool(row["rung_accuracy"]) == (int(row["rung"]) > 0)


def test_stage_2_starts_from_several_students_each_with_its_share(settings):
    compress(**settings | {"iterations": 5}, starts=2)
    history = rows(settings["out"])
    first = [row for row in history if row["stage"] == "1" and not row["reason"]]
    second = [row for row in history if row["stage"] == "2"]
    starts = list(dict.fromkeys(row["start"] for row in second))
    assert [sum(row["start"] == start for row in second) for start in starts] == [2 * 2, 3 * 2]
    assert [int(row["iteration"]) for row in second] == [update for update in range(5) for _ in range(2)]
    rewards = {row["actions"]: float(row["reward"]) for row in first}
    assert rewards[starts[0]] == max(rewards.values())
    assert starts[1] in rewards
    assert (Path(settings["out"]) / "stage2-1.policy").exists()


def test_budgets_of_trained_students_are_shared_too(settings):
    compress(**settings | {"iterations": 20, "students": 4, "agent": "random"}, starts=2)
    second = [row for row in rows(settings["out"]) if row["stage"] == "2" and not row["reason"]]
    halves = [{row["fingerprint"] for row in second if row["start"] == start} for start in {row["start"] for row in second}]
    assert len(halves) == 2
    assert all(halves)
