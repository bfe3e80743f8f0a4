"""Several runs on one store: each student is trained once, whoever dies, is stopped or waits."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from envs_tests.conftest import TOY, FormulaEvaluator
from n2n_gym.architecture import apply_shrinkages
from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY, Evaluation
from n2n_gym.evaluators import claims
from n2n_gym.evaluators.latency import LatencyEvaluator
from n2n_gym.evaluators.store import EvaluationStore, StoredEvaluator
from n2n_gym.evaluators.workers import WorkerEvaluator
from n2n_gym.student import Student
from n2n_gym.system.processes import has_ended, this_process

DRAWN = [Student(apply_shrinkages(TOY, [first, 9, last])) for first in (4, 6, 9) for last in (2, 5, 8)]
STUDENTS = list({s.architecture.fingerprint: s for s in DRAWN if s.architecture.verdict(TOY).feasible}.values())
FORK = multiprocessing.get_context("fork")


@dataclass
class Counting(FormulaEvaluator):
    """Writes down, in a file that several processes share, each training that it begins; each takes a while."""

    book: Path = Path()
    seconds: float = 0.1

    def stream(self, students):
        for index, student in enumerate(students):
            with self.book.open("a") as book:
                book.write(f"{student.architecture.fingerprint} {os.getpid()}\n")
            time.sleep(self.seconds)
            [(_, evaluation)] = super().stream([student])
            yield index, evaluation


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(claims, "SIGN", 0.1)
    monkeypatch.setattr(claims, "SILENCE", 1.5)
    monkeypatch.setattr(claims, "LOOK", 0.02)


@pytest.fixture
def book(tmp_path):
    return tmp_path / "book"


def begun(book):
    return [line.split()[0] for line in book.read_text().splitlines()] if book.exists() else []


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def evaluated(store, book, students, seconds=0.1, workers=0, batch=3, answers=None):
    """What a run does: has its students evaluated, a batch after the other."""
    inner = Counting(TOY, book=book, seconds=seconds)
    with StoredEvaluator(WorkerEvaluator(inner, workers) if workers else inner, store, run=str(os.getpid())) as evaluator:
        found = [e.accuracy for i in range(0, len(students), batch) for e in evaluator.evaluate(students[i : i + batch])]
    if answers is not None:
        answers.put(found)
    return found


@contextlib.contextmanager
def another(*arguments, **options):
    """A run in another process."""
    process = FORK.Process(target=evaluated, args=arguments, kwargs=options)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def expected(students):
    return [e.accuracy for e in FormulaEvaluator(TOY).evaluate(students)]


@pytest.mark.parametrize(("runs", "workers"), [(3, 0), (2, 1)])
def test_runs_that_share_a_store_train_each_student_once(tmp_path, book, runs, workers):
    """In any order, though each waits for what the other one holds."""
    store, answers = tmp_path / "s.sqlite", FORK.Queue()
    orders = [STUDENTS, STUDENTS[::-1], STUDENTS[3:] + STUDENTS[:3]][:runs]
    with contextlib.ExitStack() as others:
        for order in orders:
            others.enter_context(another(store, book, order, workers=workers, answers=answers))
        found = [answers.get(timeout=120) for _ in orders]
    assert sorted(found) == sorted(map(expected, orders))
    assert sorted(begun(book)) == sorted({s.architecture.fingerprint for s in STUDENTS})
    with sqlite3.connect(store) as file:
        assert file.execute("SELECT COUNT(*) FROM claims").fetchone() == (0,)


def test_threads_that_share_an_evaluator_train_each_student_once(tmp_path, book):
    with StoredEvaluator(Counting(TOY, book=book, seconds=0.05), tmp_path / "s.sqlite") as evaluator:
        threads = [threading.Thread(target=evaluator.evaluate, args=(order,)) for order in (STUDENTS, STUDENTS[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(begun(book)) == sorted(s.architecture.fingerprint for s in STUDENTS)


def test_the_students_of_a_run_that_is_killed_are_taken_over_at_once(tmp_path, book, monkeypatch):
    monkeypatch.setattr(claims, "SILENCE", 3600.0)
    store = tmp_path / "s.sqlite"
    with another(store, book, STUDENTS, seconds=3600, batch=len(STUDENTS)) as other:
        wait_for(lambda: begun(book))
        threading.Timer(0.3, os.kill, (other.pid, signal.SIGKILL)).start()
        assert evaluated(store, book, STUDENTS, 0.0) == expected(STUDENTS)
    assert len(begun(book)) == 1 + len(STUDENTS)  # the one that died was begun by both
    with sqlite3.connect(store) as file:
        assert file.execute("SELECT COUNT(*) FROM claims").fetchone() == (0,)


def test_the_students_of_a_run_that_is_stopped_are_taken_over_after_a_silence(tmp_path, book):
    store = tmp_path / "s.sqlite"
    with another(store, book, STUDENTS[:3], seconds=0.3) as other:
        wait_for(lambda: begun(book))
        os.kill(other.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert evaluated(store, book, STUDENTS, 0.0) == expected(STUDENTS)
        assert time.monotonic() - started > claims.SILENCE
        os.kill(other.pid, signal.SIGCONT)
        other.join(60)
        assert other.exitcode == 0
    assert len(EvaluationStore(store)) == len(STUDENTS)


def test_a_run_that_is_slow_is_waited_for_as_long_as_it_lives(tmp_path, book, monkeypatch):
    store = tmp_path / "s.sqlite"
    monkeypatch.setattr(claims, "SILENCE", 0.5)
    with another(store, book, STUDENTS[:1], seconds=2.0):
        wait_for(lambda: begun(book))
        assert evaluated(store, book, STUDENTS[:1]) == expected(STUDENTS[:1])
    assert len(begun(book)) == 1


def test_a_run_that_was_stopped_itself_does_not_take_others_for_dead(tmp_path, monkeypatch):
    """Nobody's silence is counted while nobody looked."""
    store = EvaluationStore(tmp_path / "s.sqlite")
    now = time.monotonic()
    monkeypatch.setattr(claims.time, "monotonic", lambda: now)
    theirs, ours = claims.Claims(store), claims.Claims(store)
    theirs._name = "another machine and thread"
    assert theirs._take(["a"]) == ["a"]
    assert ours._take(["a"]) == []
    now += 1000 * claims.SILENCE
    assert ours._take(["a"]) == []


class Unlucky(Counting):
    def stream(self, students):
        for index, _ in super().stream(students):
            yield index, Evaluation.failed(students[index].architecture, TOY, OUT_OF_MEMORY)


def test_who_waited_for_a_training_that_the_machine_failed_tries_itself(tmp_path, book):
    store = tmp_path / "s.sqlite"
    with StoredEvaluator(Unlucky(TOY, book=book, seconds=0.5), store) as unlucky:
        thread = threading.Thread(target=unlucky.evaluate, args=(STUDENTS[:1],))
        thread.start()
        wait_for(lambda: begun(book))
        assert evaluated(store, book, STUDENTS[:1], 0.0) == expected(STUDENTS[:1])
        thread.join(60)
    assert len(begun(book)) == 2


def test_nobody_waits_for_a_run_that_was_interrupted(tmp_path, book, monkeypatch):
    """Though its process lives on, and somebody holds the traceback, as notebooks do."""
    store = tmp_path / "s.sqlite"

    def interrupt(what, done, total):
        raise KeyboardInterrupt

    with StoredEvaluator(Counting(TOY, book=book, seconds=0.0), store) as evaluator:
        monkeypatch.setattr("n2n_gym.evaluators.contract.report", interrupt)
        with pytest.raises(KeyboardInterrupt) as held:
            evaluator.evaluate(STUDENTS)
        monkeypatch.undo()
        answers = FORK.Queue()
        with another(store, book, STUDENTS, answers=answers):
            assert answers.get(timeout=30) == expected(STUDENTS)
    assert held.tb is not None


def test_who_asks_again_in_the_midst_of_an_answer_does_not_wait_for_itself(tmp_path, book):
    with StoredEvaluator(Counting(TOY, book=book, seconds=0.0), tmp_path / "s.sqlite") as evaluator:
        answers = evaluator.stream(STUDENTS)
        next(answers)
        assert [e.accuracy for e in evaluator.evaluate(STUDENTS)] == expected(STUDENTS)
        assert len(list(answers)) == len(STUDENTS) - 1


def test_a_store_around_a_store_waits_for_nobody_who_waits_for_it(tmp_path, book):
    """As where one run asks for latencies, too."""
    store, done = tmp_path / "s.sqlite", []

    def timed(students):
        inner = StoredEvaluator(Counting(TOY, book=book, seconds=0.05), store)
        with StoredEvaluator(LatencyEvaluator(inner, device="cpu"), store) as evaluator:
            done.append(len(evaluator.evaluate(students)))

    threads = [threading.Thread(target=timed, args=(order,)) for order in (STUDENTS[:4], STUDENTS[3::-1])]
    threads.append(threading.Thread(target=evaluated, args=(store, book, STUDENTS[2:6])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [4, 4]
    assert sorted(begun(book)) == sorted(s.architecture.fingerprint for s in STUDENTS[:6])


def test_a_store_of_before_there_were_claims(tmp_path, book):
    store = tmp_path / "s.sqlite"
    EvaluationStore(store).put("a", TOY, "{}", Evaluation(0.5, 1.0, 1, 2, 3))
    with sqlite3.connect(store) as file:
        assert not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'claims'").fetchall()
        assert file.execute("PRAGMA user_version").fetchone() == (2,)
    assert evaluated(store, book, STUDENTS[:2]) == expected(STUDENTS[:2])
    assert EvaluationStore(store).get("a").accuracy == 0.5


def test_claims_that_are_damaged_hinder_nobody(tmp_path, book):
    store = tmp_path / "s.sqlite"
    evaluated(store, book, STUDENTS[:1])
    with sqlite3.connect(store) as file:
        for key, claimant, beat in ((b"\xff\xfe", b"\xff", "x"), ("a", "b", 1.5), ("c", f"{this_process()}", b"")):
            file.execute("INSERT INTO claims VALUES (?, ?, ?)", (key, claimant, beat))
    assert evaluated(store, book, STUDENTS[:2]) == expected(STUDENTS[:2])


def test_a_store_that_cannot_be_written_says_so_before_anything_is_trained(tmp_path, book, monkeypatch):
    store = tmp_path / "s.sqlite"
    evaluated(store, book, STUDENTS[:1])
    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: opened(f"file:{path}?mode=ro", uri=True, **options))
    assert evaluated(store, book, STUDENTS[:1]) == expected(STUDENTS[:1])
    with pytest.raises(InputError, match="s.sqlite cannot be written: attempt to write a readonly database; allow writing"):
        evaluated(store, book, STUDENTS[1:2])
    assert len(begun(book)) == 1


def test_processes_that_have_ended_are_told_from_those_that_live(monkeypatch):
    there, here = FORK.Pipe()

    def tell():
        there.send(this_process())
        time.sleep(3600)

    process = FORK.Process(target=tell)
    process.start()
    name = here.recv()
    assert name != this_process()
    assert not has_ended(name)
    assert not has_ended(this_process())
    os.kill(process.pid, signal.SIGSTOP)
    assert not has_ended(name)
    process.kill()
    wait_for(lambda: has_ended(name))  # before its parent has taken note of it
    process.join()
    assert has_ended(name)
    machine, number, start = this_process().split()
    assert has_ended(f"{machine} {number} {int(start) + 1}")  # another one has its number now
    assert not has_ended(f"elsewhere {process.pid} {start}")  # nobody can tell
    for nonsense in ("", "a b c", f"{machine} x y", f"{machine} -1 0", f"{machine} {number}", f"{machine} ../1 0"):
        assert not has_ended(nonsense)
