"""Worker processes that die, stop, run out of memory or talk nonsense."""

import contextlib
import copy
import multiprocessing
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from n2n_gym.errors import InputError
from n2n_gym.system import pool
from n2n_gym.system.pool import Pool
from n2n_gym.system.worker import Loss, Lost, Worker, tell_parent


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("n2n_gym.system.worker.SILENCE", 2.5)
    monkeypatch.setattr("n2n_gym.system.worker.SIGN", 0.2)


def square(number):
    return number * number


def first_time(place):
    """Whether a task is tried for the first time; `place` remembers."""
    try:
        Path(place).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def suffers(task):
    """Meets a fate, always or only the first time."""
    fate, place = task
    if place is not None and not first_time(place):
        return os.getpid()
    match fate:
        case "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "memory":
            raise MemoryError
        case "threads":
            raise RuntimeError("can't start new thread")
        case "exits":
            os._exit(3)
        case "garbage":
            for number in range(3, 50):
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(os.fstat(number).st_mode):
                        os.write(number, b"Segmentation fault, or so it seems\n")
            time.sleep(60)
    return os.getpid()


FATES = {
    "stopped": (Loss.SILENT, "no sign of life"),
    "killed": (Loss.DIED, "SIGKILL"),
    "segfault": (Loss.DIED, "SIGSEGV"),
    "memory": (Loss.MEMORY, "memory"),
    "threads": (Loss.MEMORY, "memory"),
    "exits": (Loss.DIED, "exit code 3"),
    "garbage": (Loss.DIED, "no answer"),
}


@pytest.mark.parametrize("fate", FATES)
def test_whose_worker_is_lost_once_is_done_the_next_time(fate, tmp_path):
    with Pool(2) as workers:
        answers = dict(workers.run(suffers, [(fate, str(tmp_path / "once")), ("", None), ("", None)]))
    assert all(isinstance(answer, int) for answer in answers.values())
    assert sorted(answers) == [0, 1, 2]


@pytest.mark.parametrize("fate", ["stopped", "segfault", "memory"])
def test_whose_workers_are_lost_again_and_again_is_given_up(fate, monkeypatch):
    if fate == "stopped":  # one second chance: each takes as long as the silence
        monkeypatch.setattr(pool, "RETRIES", 1)
    started = []
    start = Worker.started
    monkeypatch.setattr(Worker, "started", lambda *arguments: started.append(1) or start(*arguments))
    with Pool(1) as workers:
        answers = dict(workers.run(suffers, [(fate, None), ("", None)]))
    reason, how = FATES[fate]
    assert isinstance(answers[1], int)
    assert isinstance(answers[0], Lost)
    assert answers[0].reason is reason
    assert how in answers[0].how
    assert len(started) == 1 + pool.RETRIES


def test_a_worker_that_prints_garbage_does_no_harm(capfd):
    with Pool(1) as workers:
        assert list(workers.map(print_garbage, [1, 2])) == [1, 2]
    assert "\x00" in capfd.readouterr().out


def print_garbage(number):
    os.write(1, b"\x00\xff" * 1000)
    os.write(2, b"\x80\x04garbage")
    return number


def test_workers_that_are_lost_one_after_the_other_end_it():
    with (
        Pool(2) as workers,
        pytest.raises(InputError, match=r"lost one after the other \(the last one was killed by SIGKILL\)"),
    ):
        list(workers.run(suffers, [("killed", None)] * 5))


def die(how):
    os.kill(os.getpid(), how)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_workers_that_are_killed_as_they_start_are_not_told_of_a_main_guard(how):
    with (
        Pool(2, die, how) as workers,
        pytest.raises(InputError, match=f"as they start .*{how.name}.*fewer --workers") as error,
    ):
        list(workers.run(square, [1, 2]))
    assert "__main__" not in str(error.value)


def refuse(what):
    raise InputError(what)


def test_what_a_worker_raises_is_raised_here():
    with Pool(1, refuse, "not like this") as workers, pytest.raises(InputError, match="not like this"):
        list(workers.run(square, [1]))
    with Pool(1) as workers:
        with pytest.raises(InputError, match="not like that") as error:
            list(workers.run(refuse, ["not like that"]))
        assert "in refuse" in error.value.__notes__[0]
        assert workers.processes == []  # it is ending, and would lose what it was handed now
        assert list(workers.map(square, [3])) == [9]


class StubbornError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def stubborn(_task):
    raise StubbornError(1, 2)


def test_an_exception_that_cannot_be_sent_is_told():
    with Pool(1) as workers, pytest.raises(RuntimeError, match="StubbornError: 1 and 2"):
        list(workers.run(stubborn, [1]))


def says(number):
    tell_parent(f"half of {number}")
    return number


def test_notes_come_before_the_answer():
    heard = []
    with Pool(2) as workers:
        for index, number in workers.run(says, [10, 20], lambda index, note: heard.append((index, note))):
            assert (index, f"half of {number}") in heard


def test_who_stops_listening_ends_what_was_begun():
    with Pool(2) as workers:
        answers = workers.run(slowly, [0.0, 60.0])
        assert next(answers)[0] == 0
        assert len(workers.processes) == 2
        answers.close()
        assert len(workers.processes) == 1
        assert list(workers.map(square, [2, 3])) == [4, 9]


def slowly(seconds):
    time.sleep(seconds)
    return seconds


def test_an_idle_worker_that_is_stopped_hinders_nobody():
    with Pool(1) as workers:
        assert list(workers.map(len, [b"x"])) == [1]
        os.kill(workers.processes[0], signal.SIGSTOP)
        assert list(workers.map(len, [b"x" * 10**7])) == [10**7]


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_is_ended_while_a_long_task_is_handed_to_it_leaves_no_thread_behind(monkeypatch):
    context, raised = multiprocessing.get_context("fork"), []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    before = set(threading.enumerate())
    for _ in range(40):
        here, there = context.Pipe()
        process = context.Process(target=stop_itself)
        process.start()
        there.close()
        worker = Worker(process, here)
        worker.begin(len, b"x" * 10**6)
        worker.end()
        assert here.closed
        assert set(threading.enumerate()) == before
    assert not raised


GROUP = """
import time
from envs_tests.test_pool import slowly
from n2n_gym.system import pool, worker

if __name__ == "__main__":
    worker.SILENCE, worker.SIGN = 1.5, 0.2
    with pool.Pool(1) as workers:
        list(workers.map(abs, [1]))
        number = workers.processes
        print("begun", flush=True)
        list(workers.map(slowly, [1.0]))
        assert workers.processes == number, "its worker was taken for dead"
"""


def test_who_is_stopped_together_with_its_workers_goes_on_with_them(tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(GROUP)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout.readline() == b"begun\n"
        os.killpg(parent.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(parent.pid, signal.SIGCONT)
        assert parent.wait(60) == 0


def test_threads_that_share_a_pool_get_their_own_answers():
    with Pool(2) as workers, ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda first: list(workers.map(square, range(first, first + 4))), (0, 10, 20)))
        assert answers == [[n * n for n in range(first, first + 4)] for first in (0, 10, 20)]
        assert len(workers.processes) <= 2
    assert workers.processes == []


def test_two_runs_of_one_thread_take_turns():
    with Pool(1) as workers:
        one, other = workers.map(square, [1, 2]), workers.map(square, [3, 4])
        assert [next(each) for each in (one, other, one, other)] == [1, 9, 4, 16]


def test_a_copy_has_workers_of_its_own():
    with Pool(1, time.sleep, 0) as workers:
        assert list(workers.map(square, [1])) == [1]
        for copied in (copy.deepcopy(workers), pickle.loads(pickle.dumps(workers))):
            with copied:
                assert copied.processes == []
                assert list(copied.map(square, [2])) == [4]
                assert copied.processes != workers.processes
