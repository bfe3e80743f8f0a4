"""Searches that halve, and those of several starts: shares, totals, and the same end after a kill."""

import json
import shutil
from pathlib import Path

import pytest

from agents.report.page import _spent
from agents.report.run import read_run
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


@pytest.fixture
def took(monkeypatch):
    """What each training took in the end, by its student."""
    found = {}
    train_student = DistillationEvaluator.train_student

    def timed(self, student):
        evaluation = train_student(self, student)
        found[student.architecture.fingerprint[:16]] = evaluation
        return evaluation

    monkeypatch.setattr(DistillationEvaluator, "train_student", timed)
    return found


def test_totals_of_a_search_that_halves_add_up(settings, took):
    """Also where a student that was stopped is asked for again, and trained on."""
    compress(**settings | HALVING | {"iterations": 8, "agent": "random", "stages": "1"})
    counts, history = result_of(Path(settings["out"]))["search"], rows(settings["out"])
    went_on = {row["fingerprint"] for row in history if int(row["rung"])} & {
        row["fingerprint"] for row in history if not int(row["rung"]) and float(row["seconds"]) > 0
    }
    assert went_on
    assert counts["trained_on"] >= len(went_on)
    assert counts["trained"] == len(took)
    assert counts["seconds"] == pytest.approx(sum(each.seconds for each in took.values()), abs=1e-3)
    [spent] = _spent(read_run(Path(settings["out"])))  # the page tells the same
    assert (spent.trained, spent.seconds) == (counts["trained"], pytest.approx(counts["seconds"], abs=1e-3))
    parts = sum(counts[name] for name in ("trained", "trained_on", "from_store", "degenerate"))
    assert counts["evaluations"] == len(history) == parts
    assert counts["stopped"] == 0  # in so small a space all are trained whole in the end
    for row in history:
        assert bool(row["rung_accuracy"]) == (int(row["rung"]) > 0)


def test_who_was_stopped_for_good_is_counted(straight):
    history = [row for row in rows(straight) if float(row["seconds"]) > 0]
    whole = {row["fingerprint"] for row in history if row["rung"] == "0"}
    assert result_of(straight)["search"]["stopped"] == len({row["fingerprint"] for row in history} - whole) > 0


def test_stage_2_starts_from_several_students_each_with_its_share(settings):
    compress(**settings | {"iterations": 5}, starts=2)
    history = rows(settings["out"])
    first = [row for row in history if row["stage"] == "1" and not row["reason"]]
    second = [row for row in history if row["stage"] == "2"]
    starts = list(dict.fromkeys(row["start"] for row in second))
    assert [sum(row["start"] == start for row in second) for start in starts] == [3 * 2, 2 * 2]
    assert [int(row["iteration"]) for row in second] == [update for update in range(5) for _ in range(2)]
    rewards = {row["actions"]: float(row["reward"]) for row in first}
    assert rewards[starts[0]] == max(rewards.values())
    assert starts[1] in rewards
    assert (Path(settings["out"]) / "stage2-1.policy").exists()


def test_where_there_are_fewer_updates_than_starts_the_best_have_them(settings):
    compress(**settings | {"iterations": 1, "agent": "random"}, starts=3)
    history = rows(settings["out"])
    first = [row for row in history if row["stage"] == "1" and not row["reason"]]
    assert len({row["fingerprint"] for row in first}) > 1
    best = max(first, key=lambda row: float(row["reward"]))
    assert {row["start"] for row in history if row["stage"] == "2"} == {best["actions"]}
    assert [path.name for path in Path(settings["out"]).glob("stage2*.policy")] == ["stage2.policy"]


def test_budgets_of_trained_students_are_shared_too(settings):
    compress(**settings | {"iterations": 20, "students": 4, "agent": "random"}, starts=2)
    second = [row for row in rows(settings["out"]) if row["stage"] == "2" and not row["reason"]]
    halves = [{row["fingerprint"] for row in second if row["start"] == start} for start in {row["start"] for row in second}]
    assert len(halves) == 2
    assert all(halves)
