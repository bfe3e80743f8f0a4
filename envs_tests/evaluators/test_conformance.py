"""One class runs over every evaluator: the contract of `Evaluator`."""

import copy
import pickle
from contextlib import ExitStack

import pytest

from n2n_gym.architecture import REMOVE, apply_removals, apply_shrinkages, remove
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.layers import Verdict
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.tables.build import build_table
from n2n_gym.tables.evaluator import TableEvaluator


@pytest.fixture(scope="module")
def module_problem(tmp_path_factory):
    """One teacher for all of this file's tests: they do not change it."""
    import numpy as np

    from envs_tests.conftest import TOY, toy_arrays
    from n2n_gym.system.files import write_json

    folder = tmp_path_factory.mktemp("problem")
    np.savez(folder / "toy.npz", **toy_arrays(images=600, brightness=25))  # hard enough to tell students apart
    write_json(folder / "toy.json", TOY.to_json())
    return Problem(str(folder / "toy.json"), str(folder / "toy.npz")), folder / "home"


@pytest.fixture(scope="module")
def table(module_problem):
    """Everything that stage 2 makes of the teacher."""
    problem, home = module_problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("N2N_HOME", str(home))
        return build_table(problem, "shrink", home / "table.npz", seeds=[0, 1], workers=0)


@pytest.fixture(scope="module")
def ray_cluster():
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False)
    yield
    ray.shutdown()


KINDS = ["in process", "two workers", "stored", "stored, two workers", "Ray", "timed", "table, a seed", "table, mean"]


@pytest.fixture(scope="module")
def trainers(module_problem):
    """Evaluators without a store by their workers: processes that were started stay for the next test."""
    made = {}
    with ExitStack() as stack:

        def trainer(workers):
            if workers not in made:
                made[workers] = stack.enter_context(make_evaluator(module_problem[0], device="cpu", workers=workers))
            return made[workers]

        yield trainer


@pytest.fixture(params=KINDS)
def evaluator(request, module_problem, monkeypatch, tmp_path):
    problem, home = module_problem
    monkeypatch.setenv("N2N_HOME", str(home))
    if "table" in request.param:
        yield TableEvaluator(request.getfixturevalue("table"), 1 if "seed" in request.param else "mean")
        return
    workers = {"two workers": 2, "stored, two workers": 2, "Ray": "ray"}.get(request.param, 0)
    if workers == "ray":
        request.getfixturevalue("ray_cluster")
    if request.param == "timed":
        with make_evaluator(problem, device="cpu", latency_batch_size=1) as made:
            yield made
        return
    trainer = request.getfixturevalue("trainers")(workers)
    yield StoredEvaluator(trainer, tmp_path / "store.sqlite") if "stored" in request.param else trainer


@pytest.fixture
def students(module_problem, request):
    """Distinct feasible students, a degenerate one, and one that comes twice."""
    teacher = module_problem[0].architecture
    if "evaluator" in request.fixturenames and isinstance(request.getfixturevalue("evaluator"), TableEvaluator):
        first, *others = [apply_shrinkages(teacher, [k, p, 0]) for k, p in ((9, 9), (0, 0), (5, 9), (9, 0))]
        return [Student(each) for each in (first, teacher, others[0], others[1], first, others[2])]
    small = [apply_shrinkages(teacher, actions) for actions in ([9, 9, 0], [0, 0, 0], [5, 9, 4])]
    bare = apply_removals(teacher, [0, REMOVE, 0, 0])
    made = (small[0], teacher, remove(small[1], {1}), small[2], small[0], apply_shrinkages(bare, [9, 9, 0]))
    return [Student(each) for each in made]


class TestContract:
    def test_answers_in_order_with_the_students_own_numbers(self, evaluator, students):
        evaluations = evaluator.evaluate(students)
        assert [e.parameters for e in evaluations] == [s.architecture.parameters for s in students]
        assert [e.macs for e in evaluations] == [s.architecture.macs for s in students]
        assert {e.teacher_parameters for e in evaluations} == {evaluator.teacher.parameters}

    def test_degenerate_students_have_the_verdict_as_reason(self, evaluator, students):
        evaluations = evaluator.evaluate(students)
        assert [e.reason for e in evaluations] == ["", Verdict.NOT_SMALLER, "", "", "", ""]
        assert evaluations[1].accuracy == 0

    def test_equal_students_get_equal_evaluations(self, evaluator, students):
        evaluations = evaluator.evaluate(students)
        assert evaluations[0] == evaluations[4]
        assert len({e.accuracy for e in evaluations if not e.reason}) > 1

    def test_order_and_company_change_nothing(self, evaluator, students):
        together = [e.accuracy for e in evaluator.evaluate(students)]
        alone = [evaluator.evaluate([student])[0].accuracy for student in reversed(students)]
        assert together == alone[::-1]
        assert len(set(together)) > 2

    def test_nothing_in_nothing_out(self, evaluator):
        assert evaluator.evaluate([]) == []

    def test_context_is_stable(self, evaluator):
        assert evaluator.context() == evaluator.context()

    def test_evaluates_again_after_close(self, evaluator, students):
        before = [e.accuracy for e in evaluator.evaluate(students[:1])]
        evaluator.close()
        assert [e.accuracy for e in evaluator.evaluate(students[:1])] == before

    def test_copies_are_evaluators_of_their_own(self, evaluator, students):
        """Taken before the first student and after it; neither a copy nor the original minds what the other does."""
        fresh = pickle.dumps(evaluator)
        before = [e.accuracy for e in evaluator.evaluate(students[:2])]
        copied, pickled = copy.deepcopy(evaluator), pickle.dumps(evaluator)
        with pickle.loads(pickled) as second:
            assert second.context() == evaluator.context()
            assert [e.accuracy for e in second.evaluate(students[:2])] == before
        assert [e.accuracy for e in evaluator.evaluate(students[:2])] == before
        evaluator.close()
        with copied, pickle.loads(fresh) as third:
            assert [e.accuracy for e in copied.evaluate(students[:2])] == before
            assert [e.accuracy for e in third.evaluate(students[:2])] == before


def test_all_evaluators_agree_to_the_bit(module_problem, monkeypatch, tmp_path, students):
    problem, home = module_problem
    monkeypatch.setenv("N2N_HOME", str(home))
    answers = []
    for workers, store in ((0, None), (1, None), (2, tmp_path / "s.sqlite"), (0, tmp_path / "s.sqlite")):
        with make_evaluator(problem, device="cpu", workers=workers, store=store) as evaluator:
            answers.append([(e.accuracy, e.reason) for e in evaluator.evaluate(students)])
    assert answers[0] == answers[1] == answers[2] == answers[3]


def test_another_seed_is_another_training(module_problem, monkeypatch, students):
    problem, home = module_problem
    monkeypatch.setenv("N2N_HOME", str(home))
    answers = {}
    for seed in (0, 1):
        with make_evaluator(problem, device="cpu", seed=seed) as evaluator:
            answers[seed] = [e.accuracy for e in evaluator.evaluate(students)]
    assert answers[0] != answers[1]


def test_evaluation_arithmetic():
    evaluation = Evaluation(0.9, 0.96, 50, 200, 7)
    assert (evaluation.compression, evaluation.relative_accuracy) == pytest.approx((0.75, 0.9375))
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
