"""What a user sees of long work: early, often, and until when."""

import contextlib
import io
import re
import time

import numpy as np
import pytest
import torch
from rich.console import Console

from agents import display as shown_how
from agents.display import Display, ProgressDisplay, duration, shown_teacher
from agents.search import forecast
from agents.search.compress import compress
from agents.search.forecast import Forecast
from agents.search.options import Search
from envs_tests.conftest import toy_arrays
from n2n_gym.problem import Problem
from n2n_gym.system.progress import heard, report


def on_terminal(width=100):
    text = io.StringIO()
    return text, Console(file=text, force_terminal=True, width=width, color_system=None)


def last(text):
    return text.getvalue().rsplit("\r", 1)[-1]


def test_something_is_on_the_screen_before_the_first_task():
    text, console = on_terminal()
    with ProgressDisplay(console) as display:
        assert "starting" in text.getvalue()
        report("converting image", 3, 10)
        display._progress.refresh()
        assert "converting image 3 of 10" in last(text)
        display.start("stage 1", 5)
        assert "starting" not in last(text)
    assert "starting" not in last(text)


def test_where_nothing_was_done_nothing_is_left_on_the_screen():
    text, console = on_terminal()
    with pytest.raises(ZeroDivisionError), ProgressDisplay(console):
        _ = 1 / 0
    assert "starting" not in last(text)


def test_within_a_step_the_screen_changes():
    text, console = on_terminal()
    with ProgressDisplay(console) as display:
        display.start("teacher", 30)
        report("epoch 1, step", 40, 700)
        display._progress.refresh()
        assert "epoch 1, step 40 of 700" in last(text)
        display.update(1, "mine")
        display._progress.refresh()
        assert "step" not in last(text)


def test_a_task_that_ends_early_looks_finished():
    text, console = on_terminal()
    with ProgressDisplay(console) as display:
        display.start("final training", 60)
        display.update(37, "")
        display.start("next", 3)
        display.update(3, "")
    assert re.search(r"final training +━+ 37/37 ", last(text))


def test_the_run_that_failed_does_not():
    text, console = on_terminal()
    with contextlib.suppress(KeyError), ProgressDisplay(console) as display:
        display.start("stage 1", 60)
        display.update(37, "")
        raise KeyError
    assert "37/60" in last(text)


def test_the_end_of_the_whole_run_is_told():
    text, console = on_terminal()
    with ProgressDisplay(console) as display:
        display.start("stage 1", 60)
        display.expect(720)
        display._progress.refresh()
        assert re.search(r"the whole run ends about \d\d:\d\d, in 12 min", last(text))
        display.expect(-2 * shown_how.QUIET)
        display._progress.refresh()
        assert "the whole run takes longer than was foreseen" in last(text)


def test_a_file_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(shown_how, "QUIET", 0.5)
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=200)) as display:
        report("downloading mnist")
        time.sleep(2.5)
        display.start("stage [1]", 20)
        display.update(1, "best 0.9")
        display.expect(30)
        report("student", 2, 5)
        time.sleep(2.5)
    lines = text.getvalue().splitlines()
    assert lines[0] == "starting  downloading mnist"
    assert re.fullmatch(
        r"stage \[1\]: 1 of 20  best 0.9  student 2 of 5  the whole run ends about \d\d:\d\d, in \d\d s", lines[-1]
    )
    assert 2 < len(lines) < 8


@pytest.mark.parametrize(
    ("seconds", "said"), [(1.234, "1.2 s"), (9.7, "10 s"), (45, "45 s"), (720, "12 min"), (12_600, "3.5 h")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_who_works_says_so(tmp_path, toy_teacher, untrained):
    np.savez(tmp_path / "new.npz", **toy_arrays(images=300))
    told = {}
    with heard(lambda what, done, total: told.setdefault(what.split(",")[0], (done, total))):
        problem = Problem(toy_teacher, str(tmp_path / "new.npz"))
        shown_teacher(problem, "cpu", Display())
    assert any(what.startswith("converting") for what in told)


class Told(Display):
    def __init__(self):
        self.tasks, self.details, self.ends = [], [], []

    def start(self, task, total, done=0):
        self.tasks.append(task)

    def detail(self, what, done, total):
        self.details.append(what)

    def expect(self, seconds):
        self.ends.append(seconds)


def test_a_run_tells_its_details_and_its_end(settings, untrained):
    told = Told()
    compress(Search(**settings), display=told)
    assert told.tasks[0] == "teacher"
    for what in ("epoch 1, step", "student", "teacher's answers, part"):
        assert what in told.details
    assert told.ends
    assert told.ends[-1] == pytest.approx(0, abs=1)


def test_what_is_to_come_is_foreseen(settings, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: now[0])
    told = Told()
    options = {**settings, "iterations": 10, "rollouts": 2, "finalists": 1, "final_trainings": 2, "final_epochs": 20}
    with Forecast(told, Search(**{**options, "recipe": "fast"})) as foreseen:
        foreseen.start("stage 1", 10)
        foreseen.update(0, "")
        assert told.ends == []
        now[0] = 3.0
        foreseen.detail("student", 1, 1000)  # what begins takes long: it tells nothing of the pace
        assert told.ends == []
        now[0] = 8.0
        foreseen.update(2, "")  # 4 seconds an update, 2 a student of 2 epochs: 20 a final training
        assert told.ends[-1] == pytest.approx(8 * 4 + 10 * 4 + 2 * 20)
        foreseen.detail("student", 1, 2)
        assert told.ends[-1] == pytest.approx((8 / 2.5) * 7.5 + 10 * 2 * 2 + 2 * 20)
        foreseen.start("stage 2", 10)
        now[0] = 28.0
        foreseen.update(10, "")
        assert told.ends[-1] == pytest.approx(2 * 20)
        foreseen.start("final training, 99 parameters", 20)
        now[0] = 38.0
        foreseen.update(20, "")
        assert told.ends[-1] == pytest.approx(10)
        foreseen.start("final training, 99 parameters", 20)
        now[0] = 48.0
        foreseen.update(20, "")
        assert told.ends[-1] == pytest.approx(0)


def test_reports_of_other_threads_are_not_heard():
    import threading

    told = []
    with heard(lambda *arguments: told.append(arguments)):
        thread = threading.Thread(target=report, args=("elsewhere",))
        thread.start()
        thread.join()
        report("here", 1, 2)
    report("later")
    assert told == [("here", 1, 2)]


def test_the_toys_need_no_second_thread():
    assert torch.get_num_threads() == 1
