"""Bad input: one clear line, exit status 2, nothing half-written."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agents.algorithms.registry import ALGORITHMS
from agents.commands.completion import SHELLS
from agents.commands.main import COMMANDS, main
from agents.commands.output import command_for_others
from agents.display import ProgressDisplay
from envs_tests.conftest import toy_arrays
from n2n_gym.system.files import teachers_folder


def fails(capsys, *words):
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("n2n: error: ")
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compres"], "unknown command 'compres'. Did you mean 'compress'?"),
        (
            ["teacher"],
            "Known: compress, report, browse, export, compare, reproduce, teacher train, teacher import, teacher list",
        ),
        (["compress", "--widht", "0.5"], "unknown option '--widht'. Did you mean '--width'?"),
        (["compress", "--nonsense=3"], "Known: --teacher, --dataset"),
        (["compress", "--teacher", "resnet17"], "unknown teacher 'resnet17'. Did you mean 'resnet1"),
        (["compress", "--dataset", "mnst"], "unknown data set 'mnst'. Did you mean 'mnist'?"),
        (["compress", "--dataset", "images"], "unknown data set 'images'. Known: digits"),
        (["compress", "--dataset", "./digit"], "/digit is not there; give a folder of images with a folder for each class"),
        (["compress", "--dataset", "some/digits"], "/some/digits is not there; give a folder"),
        (["compress", "--dataset", "/proc/version"], "/proc/version is a file, and no .npz; give a folder of images"),
        (["completion", "fish"], "unknown shell 'fish'. Known: bash"),
        (["compress", "--recipe", "papre"], "unknown recipe 'papre'. Did you mean 'paper'?"),
        (["compress", "--reward", "paepr"], "unknown reward"),
        (
            ["compress", "--evaluator", "tabel"],
            "unknown evaluator 'tabel'. Did you mean 'table'? Known: distillation",
        ),
        (["compress", "--evaluator", "table"], "made by recipe paper, not fast"),
        (["compress", "--stages", "3"], "1+2"),
        (["compress", "--iterations", "ten"], "--iterations: invalid literal for int() with base 10: 'ten'; see n2n compress"),
        (["compress", "--train-size", "ten"], "could be instantiated from ['ten']; see n2n compress"),
        (["compress", "--teacher"], "Missing value for argument '--teacher'"),
        (["compress", "--workers", "many"], "unknown workers 'many'. Known: ray, ray:ADDRESS, a number"),
        (["teacher", "list", "x"], "'n2n teacher list' takes no options"),
        (["compress", "--iterations", "0"], "iterations must be at least 1"),
        (["compress", "--rollouts", "-1"], "rollouts must be at least 1"),
        (["compress", "--workers", "-1"], "workers must be 0"),
        (["table", "show", "conv4-digits-removal", "--best", "-3"], "best must be at least 1, not -3"),
        (["compress", "--distillation-weight", "-1"], "distillation-weight must be 0 or more"),
        (["compress", "--width", "0"], "width must be greater than 0"),
        (["compress", "--train-size", "0"], "train-size must be at least 10 images"),
        (["compress", "--train-size", "99999"], "more than the 1,078 training images of digits"),
        (["compress", "--device", "tpu9"], "device 'tpu9' cannot be used"),
        (["compress", "--resume", "nowhere"], "no run to resume in nowhere"),
        (["compress", "--seed", "-1"], "seed must be 0 to 4294967295"),
        (["compress", "--seed", "4294967296"], "seed must be 0 to 4294967295"),
        (["compress", "--timeout", "0"], "timeout must be more than 0"),
        (["compress", "--width", "inf"], "width must be greater than 0"),
        (["compress", "--architecture", "a.json"], "it goes with stages 2, not 1+2"),
        (["compress", "--store", "."], "is not a store of evaluations but a folder"),
        (["compress", "--store", "/proc/none/store.sqlite"], "/proc/none"),
        (["compress", "--out", "/proc/none/run"], "/proc/none"),
        (["compress", "--constraint", "parameters<=3"], "no student can keep parameters<=3"),
        (["compress", "--constraint", "parameters<=9000", "--constraint", "paramters<=9"], "Did you mean 'parameters'"),
        (["compress", "--constraint", "limits.json"], "no file of constraints at limits.json"),
        (["compress", "--relaxation", "soft"], "unknown relaxation 'soft'"),
        (["compress", "--agent", "reinfroce"], "unknown agent 'reinfroce'. Did you mean 'reinforce'?"),
        (["compress", "--agent", "random", "--learning-rate", "0.1"], "random learns no policy"),
        (["compress", "--learning-rate", "0"], "learning-rate must be greater than 0"),
        (["compress", "--policy", "nowhere.policy"], "no saved agent at nowhere.policy"),
        (["compress", "--finalists", "-1"], "finalists must be at least 0"),
        (["compress", "--latency-batch-size", "0"], "latency-batch-size must be at least 1"),
        (["reproduce", "table9"], "unknown target 'table9'. Did you mean 'table"),
        (["reproduce", "table1", "--scale", "cpus"], "unknown scale 'cpus'. Did you mean 'cpu'?"),
        (["--verison"], "unknown command '--verison'"),
        (["teacher", "show", "none"], "unknown saved teacher 'none'"),
        (["teacher", "profile"], "see n2n teacher profile --help"),
        (["teacher", "profile", "resnet17"], "unknown teacher 'resnet17'. Did you mean 'resnet1"),
        (["teacher", "profile", "conv4", "--images", "0"], "images must be at least 1"),
        (["export", "nowhere"], "nowhere is not there, and no teacher is called so; give a run's folder"),
        (["export", "runs", "--to", "onx"], "unknown export form 'onx'. Did you mean 'onnx'?"),
        (["compare", "nowhere", "nowhere"], "nowhere is not there"),
        (["compare", "nowhere", "nowhere", "--device", "tpu9"], "device 'tpu9' cannot be used"),
    ],
)
def test_bad_words(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(x_train=a["x_train"][:, :, 0]), "x_train must be uint8 of shape (N, H, W, C)"),
        (lambda a: a.update(y_test=a["y_test"] + 7), "test labels must lie in 0 ... 2"),
    ],
)
def test_bad_data(capsys, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    arrays = toy_arrays()
    change(arrays)
    np.savez("mine.npz", **arrays)
    assert message in fails(capsys, "compress", "--dataset", "mine.npz")
    whole = Path("mine.npz").read_bytes()
    Path("mine.npz").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as a .npz data set" in fails(capsys, "compress", "--dataset", "mine.npz")
    assert "no data set at" in fails(capsys, "compress", "--dataset", "yours.npz")
    assert not Path("runs").exists()


def test_help_and_version(capsys):
    assert main([]) == 0
    listing = capsys.readouterr().out
    assert all(f"n2n {name}" in listing for name in COMMANDS)
    assert main(["--version"]) == 0
    assert "n2n-gym" in capsys.readouterr().out
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([*name.split(), "--help"])
        assert not stop.value.code


@pytest.mark.parametrize("word", ["teacher", "table", "benchmark"])
def test_the_first_of_two_words_has_help(capsys, word):
    with contextlib.suppress(SystemExit):  # raised by a word that is a command by itself, too
        assert main([word, "--help"]) == 0
    listing = capsys.readouterr().out
    below = [name for name in COMMANDS if name.startswith(f"{word} ")]
    assert below
    assert all(f"n2n {name}" in listing for name in below)
    assert "n2n compress" not in listing


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_in_words_what_happens_without_an_option(capsys, name):
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "(default: None)" not in shown
    assert "(default: )" not in shown
    assert "{None}" not in shown


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_completion_tells_how_it_is_used(capsys, words):
    assert main(["completion", *words]) == 0
    printed = capsys.readouterr().out
    assert all(way in printed for way in SHELLS.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_and_options(capsys, shell):
    with pytest.raises(SystemExit) as stop:
        main(["completion", shell])
    assert not stop.value.code
    script = capsys.readouterr().out
    for word in ("compress", "teacher", "profile", "--final-trainings", "--beside", "validate"):
        assert word in script


def test_lists_keep_names_whole_in_any_window(capsys, monkeypatch, own_home):
    name = "a-teacher-with-a-name-of-a-length-" + "that-no-narrow-window-holds" * 2
    folder = teachers_folder() / name
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["teacher", "list"]) == 0
    assert name in capsys.readouterr().out
    assert main(["table", "list"]) == 0
    assert "conv4-w0.25-fashion-mnist-n2000-removal" in capsys.readouterr().out


def test_teacher_commands(capsys, toy_teacher, toy_data):
    words = ["teacher", "train", "--teacher", toy_teacher, "--dataset", toy_data, "--device", "cpu"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    facts = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert facts["recipe"]["name"] == "own"
    assert main(["teacher", "list"]) == 0
    assert facts["name"][:12] in capsys.readouterr().out
    assert main(["teacher", "show", facts["name"]]) == 0
    assert json.loads(capsys.readouterr().out.rsplit("}", 1)[0] + "}") == facts
    (teachers_folder() / facts["name"] / "model.json").write_text("{}")
    assert main(["teacher", "list"]) == 0
    assert "damaged" in capsys.readouterr().out


def test_compress_prints_a_table_and_the_pictures_paths(capsys, deeper_toy_teacher, toy_data, tmp_path, short_trainings):
    out = tmp_path / "run"
    words = ["compress", "--teacher", deeper_toy_teacher, "--dataset", toy_data, "--iterations", "2", "--rollouts", "2"]
    assert main([*words, "--workers", "0", "--device", "cpu", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for text in ("teacher", "stage 1", "student", "test accuracy", "parameters", "MACs", "ratio", "reward"):
        assert text in printed
    assert str(out / "curves.png") in printed
    assert str(out / "architectures.png") in printed
    assert str(out / "report.html") in printed
    assert "All students" in (out / "report.html").read_text()
    assert json.loads((out / "result.json").read_text())["command"].startswith("n2n compress --teacher")


def test_an_option_that_takes_something_back_is_given_too(capsys, deeper_toy_teacher, toy_data, tmp_path):
    out = tmp_path / "run"
    words = ["compress", "--teacher", deeper_toy_teacher, "--dataset", toy_data, "--iterations", "1", "--rollouts", "2"]
    assert main([*words, "--workers", "0", "--device", "cpu", "--finalists", "0", "--out", str(out)]) == 0
    capsys.readouterr()
    assert "holds a run with lookahead True, not False" in fails(capsys, "compress", "--resume", out, "--no-lookahead")
    assert "holds a run with unsearched True" in fails(capsys, "compress", "--resume", out, "--no-unsearched")


def test_commands_in_files_for_others_tell_nothing_of_this_machine():
    said = command_for_others(
        "n2n", "benchmark", "--out=/home/me/x", "/home/me/mine.py", "--out", "/home/me/y", "a=/b", "--seeds=3"
    )
    assert said == "n2n benchmark --out=x mine.py --out y a=/b --seeds=3"


def test_a_benchmark_of_all_leaves_out_who_lacks_a_library(capsys, monkeypatch, toy_tables, tmp_path, quick_workers):
    monkeypatch.setattr("agents.algorithms.tpe.find_spec", lambda name: None)
    for name in [name for name in ALGORITHMS if name not in ("random", "tpe")]:
        monkeypatch.delitem(ALGORITHMS._things, name)
    words = ["benchmark", "--tasks", str(toy_tables / "removal.npz"), "--tracks", "reward", "--seeds", "1", "--budgets", "2"]
    assert main([*words, "--workers", "1", "--out", str(tmp_path)]) == 0
    assert "tpe is left out: the agent tpe needs Optuna" in " ".join(capsys.readouterr().out.split())
    assert [path.name for path in (tmp_path / "agents").iterdir()] == ["random.json"]
    assert "the agent tpe needs Optuna" in fails(capsys, *words, "--agents", "tpe", "random")


def test_the_progress_line_fits_a_narrow_terminal():
    """Iteration, time left, best and mean reward stay in sight at 80 columns."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    with contextlib.suppress(KeyboardInterrupt), ProgressDisplay(console) as display:
        display.start("stage 2", 100)
        display.update(37, "best 0.981 mean 0.912 tried 1000 stored 912")
        raise KeyboardInterrupt  # what is shown last is then what was done
    line = [line for line in text.getvalue().split("\r") if "37/100" in line][-1]
    for part in ("stage 2", "37/100", "best 0.981", "mean 0.912", "tried 1000", "stored 912"):
        assert part in line
    assert ":" in line.split("37/100")[1].split("best")[0]


def test_a_series_of_runs_shows_each_run_alone():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    with ProgressDisplay(console) as display:
        for run in ("first", "second"):
            with display:
                display.start(run, 10)
                display.update(10, "done")
        display.start("after", 10)
        display.update(3, "going on")
    last = text.getvalue().rsplit("\r", 1)[-1]
    assert "going on" in last
    assert "first" not in last


def test_where_the_output_is_no_terminal_a_line_tells_each_tenth():
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=200)) as display:
        display.start("stage 1", 20)
        for done in range(1, 21):
            display.update(done, f"mean {done}")
    assert len(text.getvalue().splitlines()) == 11


def test_whoever_has_read_enough_is_not_told_of_an_error():
    command = [sys.executable, "-m", "agents.commands.main", "compress", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141
