"""Who says how good a student is: one contract, and evaluators by name."""

from n2n_gym.evaluators.contract import Evaluator
from n2n_gym.evaluators.registry import EVALUATORS, Maker, Order, check_workers, make_evaluator
from n2n_gym.evaluators.settings import EvaluationSettings

__all__ = ["EVALUATORS", "EvaluationSettings", "Evaluator", "Maker", "Order", "check_workers", "make_evaluator"]
