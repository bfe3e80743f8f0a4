import pytest

from envs_tests.conftest import TOY, FormulaEvaluator
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.latency import LatencyEvaluator, measured_latency
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.student import Student

SMALL = Architecture.chain([conv(2), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
WIDE = Architecture.chain([conv(200), conv(200), conv(10), linear(3)], (1, 64, 64), 3)


def test_a_much_larger_network_takes_longer():
    assert 0 < measured_latency(SMALL) < measured_latency(WIDE)
    assert measured_latency(SMALL) < measured_latency(SMALL, batch_size=5000)


def test_one_architecture_is_timed_once_for_all_who_share_a_store(tmp_path):
    def evaluate(batch_size):
        store = tmp_path / "evaluations.sqlite"
        formula = FormulaEvaluator(TOY)
        with StoredEvaluator(LatencyEvaluator(StoredEvaluator(formula, store), batch_size=batch_size), store) as evaluator:
            evaluations = evaluator.evaluate([Student(SMALL), Student(SMALL)])
        assert evaluations[0] == evaluations[1]
        return evaluations[0], formula.calls

    first, trained = evaluate(batch_size=1)
    assert first.latency_ms > 0
    assert len(trained) == 1
    assert evaluate(batch_size=1) == (first, [])
    other, trained = evaluate(batch_size=64)
    assert trained == []  # only the clock ran again
    assert other.accuracy == first.accuracy
    assert other.latency_ms != first.latency_ms


def test_by_name_only_when_asked_for(toy_problem):
    with make_evaluator(toy_problem, device="cpu") as evaluator:
        assert evaluator.evaluate([Student(SMALL)])[0].latency_ms is None
    with make_evaluator(toy_problem, device="cpu", latency_batch_size=2) as evaluator:
        [evaluation] = evaluator.evaluate([Student(SMALL)])
        assert evaluation.latency_ms > 0
        assert evaluation.class_accuracy != ()
    with pytest.raises(InputError, match="at least 1"):
        make_evaluator(toy_problem, latency_batch_size=0)
