"""When a final training starts again at a lower learning rate."""

import pytest
import torch

from agents.search import student
from agents.search.student import TRIES, FinalTraining, Training
from n2n_gym.teachers.saved import ready_teacher
from n2n_gym.training.images import Score
from n2n_gym.training.loop import Outcome
from n2n_gym.training.recipes import final_recipe

CONSTANT, RIGHT = (0.0, 1.0, 0.0), (0.0, 1.0, 0.5)


@pytest.fixture
def tries(toy_problem, tmp_path, monkeypatch, caplog):
    """The learning rates at which a student is trained, as shares of the first, and what is said of it."""
    teacher = ready_teacher(toy_problem, device=torch.device("cpu"))

    def of(scores, classes=(0, 1, 2)):
        recipe, rates, left = final_recipe(toy_problem.data), [], list(scores)

        def training(_network, _data, recipe, **_settings):
            rates.append(recipe.learning_rate)
            return Outcome(Score(0.5, left.pop(0)), 1)
            yield

        monkeypatch.setattr(student, "training", training)
        final = FinalTraining(toy_problem, teacher, recipe, device="cpu")
        final._data.validation_labels = torch.tensor(classes)
        final.run([Training(toy_problem.architecture, tmp_path / "student", 0)])
        return [recipe.learning_rate / rate for rate in rates], [record.message for record in caplog.records]

    return of


def test_a_network_that_gives_one_answer_is_trained_more_gently(tries):
    assert tries([CONSTANT, CONSTANT, RIGHT]) == ([1, 4, 16], [])


def test_one_that_always_does_is_kept_and_said(tries):
    rates, [said] = tries([CONSTANT] * TRIES)
    assert rates == [1, 4, 16, 64]
    assert "student gives one answer for all images, at whichever of 4 learning rates" in said


@pytest.mark.parametrize(("classes", "scores"), [((1,), [CONSTANT]), ((1, 1, 2), [CONSTANT, RIGHT]), ((0, 1), [CONSTANT] * 4)])
def test_only_classes_with_validation_images_tell(tries, classes, scores):
    assert len(tries(scores, classes)[0]) == len(scores)
