"""One class runs over every evaluator: the contract of `Evaluator`."""

from contextlib import ExitStack

import pytest
import torch

from envs_tests.conftest import FormulaEvaluator
from n2n_gym.architecture import FACTORS, REMOVE, Architecture, apply_shrinkages
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.store import EvaluationStore, StoredEvaluator
from n2n_gym.layers import conv, linear
from n2n_gym.problem import Problem
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.student import Student
from n2n_gym.tables import Table
from n2n_gym.tables.build import build_table
from n2n_gym.tables.evaluator import TableEvaluator
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.testing.evaluator import EvaluatorSuite
from n2n_gym.training.recipes import SEARCH_RECIPES

pytestmark = pytest.mark.usefixtures("quick_workers")


@pytest.fixture(scope="module")
def module_problem(tmp_path_factory):
    """One teacher for all of this file's tests: they do not change it."""
    import numpy as np

    from envs_tests.conftest import TOY, toy_arrays
    from n2n_gym.system.files import write_json

    folder = tmp_path_factory.mktemp("problem")
    np.savez(folder / "toy.npz", **toy_arrays(images=240, brightness=16))  # hard enough to tell students apart
    write_json(folder / "toy.json", TOY.to_json())
    return Problem(str(folder / "toy.json"), str(folder / "toy.npz")), folder / "home"


@pytest.fixture(scope="module")
def table(toy_tables):
    """Everything that stage 2 makes of the teacher."""
    return Table.load(str(toy_tables / "shrink.npz"))


@pytest.fixture(scope="module")
def ray_cluster():
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=1, include_dashboard=False)
    yield
    ray.shutdown()


KINDS = [
    "in process",
    "inheriting",
    "two workers",
    "stored",
    "stored, two workers",
    "Ray",
    "timed",
    "table, a seed",
    "table, mean",
]


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
    if request.param == "inheriting":
        with make_evaluator(problem, device="cpu", recipe="inherit") as made:
            yield made
        return
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
    whole, bare = Student(teacher), Student(teacher).removed([0, REMOVE, 0, 0])
    first = whole.shrunk([9, 9, 0])
    return [first, whole, bare.shrunk([0, 0, 0]), whole.shrunk([5, 9, 4]), first, bare.shrunk([9, 9, 0])]


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


def test_a_student_that_inherits_knows_more_at_the_start(module_problem, monkeypatch, tmp_path):
    problem, home = module_problem
    monkeypatch.setenv("N2N_HOME", str(home))
    monkeypatch.setitem(SEARCH_RECIPES, "inherit", {"epochs": 1, "learning_rate": 1e-9, "inherits": True})
    monkeypatch.setitem(SEARCH_RECIPES, "fresh", {"epochs": 1, "learning_rate": 1e-9})
    stage = ShrinkStage(Student(problem.architecture))
    whole = [len(FACTORS) - 1] * stage.decisions
    whole[-1] -= 1  # one filter in ten less
    accuracy = {}
    for recipe in ("inherit", "fresh"):
        with make_evaluator(problem, device="cpu", recipe=recipe, store=tmp_path / "store.sqlite") as evaluator:
            [found] = evaluator.evaluate([stage.student(whole)])
            accuracy[recipe] = found.accuracy
            assert evaluator.inherits is (recipe == "inherit")
    teacher = ready_teacher(problem, device=torch.device("cpu"))
    assert accuracy["inherit"] > teacher.validation_accuracy - 0.15
    assert accuracy["fresh"] < accuracy["inherit"] - 0.2
    assert len(EvaluationStore(tmp_path / "store.sqlite")) == 2
    with pytest.raises(InputError, match="a table has one row for equal students"):
        build_table(problem, "shrink", tmp_path / "table.npz", recipe="inherit")
