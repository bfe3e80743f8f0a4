"""The contract of evaluators as tests."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.layers import Verdict
from n2n_gym.student import Student


class EvaluatorSuite:
    """What `Evaluator` promises. A subclass gives two pytest fixtures.

    `evaluator` is a fresh evaluator. `students` are six of its teacher's: a feasible one, the teacher itself, two other
    feasible ones, the first one again, and one more feasible one, so different that they do not all get the same accuracy.
    """

    def test_answers_in_order_with_the_students_own_numbers(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        evaluations = evaluator.evaluate(students)
        assert [e.parameters for e in evaluations] == [s.architecture.parameters for s in students]
        assert [e.macs for e in evaluations] == [s.architecture.macs for s in students]
        assert {e.teacher_parameters for e in evaluations} == {evaluator.teacher.parameters}

    def test_degenerate_students_have_the_verdict_as_reason(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        evaluations = evaluator.evaluate(students)
        assert [e.reason for e in evaluations] == ["", str(Verdict.NOT_SMALLER), "", "", "", ""]
        assert {type(e.reason) for e in evaluations} == {str}
        assert evaluations[1].accuracy == 0

    def test_equal_students_get_equal_evaluations(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        evaluations = evaluator.evaluate(students)
        assert evaluations[0] == evaluations[4]
        assert len({e.accuracy for e in evaluations if not e.reason}) > 1

    def test_order_and_company_change_nothing(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        together = [e.accuracy for e in evaluator.evaluate(students)]
        alone = [evaluator.evaluate([student])[0].accuracy for student in reversed(students)]
        assert together == alone[::-1]
        assert len(set(together)) > 2

    def test_nothing_in_nothing_out(self, evaluator: Evaluator) -> None:
        assert evaluator.evaluate([]) == []

    def test_context_is_stable(self, evaluator: Evaluator) -> None:
        assert evaluator.context() == evaluator.context()

    def test_evaluates_again_after_close(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        before = [e.accuracy for e in evaluator.evaluate(students[:1])]
        evaluator.close()
        assert [e.accuracy for e in evaluator.evaluate(students[:1])] == before

    def test_copies_are_evaluators_of_their_own(self, evaluator: Evaluator, students: Sequence[Student]) -> None:
        """Taken before the first student and after it; neither a copy nor the original minds what the other does."""
        fresh = pickle.dumps(evaluator)
        before = [e.accuracy for e in evaluator.evaluate(students[:2])]
        copied, pickled = copy.deepcopy(evaluator), pickle.dumps(evaluator)
        with pickle.loads(pickled) as second:  # noqa: S301  of the line above
            assert second.context() == evaluator.context()
            assert [e.accuracy for e in second.evaluate(students[:2])] == before
        assert [e.accuracy for e in evaluator.evaluate(students[:2])] == before
        evaluator.close()
        with copied, pickle.loads(fresh) as third:  # noqa: S301
            assert [e.accuracy for e in copied.evaluate(students[:2])] == before
            assert [e.accuracy for e in third.evaluate(students[:2])] == before
