"""Whole runs on the toy problem with real training: what they leave, and that nothing is lost when they are killed."""

import csv
import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents.algorithms.reinforce import Reinforce
from agents.commands.main import main
from agents.display import Display
from agents.search.compress import compress
from agents.search.options import Search
from agents.search.run_folder import RunFolder, RunStart
from envs_tests.agents.conftest import rows, timeless
from envs_tests.conftest import DEEPER_TOY, made_once, short_search, toy_arrays
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluation import TIMEOUT, Evaluation
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.student import Student
from n2n_gym.system.files import write_json


@pytest.fixture
def settings(deeper_toy_teacher, trained_toys, tmp_path):
    return short_search(trained_toys, tmp_path / "run")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, trained_toys):
    """The folder of a run that nothing befell; not to be changed."""

    def make(folder):
        shutil.copytree(trained_toys / "teachers", folder / "home" / "teachers")
        compress(**short_search(trained_toys, folder / "run"), command="the first")

    return made_once(tmp_path_factory, "undisturbed", make) / "run"


@pytest.fixture
def straight(undisturbed):
    """How it ended."""
    return json.loads((undisturbed / "result.json").read_text())


@pytest.fixture
def ended(settings, undisturbed):
    """The folder of a run that has ended as it should, for a test of its own."""
    return shutil.copytree(undisturbed, Path(settings["out"]))


BARE = {
    "nothing to remove": [conv(20)],
    "none smaller": [conv(10, stride=8), relu()],  # without the convolution the linear layer reads 64 pixels, not 10 channels
}
"""What comes before the last layer of teachers for which stage 1 finds no student."""


@pytest.fixture(scope="session")
def bare(request, tmp_path_factory):
    """A folder with a run whose teacher is one of those; not to be changed."""

    def make(folder):
        teacher = Architecture.chain([*BARE[request.param], linear(3)], (1, 8, 8), 3)
        write_json(folder / "bare.json", teacher.to_json())
        np.savez(folder / "toy.npz", **toy_arrays())
        compress(**short_search(folder / "home", folder / "run", teacher=str(folder / "bare.json")))

    return made_once(tmp_path_factory, request.param.replace(" ", "-"), make)


@pytest.fixture
def bare_settings(bare, own_home, tmp_path):
    shutil.copytree(bare / "home" / "teachers", own_home / "teachers")
    return short_search(bare / "home", tmp_path / "run", teacher=str(bare / "bare.json"))


def test_a_run_leaves_everything_it_should(settings):
    result = compress(**settings | {"speed": True})
    folder = Path(settings["out"])
    assert json.loads((folder / "result.json").read_text()) == result
    assert set(result["teacher"]) >= {"name", "dataset", "parameters", "macs", "val_accuracy", "test_accuracy"}
    for part in ("stage1", "student"):
        assert set(result[part]) >= {"parameters", "macs", "val_accuracy", "test_accuracy", "ratio", "reward"}
    assert set(result["search"]) >= {"evaluations", "trained", "from_store", "degenerate", "seconds"}
    assert {"seed", "versions", "command"} <= set(result)
    for name in ("stage1.policy", "stage2.policy", "stage1.json", "stage2.json", "curves.png", "architectures.png"):
        assert (folder / name).stat().st_size > 0
    assert [path.name for path in folder.rglob(".*")] == [".lock"]

    history = rows(folder)
    assert [(row["stage"], row["iteration"], row["rollout"]) for row in history] == [
        (str(stage), str(iteration), str(rollout)) for stage in (1, 2) for iteration in range(3) for rollout in range(2)
    ]
    counts = result["search"]
    assert counts["evaluations"] == 12
    assert counts["trained"] == len({row["fingerprint"] for row in history if not row["reason"]})
    assert counts["trained"] + counts["from_store"] + counts["degenerate"] == 12
    spent = [float(row["seconds"]) for row in history if row["from_store"] == "False"]
    assert counts["seconds"] == pytest.approx(sum(spent), abs=1e-3)
    assert sum(seconds > 0 for seconds in spent) == counts["trained"]
    with (folder / "history.csv").open() as file:
        assert next(csv.reader(file))[:4] == ["stage", "iteration", "rollout", "actions"]

    teacher = DEEPER_TOY
    found = Student.load(folder / "student.json", teacher)
    assert found.architecture.parameters == result["student"]["parameters"]
    assert result["student"]["ratio"] == teacher.parameters / found.architecture.parameters
    compression = 1 - 1 / result["student"]["ratio"]
    relative = result["student"]["val_accuracy"] / result["teacher"]["val_accuracy"]
    assert result["student"]["reward"] == pytest.approx(compression * (2 - compression) * relative)


def test_the_student_loads_with_its_preprocessing_and_its_test_accuracy(ended, settings, straight):
    student = agents.load_student(settings["out"])
    assert not student.training
    arrays = np.load(settings["dataset"])
    images = torch.from_numpy(arrays["x_test"].transpose(0, 3, 1, 2).copy())
    predicted = student(images).argmax(1).numpy()
    assert (predicted == arrays["y_test"]).mean() == straight["student"]["test_accuracy"]
    path = ended / "student" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated or was changed"):
        agents.load_student(settings["out"])


def test_one_stage_alone(settings, tmp_path):
    first = compress(**{**settings, "stages": "1", "finalists": 1})  # of several another one may turn out better
    assert first["stage1"] == first["student"]
    second = compress(**{**settings, "stages": "2", "out": str(tmp_path / "second")})
    assert "stage1" not in second
    assert {row["stage"] for row in rows(tmp_path / "second")} == {"2"}


def test_stage_2_goes_on_from_another_runs_stage_1(settings, tmp_path, toy_teacher, undisturbed):
    found = str(undisturbed / "stage1.json")
    goes_on = {**settings, "stages": "2", "architecture": found, "out": str(tmp_path / "second")}
    compress(**goes_on)
    student = Student.load(tmp_path / "second" / "stage2.json", DEEPER_TOY)
    assert student.removals == Student.load(Path(found), DEEPER_TOY).removals
    assert student.shrinkages is not None
    with pytest.raises(InputError, match="student of another teacher"):
        compress(**{**goes_on, "teacher": toy_teacher, "out": str(tmp_path / "third")})
    with pytest.raises(InputError, match=r"goes with stages 2, not 1\+2"):
        compress(**{**goes_on, "stages": "1+2", "out": str(tmp_path / "third")})
    assert not (tmp_path / "third").exists()


def test_a_finished_run_is_not_run_again(ended, settings, straight):
    assert compress(**settings) == straight
    assert compress(resume=settings["out"], workers=0) == straight


class Killed(BaseException):
    """Stops the program where a kill would, so that we can choose the place."""


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_stopped_while_a_student_is_trained(settings, undisturbed, straight, monkeypatch, at):
    """`at`: how many trainings are begun before the end."""
    trained = []
    train_student = DistillationEvaluator.train_student

    def counting(self, student):
        trained.append(student.architecture.fingerprint)
        if len(trained) == at:
            trained.pop()
            raise Killed
        return train_student(self, student)

    monkeypatch.setattr(DistillationEvaluator, "train_student", counting)
    with pytest.raises(Killed):
        compress(**settings, command="the first")
    assert not (Path(settings["out"]) / "result.json").exists()
    at = 0
    resumed = compress(resume=settings["out"], workers=0, command="the second")
    assert len(trained) == len(set(trained)), "a stored student was trained again"
    assert timeless(resumed) == timeless(straight)
    for here, there in zip(rows(settings["out"]), rows(undisturbed), strict=True):
        assert {**here, "seconds": ""} == {**there, "seconds": ""}


@pytest.mark.usefixtures("undrawn")
def test_stopped_between_history_and_policy(settings, straight, monkeypatch):
    saves = []
    save = Reinforce.save

    def stops(self, path):
        saves.append(path)
        if len(saves) == 2:
            raise Killed
        save(self, path)

    monkeypatch.setattr(Reinforce, "save", stops)
    with pytest.raises(Killed):
        compress(**settings, command="the first")
    assert len(rows(settings["out"])) == 4
    assert timeless(compress(resume=settings["out"], workers=0)) == timeless(straight)


@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_keeps_its_shared_store(settings, tmp_path, monkeypatch):
    store = tmp_path / "shared.sqlite"
    first = compress(**settings, store=str(store))
    folder = Path(settings["out"])
    for path in (folder / "result.json", folder / "history.csv", *folder.glob("stage?*.json"), *folder.glob("*.policy")):
        path.unlink()
    monkeypatch.setattr(DistillationEvaluator, "train_student", None)
    assert compress(resume=settings["out"], workers=0)["student"] == first["student"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lost", ["all", "the last row of stage 1"])
def test_a_stage_that_ended_is_not_gone_on_from_without_its_history(ended, settings, lost):
    """Stage 2 starts from the students of stage 1 that the history names."""
    for path in (ended / "result.json", *ended.glob("stage2*")):
        path.unlink()
    history = (ended / "history.csv").read_text().splitlines(keepends=True)
    last = max(i for i, row in enumerate(history) if row.startswith("1,"))
    (ended / "history.csv").write_text("" if lost == "all" else "".join(history[:last] + history[last + 1 :]))
    with pytest.raises(InputError, match=r"history.csv is not as it was when stage1.json was written; put it back"):
        compress(resume=settings["out"], workers=0)
    (ended / "history.csv").write_text("".join(history[: last + 1]))
    assert compress(resume=settings["out"], workers=0)["search"]["evaluations"] == len(history) - 1


@pytest.mark.usefixtures("undrawn")
def test_what_was_half_written_is_swept_up_everywhere(ended, settings):
    (ended / "result.json").unlink()
    parts = [ended / place / ".n2n-part-1-x" for place in ("", "finalists", "beside")]
    for part in parts:
        part.mkdir(parents=True)
    compress(resume=settings["out"], workers=0)
    assert not any(part.exists() for part in parts)


PLACES = ["teacher", "history.csv", "stage1.json", "stage2.policy", "stage2.json", "finalists", "student"]


@pytest.fixture(scope="session")
def killed(tmp_path_factory, trained_toys):
    """A folder with what a run that trains its teacher, too, has written when each of the files showed up.

    It is stopped there, so that what a kill would leave is copied, and goes on; at the last one it is killed.
    """

    def make(folder):
        asked = short_search(trained_toys, folder / "run")
        lists = {name: value if isinstance(value, tuple) else (value,) for name, value in asked.items() if name != "speed"}
        words = [word for name, values in lists.items() for word in (f"--{name.replace('_', '-')}", *map(str, values))]
        command = [sys.executable, "-m", "agents.commands.main", "compress", *words, "--no-speed"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for place in PLACES:
            wanted = folder / "run" / (place if place != "teacher" else "config.json")
            until = time.monotonic() + 120
            while not wanted.exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            process.send_signal(signal.SIGSTOP if place != PLACES[-1] else signal.SIGKILL)
            assert wanted.exists(), process.communicate()
            assert not (folder / "run" / "result.json").exists()
            for part in ("run", "home"):
                shutil.copytree(folder / part, folder / place / part)
            process.send_signal(signal.SIGCONT)
        assert process.wait() == -signal.SIGKILL

    return made_once(tmp_path_factory, "killed", make)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("place", PLACES)
def test_killed_by_the_system(killed, straight, untrained, own_home, tmp_path, place):
    """A real command is gone on with by another one: from where it was killed, or might have been."""
    shutil.copytree(killed / place / "home", own_home, dirs_exist_ok=True)
    out = shutil.copytree(killed / place / "run", tmp_path / "run")
    assert main(["compress", "--resume", str(out), "--workers", "0"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["command"].endswith("--no-speed")
    assert timeless(result) == timeless({**straight, "command": result["command"]})
    assert len(EvaluationStore(out / "evaluations.sqlite")) == straight["search"]["trained"]
    assert not list(out.rglob(".n2n-part-*"))


@pytest.mark.usefixtures("undrawn")
def test_workers_change_nothing(settings, straight, quick_workers):
    shared = compress(**{**settings, "workers": 2}, command="the first")
    assert timeless(shared) == timeless(straight)


@pytest.mark.usefixtures("undrawn")
def test_a_shared_store_saves_the_second_run_its_trainings(ended, settings, straight, tmp_path):
    second = compress(**{**settings, "out": str(tmp_path / "two")}, store=str(ended / "evaluations.sqlite"))
    assert second["search"]["trained"] == 0
    assert second["search"]["from_store"] == 12 - second["search"]["degenerate"]
    assert second["student"] == straight["student"]


def test_a_run_of_another_version_is_refused(settings, tmp_path):
    search = Search(**settings)
    older = {name: value for name, value in search.configuration.items() if name not in ("starts", "final_epochs")}
    newer = {**search.configuration, "wings": 2}
    for name, configuration, says in (
        ("older", older, "begun by another version of this package, which lacks --starts, --final-epochs: go on with that"),
        ("newer", newer, "begun by another version of this package, which has --wings: go on with that version, or start"),
    ):
        out = str(tmp_path / name)
        with RunFolder(tmp_path / name, RunStart(configuration, search.identity)):
            pass
        with pytest.raises(InputError, match=says):
            compress(**{**settings, "out": out})
        with pytest.raises(InputError, match=says):
            compress(resume=out, workers=0)


def test_a_folder_in_use_or_of_another_run_is_refused(settings, tmp_path):
    search = Search(**settings)
    with (
        RunFolder(search.folder, RunStart(search.configuration, search.identity)),
        pytest.raises(InputError, match="is in use by another process"),
    ):
        compress(**settings)
    with pytest.raises(InputError, match=r"another configuration \(seed is 0 there, 1 here\)"):
        compress(**{**settings, "seed": 1})
    with pytest.raises(InputError, match="holds a run with seed 0, not 1; leave the option out"):
        compress(resume=settings["out"], seed=1)
    with pytest.raises(InputError, match="holds a run with iterations 3, not 100"):
        compress(resume=settings["out"], iterations=100)
    with pytest.raises(InputError, match="give --resume without --out"):
        compress(resume=settings["out"], out=str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="no run to resume"):
        compress(resume=str(tmp_path / "nowhere"), workers=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not a run folder"):
        compress(**{**settings, "out": str(tmp_path / "mine")})
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


NOTHING, NONE_SMALLER = BARE


@pytest.mark.parametrize(
    ("bare", "reasons", "says"),
    [
        (NOTHING, set(), "can be removed"),
        (NONE_SMALLER, {"not smaller than the teacher"}, "every student that was tried was degenerate"),
    ],
    indirect=["bare"],
)
def test_where_stage_1_finds_nothing_stage_2_starts_from_the_teacher(bare, bare_settings, reasons, says):
    result = json.loads((bare / "run" / "result.json").read_text())
    assert "stage1" not in result
    assert result["student"]["ratio"] > 1
    assert {row["reason"] for row in rows(bare / "run") if row["stage"] == "1"} == reasons
    with pytest.raises(InputError, match=says):
        compress(**bare_settings | {"stages": "1"})


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("bare", "at"), [(NOTHING, 1), (NOTHING, 3), (NONE_SMALLER, 2)], indirect=["bare"])
def test_stopped_after_a_stage_without_a_student(bare, bare_settings, monkeypatch, at):
    train_student, trained = DistillationEvaluator.train_student, []

    def counting(self, student):
        trained.append(student)
        if len(trained) == at:
            raise Killed
        return train_student(self, student)

    monkeypatch.setattr(DistillationEvaluator, "train_student", counting)
    with pytest.raises(Killed):
        compress(**bare_settings)
    resumed = compress(resume=bare_settings["out"], workers=0)
    assert timeless(resumed) == timeless(json.loads((bare / "run" / "result.json").read_text()))


@pytest.mark.usefixtures("undrawn")
def test_a_run_whose_students_all_timed_out_goes_on_with_more_time(settings, straight):
    for _ in range(2):
        with pytest.raises(InputError, match=r"no student of stage 1 .*: timeout \(\d\).* --timeout") as error:
            compress(**settings, timeout=1e-9, command="the first")
        assert "degenerate" not in str(error.value)
    resumed = compress(resume=settings["out"], workers=0, timeout=1000.0)
    assert timeless(resumed) == timeless(straight)
    assert resumed["search"]["failed"] == {}


@pytest.mark.usefixtures("undrawn")
def test_what_the_machine_failed_is_not_called_degenerate(settings, monkeypatch):
    train_student, trained = DistillationEvaluator.train_student, []

    def failing(self, student):
        trained.append(student)
        if len(trained) == 2:
            return Evaluation.failed(student.architecture, self.teacher, TIMEOUT, 1.0)
        return train_student(self, student)

    monkeypatch.setattr(DistillationEvaluator, "train_student", failing)
    counts = compress(**settings)["search"]
    assert counts["failed"] == {TIMEOUT: 1}
    assert counts["trained"] + counts["from_store"] + counts["degenerate"] + 1 == counts["evaluations"]


class Recording(Display):
    def __init__(self):
        self.tasks, self.notes = [], []

    def start(self, task, total, done=0):
        self.tasks.append((task, total, done))

    def update(self, done, note):
        self.notes.append(note)


def test_progress_is_told(settings, untrained):
    display = Recording()
    compress(Search(**settings), display=display)
    tasks = [task for task, *_ in display.tasks]
    assert tasks[:3] == ["teacher", "stage 1", "stage 2"]
    finals = [task for task in tasks[3:] if task != "stage 2"]  # which each of its starts begins
    assert finals
    assert all(re.fullmatch(r"final training, [\d,]+ parameters|\d+ final trainings", task) for task in finals)
    stage = [note for note in display.notes if note.startswith("best")]
    assert len(stage) == 6
    assert "tried 12" in stage[-1]
    assert re.search(r" stored \d+$", stage[-1])


def test_a_run_killed_before_it_wrote_anything_can_be_started_again(settings):
    folder = Path(settings["out"])
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".n2n-part-0-config.json").touch()
    (folder / ".mine").mkdir()
    with pytest.raises(InputError, match="is not a run folder"):
        compress(**settings)
    (folder / ".mine").rmdir()
    assert compress(**settings)["student"]
    assert not list(folder.glob(".n2n-part-*"))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.json", lambda text: text[:20], "not a readable run configuration"),
        ("config.json", lambda text: "{}", "not a readable run configuration: .*missing required field"),
        ("history.csv", lambda text: text[:-30], "damaged"),
        ("history.csv", lambda text: text.replace("fingerprint", "x"), "history.csv is damaged"),
        ("history.csv", lambda text: text.splitlines()[0], "history.csv is not as it was when stage1.json was written"),
        ("stage1.json", lambda text: "{}", "is not a readable student's file"),
        ("student/model.json", lambda text: "{}", "is not the description of a saved network"),
        ("student/weights.safetensors", lambda text: "", "truncated or was changed"),
    ],
)
def test_a_damaged_run_folder_is_said(ended, settings, name, damage, message):
    (ended / "result.json").unlink()
    path = ended / name
    path.write_text(damage(path.read_text(errors="replace")))
    with pytest.raises(InputError, match=message) as caught:
        compress(resume=settings["out"], workers=0)
    assert "\n" not in str(caught.value)
    assert not (ended / "result.json").exists()


def test_a_data_set_that_changed_since_the_start_is_refused(settings, toy_data):
    compress(**settings | {"dataset": toy_data, "stages": "1", "iterations": 1, "finalists": 0})
    arrays = toy_arrays()
    arrays["x_train"][0, 0, 0, 0] ^= 1
    np.savez(toy_data, **arrays)
    with pytest.raises(InputError, match=r"^the data set's images changed since the run in .*; put back what it was"):
        compress(resume=settings["out"], workers=0)


def test_a_student_of_stage_2_does_not_start_stage_2(settings, tmp_path):
    found = tmp_path / "stage2.json"
    Student(DEEPER_TOY, (0,) * 6, (9,) * 6).save(found)
    with pytest.raises(InputError, match="is a stage-2 result"):
        compress(**settings | {"stages": "2", "architecture": str(found)})


def test_where_nothing_is_left_to_shrink_stage_1_is_the_result(settings, tmp_path):
    teacher = Architecture.chain([relu(), linear(40), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "flat.json", teacher.to_json())
    result = compress(**{**settings, "teacher": str(tmp_path / "flat.json"), "iterations": 2})
    assert result["student"] == result["stage1"]
    assert result["student"]["parameters"] == 3 * 65
    assert {row["stage"] for row in rows(settings["out"])} == {"1"}
    bare = Architecture.chain([max_pool(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "bare.json", bare.to_json())
    with pytest.raises(InputError, match="nothing is left to shrink"):
        compress(**{**settings, "teacher": str(tmp_path / "bare.json"), "stages": "2", "out": str(tmp_path / "two")})


def test_a_final_training_that_diverges_says_so(settings):
    with pytest.raises(InputError, match="final training: training diverged"):
        compress(**settings, distillation_weight=1e38)


def test_a_script_without_a_main_guard_is_told_what_to_do(settings, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"from agents import compress\ncompress(**{ {**settings, 'workers': 1}!r})\n")
    with pytest.raises(InputError, match="worker processes cannot start: put what your script does under"):
        runpy.run_path(str(script), run_name="__main__")  # for its worker it is the script that everything began with
    assert not (Path(settings["out"]) / "history.csv").exists()
