import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.commands.main import main
from agents.display import Display
from agents.search.compress import compress
from agents.search.finalists import TIE, by_final_limits, finalists, unsearched, winner
from agents.search.finals import Finals, _Contestant
from agents.search.history import Episode, furthest
from agents.search.options import Search
from agents.search.student import FinalTraining, load_student
from agents.search.trainings import FinalTrainings, Training
from envs_tests.agents.conftest import rows, timeless
from envs_tests.conftest import short_search
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.networks.described import read_description
from n2n_gym.stages import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.system import pool
from n2n_gym.system.files import locked
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training import logits
from n2n_gym.training.images import ImageData
from n2n_gym.training.logits import TeacherLogits
from n2n_gym.training.recipes import Recipe, final_recipe
from n2n_gym.training.seeds import training_seed


@pytest.fixture
def settings(settings):
    return settings | {"final_epochs": 2}


class Notes(Display):
    """Keeps the lines that a run says."""

    def __init__(self):
        self.said = []

    def say(self, line):
        self.said.append(line)


def episode(name, accuracy, parameters, reward, *, reason="", excess=0.0):
    return Episode(1, 0, 0, "0", name, accuracy, 0.5, parameters, 0, reward, reason, excess, 1.0, False)


def names(history, count):
    return [finalist.fingerprint for finalist in finalists(history, count)]


def test_finalists_are_the_most_rewarded_of_the_front():
    history = [
        episode("large", 0.97, 1000, 0.970),
        episode("beaten", 0.96, 1001, 0.975),  # larger and less accurate than the first
        episode("small", 0.95, 200, 0.980),
        episode("tiny", 0.80, 50, 0.800),
        episode("small", 0.95, 200, 0.980),
        episode("broken", 0.99, 10, -1.0, reason="diverged"),
    ]
    assert names(history, 2) == ["small", "large"]
    assert names(history, 9) == ["small", "large", "tiny"]


def test_a_training_refutes_what_halving_had_predicted():
    guessed = replace(episode("a", 0.95, 100, 0.97), rung=1)
    history = [guessed, episode("b", 0.93, 100, 0.96), replace(guessed, accuracy=0.9, reward=0.95, rung=2)]
    assert names(history[:2], 1) == ["a"]
    assert furthest(history)["a"].rung == 2
    assert names(history, 1) == ["b"]
    trained = episode("a", 0.80, 100, 0.90)
    again = replace(trained, iteration=1)
    history += [episode("a", 0.0, 100, -1.0, reason="timeout"), trained, guessed, again]
    assert names(history, 1) == ["b"]
    assert furthest(history)["a"] is trained


def test_runs_with_other_seeds_have_no_final_training_in_common(deeper_toy_teacher, trained_toys, undrawn, tmp_path):
    """Else an interval over runs is too narrow wherever they find equal networks."""
    found = [training_seed(run, number) for run in range(4) for number in range(100)]
    assert len(set(found)) == len(found)
    asked = short_search(trained_toys, tmp_path / "run", seed=2, iterations=1, stages="1", finalists=1, final_trainings=2)
    result = compress(**asked)
    assert [training["seed"] for training in result["student"]["trainings"]] == [training_seed(2, 0), training_seed(2, 1)]
    torch.Generator().manual_seed(training_seed(2**63 - 1, 999))


def test_the_smallest_of_equals_wins():
    assert winner([0.97, 0.98, 0.975], [10, 30, 20]) == 1
    assert winner([0.98 - TIE / 2, 0.98, 0.98 - 2 * TIE], [20, 30, 10]) == 0
    assert winner([0.98, 0.98 + TIE / 4], [20, 20]) == 1


def test_finalists_keep_the_limits_if_any_student_does():
    history = [episode("over", 0.99, 900, 0.99, excess=0.5), episode("under", 0.90, 500, 0.9)]
    assert names(history, 3) == ["under"]
    history[1] = episode("over too", 0.90, 500, 0.9, excess=0.1)
    assert names(history, 3) == ["over too"]
    assert names([episode("broken", 0.0, 1, -1.0, reason="diverged")], 3) == []


def test_students_of_stage_1_are_held_to_the_limits_of_the_end():
    search = Search(teacher="conv4", dataset="digits", constraint=("parameters<=30000", "accuracy>=0.5"))
    least, most = "1" * 16, "0" * 16  # every layer removed that can be, and none
    history = [
        replace(episode(name, 0.9, 0, 0.9, excess=excess), stage=stage, actions=actions)
        for name, actions, stage, excess in (("a", least, 1, 0.0), ("b", most, 1, 0.0), ("c", most, 1, 5.0), ("d", "", 2, 0.1))
    ]
    held = by_final_limits(history, search)
    assert held[0].excess == 0
    assert held[1].excess == pytest.approx(search.problem.architecture.parameters / 30_000 - 1)
    assert held[2].excess == 5.0
    assert held[3] == history[3]
    assert by_final_limits(history, replace(search, headroom=1)) == history


@pytest.mark.usefixtures("undrawn")
def test_the_best_finalist_by_validation_is_the_student_and_its_test_images_are_read_once(settings, untrained, monkeypatch):
    tested = []
    score = ImageData.test_score
    monkeypatch.setattr(ImageData, "test_score", lambda self, network: tested.append(network) or score(self, network))
    result = compress(**{**settings, "iterations": 8}, recipe="paper", finalists=4)  # with "fast" too few differ
    folder = Path(settings["out"])
    trained = [read_description(path)["facts"] for path in sorted((folder / "finalists").iterdir())]
    assert len(trained) > 2
    assert all(facts["test_accuracy"] is None for facts in trained)

    def reward(facts):
        compression = 1 - facts["parameters"] / result["teacher"]["parameters"]
        return compression * (2 - compression) * facts["val_accuracy"] / result["teacher"]["val_accuracy"]

    contest = [row["fingerprint"] for row in rows(folder)]
    assert {path.name.removesuffix("-s0") for path in (folder / "finalists").iterdir()} <= set(contest)
    assert result["student"]["reward"] >= max(result["student"]["search_reward"] - 1, 0)
    assert result["student"]["reward"] == pytest.approx(reward(result["student"]))
    assert result["student"]["reward"] >= sorted(map(reward, trained))[-2]  # stage 1's best may be there for the report only
    assert len(tested) == 3  # teacher, stage 1, student
    assert sum(p.numel() for p in load_student(folder).parameters()) == result["student"]["parameters"]


def test_one_finalist_is_the_most_rewarded(settings):
    result = compress(**settings, finalists=1)
    rewards = [float(row["reward"]) for row in rows(settings["out"])]
    assert result["student"]["search_reward"] == max(rewards)


def test_without_finalists_the_run_ends_with_the_search(settings):
    result = compress(**settings, finalists=0)
    folder = Path(settings["out"])
    best = max(rows(folder), key=lambda row: float(row["reward"]))
    assert result["student"]["search_reward"] == float(best["reward"])
    assert result["student"]["parameters"] == int(best["parameters"])
    assert result["student"]["test_accuracy"] is result["student"]["reward"] is None
    assert not (folder / "finalists").exists()
    assert not (folder / "student").exists()
    assert compress(**settings, finalists=0) == result
    with pytest.raises(InputError, match="finalists must be at least 0"):
        compress(**{**settings, "out": settings["out"] + "2"}, finalists=-1)


@pytest.fixture
def honest(settings):
    """A run that trains finalists three times, and two networks beside the student."""
    return {**settings, "iterations": 4, "finalists": 3, "final_trainings": 3, "beside": ("width-scaled", "resnet20")}


def test_the_winner_is_told_with_interval_luck_and_what_stands_beside_it(honest, capsys):
    words = [w for name, value in honest.items() for w in (f"--{name}", *([value] if type(value) is not tuple else value))]
    main(["compress", *map(str, words), "--no-speed"])
    printed = capsys.readouterr().out
    result = json.loads((Path(honest["out"]) / "result.json").read_text())
    student, beside = result["student"], result["beside"]
    assert [training["seed"] for training in student["trainings"]] == [0, 1, 2]
    for part in (student, *beside.values()):
        tested = [training["test_accuracy"] for training in part["trainings"]]
        validated = [training["val_accuracy"] for training in part["trainings"]]
        assert len(tested) == 3
        assert part["test_accuracies"]["mean"] == pytest.approx(np.mean(tested))
        assert part["test_accuracy"] == tested[np.argmax(validated)]
        assert part["val_accuracy"] == max(validated)
    assert student["luck"] == pytest.approx(student["search_reward"] - student["reward"])
    teacher = result["teacher"]
    compression = 1 - student["parameters"] / teacher["parameters"]
    relative = student["val_accuracies"]["mean"] / teacher["val_accuracy"]
    assert student["reward"] == pytest.approx(compression * (2 - compression) * relative)
    assert student["parameters"] <= beside["width-scaled"]["parameters"] < teacher["parameters"]
    ahead = beside["width-scaled"]["student_ahead_by"]
    differences = [
        a["test_accuracy"] - b["test_accuracy"]
        for a, b in zip(*(part["trainings"] for part in (student, beside["width-scaled"])), strict=True)
    ]
    assert ahead["values"] == differences
    assert ahead["low"] <= ahead["mean"] <= ahead["high"]
    beaten = "beats" if ahead["low"] > 0 else "is worse than" if ahead["high"] < 0 else "is not known to beat"
    assert result["verdict"].startswith(f"the student {beaten} width-scaled (")
    assert " ".join(result["verdict"].split()) in " ".join(printed.split())
    assert printed.index("the student ") < printed.index("┏")  # before the tables
    for name in beside:
        network = load_student(Path(honest["out"]) / "beside" / name)
        assert sum(p.numel() for p in network.parameters()) == beside[name]["parameters"]


ACCURACIES = {"small": 0.92, "large": 0.94}


@pytest.fixture
def contest(toy_problem, tmp_path, monkeypatch):
    """Finals whose trainings end as they are told to, and two contestants: a small one, and a larger one that is better."""

    def trained(self, contestants):
        for each in contestants:
            accuracy = ACCURACIES[each.name]
            each.trainings.append({"val_accuracy": accuracy, "val_class_accuracy": [accuracy], "test_accuracy": accuracy})

    monkeypatch.setattr(Finals, "_train", trained)
    limits = ("accuracy>=0.93",)
    search = Search(teacher=toy_problem.teacher, dataset=toy_problem.dataset, constraint=limits, final_trainings=2)
    finals = Finals(search, tmp_path, [], SimpleNamespace(validation_accuracy=0.95), Display())
    stage, found = ShrinkStage(Student(toy_problem.architecture)), {}
    for name, factor in (("small", 0), ("large", 8)):
        found[name] = _Contestant(stage.student([factor] * stage.decisions).architecture)
        found[name].name = name
    return finals, found


def test_who_breaks_a_limit_after_its_final_trainings_does_not_win(contest):
    finals, found = contest
    rewards = [
        finals._reward(
            Evaluation.of(
                each.architecture, finals._search.problem.architecture, accuracy=ACCURACIES[name], teacher_accuracy=0.95
            )
        )
        for name, each in found.items()
    ]
    assert rewards[0] > rewards[1]
    assert finals._raced(list(found.values())) is found["large"]


def test_luck_is_what_the_search_had_promised_too_much(contest, monkeypatch):
    finals, found = contest
    finals._train([found["small"]] * 2)
    facts = {**found["small"].trainings[0], "epochs": 1, "trainings": found["small"].trainings}
    (finals._folder / "student").mkdir()
    monkeypatch.setattr("agents.search.finals.load_checkpoint", lambda _: SimpleNamespace(facts=facts))
    monkeypatch.setattr(Finals, "_searched", lambda *_: {"search_reward": 2.0})
    report = finals._report("student", found["small"])
    assert 0 < report["reward"] < 1
    assert report["luck"] == pytest.approx(2.0 - report["reward"])


@pytest.mark.usefixtures("undrawn")
def test_a_race_that_was_killed_ends_with_the_same_winner(honest, tmp_path, monkeypatch):
    straight = compress(**honest)
    steps, begun = FinalTraining.steps, []

    def dies(self, *args):
        begun.append(args)
        if len(begun) in (2, 5, 7):
            raise KeyboardInterrupt
        yield from steps(self, *args)

    monkeypatch.setattr(FinalTraining, "steps", dies)
    again = {**honest, "out": str(tmp_path / "killed")}
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            compress(**again)
    assert timeless(compress(**again)) == timeless(straight)


def test_an_architecture_of_ones_own_may_stand_beside(settings, tmp_path):
    mine = Search(teacher="conv4", dataset="digits").problem.architecture
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(replace(mine, input_shape=(1, 8, 8), classes=3).to_json()))
    with pytest.raises(InputError, match="mine.json"):
        compress(**{**settings, "beside": (str(file),)})
    own = Search(**{**settings, "teacher": settings["teacher"]}).problem.architecture
    file.write_text(json.dumps(own.to_json()))
    result = compress(**{**settings, "beside": (str(file),)})
    assert result["beside"]["mine"]["parameters"] == own.parameters
    assert (Path(settings["out"]) / "beside" / "mine" / "model.json").exists()


def test_what_may_stand_beside(settings, tmp_path):
    with pytest.raises(InputError, match="unknown network beside the student 'width'. Did you mean 'width-scaled'"):
        compress(**{**settings, "beside": ("width",)})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "resnet20.json").write_text(Path(settings["teacher"]).read_text())
    with pytest.raises(InputError, match="two networks beside the student would be called resnet20"):
        compress(**{**settings, "beside": ("resnet20", str(tmp_path / "mine" / "resnet20.json"))})
    with pytest.raises(InputError, match="final-trainings must be at least 1"):
        compress(**{**settings, "final_trainings": 0})


def test_another_agent_searches_with_as_many_students(settings):
    budget = {**settings, "iterations": 40, "students": 2, "final_trainings": 2, "baseline": "random"}
    result = compress(**budget)
    folder = Path(settings["out"])
    for place in (folder, folder / "baseline"):
        found = [row for row in rows(place) if row["stage"] == "1" and not row["reason"]]
        assert 2 <= len({row["fingerprint"] for row in found}) <= 3
    baseline = result["baseline"]
    assert baseline["agent"] == "random"
    alone = json.loads((folder / "baseline" / "result.json").read_text())
    assert alone["configuration"]["agent"] == "random"
    assert baseline["trainings"] == alone["student"]["trainings"]
    pairs = zip(result["student"]["trainings"], baseline["trainings"], strict=True)
    assert baseline["student_ahead_by"]["values"] == [a["test_accuracy"] - b["test_accuracy"] for a, b in pairs]
    assert compress(**budget) == result
    with pytest.raises(InputError, match="say how many by --students"):
        compress(**{**budget, "students": None, "out": settings["out"] + "2"})
    with pytest.raises(InputError, match=r"can train more \(1 x 2 are tried at most\)"):
        compress(**{**budget, "iterations": 1, "out": settings["out"] + "2"})
    with pytest.raises(InputError, match="unknown agent 'randm'. Did you mean 'random'"):
        compress(**{**budget, "baseline": "randm", "out": settings["out"] + "2"})


def test_a_baseline_that_finds_nothing_takes_no_result_away(settings, monkeypatch):
    def fails(*_args, **_settings):
        raise InputError("every student that was tried was degenerate")

    monkeypatch.setattr("agents.search.compress.compress", fails)
    told = Notes()
    asked = {**settings, "students": 2, "baseline": "random", "display": told}
    result = compress(**asked, speed=False)
    assert result["student"]["test_accuracy"] > 0
    assert result["baseline_failed"] == "random: every student that was tried was degenerate"
    assert "baseline random: every student that was tried was degenerate" in told.said
    assert compress(**asked, speed=True) == result
    assert f"n2n compare {result['teacher']['name']} {settings['out']}" in told.said[-1]


@pytest.mark.usefixtures("undrawn")
def test_final_trainings_side_by_side_end_as_one_after_the_other(settings, tmp_path):
    """In processes of their own, with one thread each: neither their number nor who shares logits changes a result."""
    asked = {**settings, "finalists": 2, "final_trainings": 2, "final_epochs": 3, "beside": ("width-scaled",)}
    alone = compress(**asked)
    together = shutil.copytree(settings["out"], tmp_path / "together")
    (together / "result.json").unlink()
    for name in ("finalists", "stage1", "student", "beside"):
        shutil.rmtree(together / name)
    assert timeless(compress(resume=str(together), workers=2)) == timeless(alone)
    assert [training["val_accuracy"] for training in alone["student"]["trainings"]]
    assert alone["student"]["epochs"] == 3
    assert not list(tmp_path.glob("*/.logits"))


@pytest.mark.usefixtures("undrawn")
def test_no_test_image_is_read_before_the_last_training_has_ended(honest, monkeypatch):
    events = []
    score, steps = ImageData.test_score, FinalTraining.steps

    def told(self, *args):
        yield from steps(self, *args)
        events.append("trained")

    monkeypatch.setattr(ImageData, "test_score", lambda self, network: events.append("tested") or score(self, network))
    monkeypatch.setattr(FinalTraining, "steps", told)
    compress(**honest)
    assert events.count("trained") > 6
    assert "trained" not in events[events.index("tested") :]


def test_what_needs_no_search_races_with_what_was_found(settings, monkeypatch):
    """A search whose students are all worthless ends with its teacher, all filters shrunk alike, and says so."""
    problem = {"teacher": "conv4", "dataset": "digits", "width": 0.2, "train_size": 50}
    asked = {**settings, **problem, "agent": "reinforce-imitating", "starts": 1}
    asked |= {"iterations": 2, "finalists": 2, "final_trainings": 2, "beside": ("width-scaled",)}
    steps = FinalTraining.steps

    def spoiled(self, asked, on_epoch):
        yield from steps(self, asked, on_epoch)
        if asked.architecture.fingerprint[:16] in {row["fingerprint"] for row in rows(settings["out"])}:
            description = json.loads((asked.folder / "model.json").read_text())
            description["facts"]["val_accuracy"] = 0.01
            del description["checksum"]
            (asked.folder / "model.json").write_text(json.dumps(description))

    monkeypatch.setattr(FinalTraining, "steps", spoiled)
    result = compress(**asked)
    assert result["student"]["unsearched"]
    assert result["student"]["luck"] is None
    assert result["verdict"].startswith("the search found nothing better than its teacher with all filters shrunk alike")
    same = result["beside"]["width-scaled"]["parameters"] == result["student"]["parameters"]
    assert ("width-scaled is the same network" in result["verdict"]) is same
    student = Student.load(Path(settings["out"]) / "student.json", Search(**problem).problem.architecture)
    assert student.removals is None
    plain = compress(**{**asked, "unsearched": False, "out": settings["out"] + "2"})
    assert not plain["student"]["unsearched"]


@pytest.mark.parametrize("limit", [60_000, 20_000, 8_000])
def test_it_is_shrunk_as_little_as_the_limits_allow(limit):
    search = Search(teacher="conv4", dataset="digits", constraint=(f"parameters<={limit}",))
    most = search.problem.architecture.parameters
    student = unsearched(search, most)
    assert student.architecture.parameters <= limit
    factor = min(student.shrinkages)
    assert set(student.shrinkages) == {factor, 9}  # kernels stay, filters shrink alike
    wider = student.shrunk([min(action + 1, 9) for action in student.shrinkages])
    assert wider.architecture.parameters > limit
    assert unsearched(search, student.architecture.parameters - 1).architecture.parameters < student.architecture.parameters
    assert unsearched(replace(search, stages="1"), most) is None
    assert unsearched(search, 10) is None


@pytest.mark.parametrize("stages", ["1", "2", "1+2"])
def test_the_student_is_trained_as_often_as_was_asked(settings, stages):
    result = compress(**{**settings, "stages": stages, "finalists": 1, "final_trainings": 2, "beside": ("width-scaled",)})
    assert len(result["student"]["trainings"]) == len(result["beside"]["width-scaled"]["trainings"]) == 2


def test_a_final_training_that_dies_or_diverges_says_what_to_do(tmp_path, toy_problem, monkeypatch, quick_workers):
    teacher = ready_teacher(toy_problem, device=torch.device("cpu"))
    wild = replace(final_recipe(toy_problem.data), epochs=2, learning_rate=1e30)
    asked = [Training(toy_problem.architecture, tmp_path / str(seed), seed) for seed in range(2)]

    def trainings(recipe, problem=toy_problem):
        return FinalTrainings(problem, teacher, recipe, device="cpu", processes=2, logits=tmp_path / "logits")

    with pytest.raises(InputError, match="training diverged"):
        trainings(wild).run(asked, lambda _: None)
    monkeypatch.setattr(pool, "RETRIES", 0)  # how often it is tried again, test_pool.py asks
    with pytest.raises(InputError, match="with fewer --workers"):
        trainings(DeadlyRecipe(name="t", epochs=1, batch_size=10, soft=1.0)).run(asked, lambda _: None)
    seen = []
    trainings(replace(wild, learning_rate=1e-3)).run(asked, seen.append)
    assert seen == [1, 2, 3, 4]


class DeadlyRecipe(Recipe):
    """Ends the process that trains by it."""

    def to_json(self):
        os._exit(1)


def test_processes_read_each_others_logits(toy_problem, tmp_path, monkeypatch):
    data = ImageData.of(toy_problem, torch.device("cpu"))
    teacher = ready_teacher(toy_problem, device=torch.device("cpu")).checkpoint.network
    first = TeacherLogits(teacher, data, folder=tmp_path).of(3, augment=True)
    monkeypatch.setattr(ImageData, "batch", lambda *_: pytest.fail("they were computed again"))
    assert torch.equal(TeacherLogits(teacher, data, folder=tmp_path).of(3, augment=True), first)


def test_processes_that_need_the_same_logits_compute_parts_of_them(toy_problem, tmp_path, monkeypatch):
    """What another process is computing is waited for when nothing else is left to do."""
    monkeypatch.setattr(logits, "PART", 1)
    monkeypatch.setattr(ImageData, "evaluation_batch", 16)
    data = ImageData.of(toy_problem, torch.device("cpu"))
    teacher = ready_teacher(toy_problem, device=torch.device("cpu")).checkpoint.network
    expected = TeacherLogits(teacher, data).of(3, augment=False)
    parts = -(-len(data.train_images) // 16)
    assert parts > 2
    shared = TeacherLogits(teacher, data, folder=tmp_path)
    with ThreadPoolExecutor(1) as other:
        with locked(tmp_path / "plain.1.lock"):
            found = other.submit(shared.of, 3, augment=False)
            while len(list(tmp_path.glob("plain.*.npy"))) < parts - 1:
                assert not found.done()
                time.sleep(0.01)
            assert not (tmp_path / "plain.1.npy").exists()
        assert torch.equal(found.result(60), expected)


def test_logits_that_cannot_be_shared_are_computed(toy_problem, tmp_path, caplog):
    data = ImageData.of(toy_problem, torch.device("cpu"))
    teacher = ready_teacher(toy_problem, device=torch.device("cpu")).checkpoint.network
    (tmp_path / "file").touch()
    found = TeacherLogits(teacher, data, folder=tmp_path / "file").of(0, augment=False)
    assert torch.equal(found, TeacherLogits(teacher, data).of(0, augment=False))
    assert "cannot be written" in caplog.text
