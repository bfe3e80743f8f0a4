"""What an evaluator, a kind of layer or an agent must hold: suites to subclass in your own tests, run by pytest.

from n2n_gym.testing import EvaluatorSuite

class TestMine(EvaluatorSuite):
@pytest.fixture
def evaluator(self):
return MyEvaluator(...)
"""

from n2n_gym.testing.agent import AgentSuite
from n2n_gym.testing.evaluator import EvaluatorSuite

__all__ = ["AgentSuite", "EvaluatorSuite"]
