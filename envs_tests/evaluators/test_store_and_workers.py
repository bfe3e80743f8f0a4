import copy
import multiprocessing
import os
import pickle
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from envs_tests.conftest import TOY, FormulaEvaluator
from n2n_gym.architecture import apply_shrinkages
from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY, TIMEOUT, WORKER_DIED, Evaluation
from n2n_gym.evaluators import workers
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.evaluators.store import EvaluationStore, StoredEvaluator
from n2n_gym.evaluators.workers import WorkerEvaluator
from n2n_gym.rewards import paper_reward
from n2n_gym.student import Student
from n2n_gym.system.pool import RETRIES
from n2n_gym.system.progress import heard, report
from n2n_gym.system.worker import Worker
from n2n_gym.training.images import ImageData

pytestmark = pytest.mark.usefixtures("quick_workers")

STUDENTS = [Student(apply_shrinkages(TOY, actions)) for actions in ([0, 0, 9], [4, 4, 9], [9, 9, 0])]


class Named(FormulaEvaluator):
    name = "a"

    def context(self):
        return {"evaluator": self.name}


def test_a_stored_student_is_not_trained_again(tmp_path):
    inner = FormulaEvaluator(TOY)
    path = tmp_path / "deep" / "store.sqlite"
    with StoredEvaluator(inner, path, run="first") as first:
        known = first.evaluate(STUDENTS[:2])
    with StoredEvaluator(inner, path, run="second") as second:
        evaluations = second.evaluate(STUDENTS)
        assert len(second.store) == 3
    assert inner.calls == [[s.architecture.fingerprint for s in STUDENTS[:2]], [STUDENTS[2].architecture.fingerprint]]
    assert evaluations[:2] == known
    assert [e.run for e in evaluations] == ["first", "first", "second"]
    stored = list(EvaluationStore(path))
    assert {architecture for architecture, _, _ in stored} == {student.architecture for student in STUDENTS}


def test_what_an_evaluation_depends_on_is_part_of_the_key(tmp_path):
    inner, other = Named(TOY), Named(TOY)
    other.name = "b"
    for evaluator in (inner, other, inner):
        with StoredEvaluator(evaluator, tmp_path / "s.sqlite") as stored:
            stored.evaluate(STUDENTS[:1])
    assert (len(inner.calls), len(other.calls)) == (1, 1)


def test_the_distillation_key_names_everything(toy_problem, monkeypatch):
    evaluator = DistillationEvaluator(toy_problem, device="cpu")
    context = evaluator.context()
    assert set(context) == {"evaluator", "teacher", "dataset", "train_size", "recipe", "seed", "device", "bf16", "versions"}
    assert context["recipe"]["epochs"] == 5
    assert DistillationEvaluator(toy_problem, seed=1, device="cpu").context() != context


class Failing(FormulaEvaluator):
    reason = OUT_OF_MEMORY

    def stream(self, students):
        self.calls.append([])
        for i, student in enumerate(students):
            yield i, Evaluation.failed(student.architecture, TOY, self.reason)


@pytest.mark.parametrize(("reason", "tries"), [(OUT_OF_MEMORY, 2), (TIMEOUT, 2), (WORKER_DIED, 2), ("diverged", 1)])
def test_failures_of_the_machine_are_not_remembered(tmp_path, reason, tries):
    inner = Failing(TOY)
    inner.reason = reason
    for _ in range(2):
        with StoredEvaluator(inner, tmp_path / "s.sqlite") as stored:
            assert stored.evaluate(STUDENTS[:1])[0].reason == reason
    assert len(inner.calls) == tries


class Interrupted(FormulaEvaluator):
    def stream(self, students) -> Iterator[tuple[int, Evaluation]]:
        yield from list(super().stream(students))[:1]
        raise KeyboardInterrupt


def test_what_was_done_before_an_interruption_is_kept(tmp_path):
    with StoredEvaluator(Interrupted(TOY), tmp_path / "s.sqlite") as stored, pytest.raises(KeyboardInterrupt):
        stored.evaluate(STUDENTS)
    assert len(EvaluationStore(tmp_path / "s.sqlite")) == 1


def test_a_file_that_is_no_store(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_text("this is not a database, and it is long enough to be looked at " * 20)
    with pytest.raises(InputError, match="is not a store of evaluations"):
        EvaluationStore(path)


def test_two_processes_may_write_one_store(tmp_path):
    first, second = EvaluationStore(tmp_path / "s.sqlite"), EvaluationStore(tmp_path / "s.sqlite")
    evaluation = Evaluation(0.5, 1.0, 1, 2, 3)
    first.put("a", TOY, "{}", evaluation)
    second.put("a", TOY, "{}", Evaluation(0.6, 1.0, 1, 2, 3))
    second.put("b", TOY, "{}", evaluation)
    assert first.get("a") == evaluation
    assert len(first) == 2
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def _open(folder, barrier):
    for attempt in range(20):
        barrier.wait()
        EvaluationStore(folder / f"{attempt}.sqlite").close()


def test_processes_that_make_one_store_at_the_same_time_all_get_it(tmp_path):
    context = multiprocessing.get_context("fork")  # eight that start at once, twenty times
    barrier = context.Barrier(8, timeout=60)
    made = [context.Process(target=_open, args=(tmp_path, barrier)) for _ in range(8)]
    for process in made:
        process.start()
    for process in made:
        process.join()
    assert [process.exitcode for process in made] == [0] * 8


def test_threads_may_share_a_store(tmp_path):
    store = EvaluationStore(tmp_path / "s.sqlite")

    def write(thread):
        for i in range(20):
            store.put(f"{thread} {i}", TOY, "{}", Evaluation(i / 20, 1.0, 1, 2, 3))
            assert store.get(f"{thread} {i}").accuracy == i / 20
        return len(list(store))

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(write, range(4))) >= 20
    assert len(store) == 80


def test_all_of_a_large_store_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("n2n_gym.evaluators.store.PAGE", 3)
    store = EvaluationStore(tmp_path / "s.sqlite")
    for i in range(9):
        store.put(f"{i}", TOY, "{}", Evaluation(i / 10, 1.0, 1, 2, 3))
    assert [evaluation.accuracy for *_, evaluation in store] == [i / 10 for i in range(9)]


def test_a_store_opens_again_after_it_was_closed_or_copied(tmp_path):
    store = EvaluationStore(tmp_path / "s.sqlite")
    copies = [copy.deepcopy(store), pickle.loads(pickle.dumps(store))]
    store.put("a", TOY, "{}", Evaluation(0.5, 1.0, 1, 2, 3))
    store.close()
    assert [len(each) for each in (store, *copies)] == [1, 1, 1]


def _evaluates_and_closes(evaluator, monkeypatch):
    monkeypatch.undo()  # what its parent's workers are forked from is no child of its own
    assert [e.accuracy for e in evaluator.evaluate(STUDENTS)] == [0.5, 0.5, 0.5]
    evaluator.close()


def test_a_forked_child_takes_nothing_from_its_parent(tmp_path, monkeypatch):
    """Neither the store's connection, which is closed and opened again on either side, nor the workers."""
    with StoredEvaluator(WorkerEvaluator(Sleepy(TOY), 1), tmp_path / "s.sqlite") as evaluator:
        evaluator.evaluate(STUDENTS[:1])
        workers = evaluator.inner._pool.processes
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_evaluates_and_closes, args=(evaluator, monkeypatch))
        child.start()
        assert evaluator.store._connection is None
        child.join(60)
        child.kill()
        assert child.exitcode == 0
        assert len(evaluator.store) == 3
        evaluator.inner.evaluate(STUDENTS[:1])
        assert evaluator.inner._pool.processes == workers


def test_a_store_that_stays_locked(tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("CREATE TABLE something (x)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr("n2n_gym.evaluators.store.PATIENCE", 0.1)
        with pytest.raises(InputError, match="stays locked by another program"):
            EvaluationStore(path)


def test_students_of_another_run_keep_its_name(tmp_path):
    """A store around a store, as where latency is measured: what the inner one knew was not trained here."""
    inner = FormulaEvaluator(TOY)
    with StoredEvaluator(inner, tmp_path / "inner.sqlite", run="first") as first:
        first.evaluate(STUDENTS[:1])
    with StoredEvaluator(
        StoredEvaluator(inner, tmp_path / "inner.sqlite", run="second"), tmp_path / "outer.sqlite", run="second"
    ) as second:
        assert [e.run for e in second.evaluate(STUDENTS[:2])] == ["first", "second"]


class Sleepy(FormulaEvaluator):
    """Takes a moment for each student, and thinks the same of all."""

    def stream(self, students):
        for i, student in enumerate(students):
            time.sleep(0.05)
            yield i, Evaluation(0.5, 0.9, student.architecture.parameters, TOY.parameters, student.architecture.macs)


class Deadly(Sleepy):
    """Kills the process that evaluates the deadly student."""

    def stream(self, students):
        if STUDENTS[0] in students:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().stream(students)


def test_a_worker_that_dies_costs_its_own_student_alone():
    with WorkerEvaluator(Deadly(TOY), 2) as evaluator:
        evaluations = evaluator.evaluate(STUDENTS)
        assert [e.reason for e in evaluations] == [WORKER_DIED, "", ""]
        assert evaluator.evaluate(STUDENTS[1:])[0].accuracy == 0.5


class Telling(Sleepy):
    """Tells how far it is, as trainings do, and that nobody reads so fast."""

    def stream(self, students):
        workers.PAUSE = 0.0
        report("epoch 1, step", 7, 30)
        return super().stream(students)


def test_workers_tell_how_far_their_trainings_are():
    told = []
    with WorkerEvaluator(Telling(TOY), 1) as evaluator, heard(lambda *what: told.append(what)):
        evaluator.evaluate(STUDENTS[:2])
    assert [each for each in told if "epoch" in each[0]] == [
        ("training 1 of 2, epoch 1, step", 7, 30),
        ("training 2 of 2, epoch 1, step", 7, 30),
    ]


def test_workers_share_the_teachers_logits_through_a_folder(toy_problem, tmp_path, monkeypatch):
    plain = DistillationEvaluator(toy_problem, device="cpu")
    first, second = plain.sharing(tmp_path), pickle.loads(pickle.dumps(plain.sharing(tmp_path)))
    assert first == plain
    assert first.context() == plain.context()
    logits = first.teacher_logits.of(0, augment=False)
    assert second.data is not first.data
    monkeypatch.setattr(ImageData, "batch", lambda *_: pytest.fail("they were computed again"))
    assert second.teacher_logits.of(0, augment=False).equal(logits)
    evaluator = WorkerEvaluator(plain, 1)
    copied, folder = pickle.loads(pickle.dumps(evaluator)), evaluator._folder.path
    assert copied._folder.path != folder
    assert folder.exists()
    del evaluator
    assert not folder.exists()


class Crowded(Sleepy):
    """Has too little memory for the first student as long as it has not been tried so often."""

    def __init__(self, book, tries):
        super().__init__(TOY)
        self.book, self.tries = book, tries

    def stream(self, students):
        for i, evaluation in super().stream(students):
            if students[i] == STUDENTS[0]:
                with self.book.open("a") as book:
                    book.write("x")
                if len(self.book.read_text()) < self.tries:
                    evaluation = Evaluation.failed(students[i].architecture, TOY, OUT_OF_MEMORY)
            yield i, evaluation


@pytest.mark.parametrize(("tries", "reason"), [(2, ""), (100, OUT_OF_MEMORY)])
def test_a_student_for_which_a_worker_lacks_memory_is_tried_again_by_another_one(tmp_path, tries, reason):
    with WorkerEvaluator(Crowded(tmp_path / "book", tries), 1) as evaluator:
        assert [e.reason for e in evaluator.evaluate(STUDENTS)] == [reason, "", ""]
    assert len((tmp_path / "book").read_text()) == min(tries, 1 + RETRIES)


def test_who_waits_is_no_suspect_when_a_worker_dies(monkeypatch):
    """Of many students only those that were being trained are tried again by themselves."""
    started = []
    start = Worker.started
    monkeypatch.setattr(Worker, "started", lambda *arguments: started.append(1) or start(*arguments))
    many = [Student(apply_shrinkages(TOY, [k, p, f])) for k in (0, 4, 9) for p in (0, 9) for f in range(10)]
    many = [student for student in dict.fromkeys([STUDENTS[0], *many]) if student.architecture.verdict(TOY).feasible]
    with WorkerEvaluator(Deadly(TOY), 2) as evaluator:
        answers = dict(evaluator.stream(many))
    assert {many[i] for i, e in answers.items() if e.reason} == {STUDENTS[0]}
    assert len(answers) == len(many) > 5
    assert len(started) <= 2 + 1 + RETRIES  # at first, and one for each death but the last


def test_workers_compute_as_their_parent(toy_problem):
    """Arithmetic is measured once, not by every worker for itself."""
    evaluator = DistillationEvaluator(toy_problem, device="cpu")
    assert "bf16" not in pickle.loads(pickle.dumps(evaluator)).__dict__
    evaluator.__dict__["bf16"] = True
    assert pickle.loads(pickle.dumps(evaluator)).__dict__["bf16"] is True


def test_a_training_that_runs_out_of_memory_or_time_is_an_evaluation(toy_problem, monkeypatch):
    evaluator = DistillationEvaluator(toy_problem, device="cpu", timeout=0.0)
    [evaluation] = evaluator.evaluate(STUDENTS[:1])
    assert (evaluation.reason, paper_reward(evaluation)) == (TIMEOUT, -1.0)

    def out_of_memory(*_args, **_kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("n2n_gym.evaluators.distillation.training", out_of_memory)
    [evaluation] = DistillationEvaluator(toy_problem, device="cpu").evaluate(STUDENTS[:1])
    assert (evaluation.reason, paper_reward(evaluation)) == (OUT_OF_MEMORY, -1.0)


def test_a_fault_of_the_program_is_not_hidden(toy_problem, monkeypatch):
    def bug(*_args, **_kwargs):
        raise RuntimeError("shape mismatch")

    evaluator = DistillationEvaluator(toy_problem, device="cpu")
    evaluator.context()
    monkeypatch.setattr("n2n_gym.evaluators.distillation.training", bug)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        evaluator.evaluate(STUDENTS[:1])
