"""One class runs over every evaluator: the contract of `Evaluator`."""

from contextlib import ExitStack

import pytest

from envs_tests.conftest import FormulaEvaluator
from n2n_gym.architecture import REMOVE, Architecture, apply_removals, apply_shrinkages, remove
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.layers import conv, linear
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage
from n2n_gym.student import Student
from n2n_gym.tables.build import build_table
from n2n_gym.tables.evaluator import TableEvaluator
from n2n_gym.testing.evaluator import EvaluatorSuite


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
    ray.init("local", num_cpus=1, include_dashboard=False)
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


class TestContract(EvaluatorSuite):
    """Of every evaluator of the package."""


class Inheriting(FormulaEvaluator):
    """One whose students start from their teacher's weights."""

    @property
    def inherits(self):
        return True


def test_origins_matter_to_an_evaluator_whose_students_inherit(tmp_path):
    teacher = Architecture.chain([conv(4), conv(4), conv(4), linear(3)], (4, 8, 8), 3)
    stage = RemovalStage(Student(teacher))
    twins = [stage.student(actions) for actions in ([0, 1, 0, 0], [0, 0, 1, 0])]
    assert twins[0].architecture == twins[1].architecture
    for kind, trained in ((FormulaEvaluator, 1), (Inheriting, 2)):
        inner = kind(teacher)
        with StoredEvaluator(inner, tmp_path / f"{trained}.sqlite") as evaluator:
            evaluator.evaluate([*twins, twins[0]])
            assert [len(call) for call in inner.calls] == [trained]
            assert len(evaluator.store) == trained


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
