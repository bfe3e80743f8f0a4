import numpy as np
import pytest

from agents.algorithms.surrogate import Forest, GaussianProcess, Prospects, choose

FAR = np.array([6.0] * 6 + [0.0])

EACH = pytest.mark.parametrize("kind", [GaussianProcess, Forest])


def prospects(worth, base=0.0, needed=0.0):
    return Prospects(worth, np.full(len(worth), base), np.full(len(worth), needed))


def problem(count, seed=0):
    """Students whose accuracy rises with the first feature and falls with the sixth; nothing is believed of it before."""
    rng = np.random.default_rng(seed)
    features = np.hstack([rng.normal(size=(count, 6)), np.zeros((count, 1))])
    return features, 0.95 / (1 + np.exp(-1.5 * features[:, 0] + features[:, 5]))


def fitted(kind, count=60):
    features, accuracies = problem(count)
    return kind(3).fit(features, accuracies.tolist(), np.random.default_rng(0))


@EACH
def test_it_predicts_accuracies_it_has_not_seen(kind):
    features, accuracies = problem(200, seed=1)
    model = fitted(kind)
    assert np.corrcoef(model.accuracies(features, 0.0), accuracies)[0, 1] > 0.85
    assert (model.accuracies(features, 1.0) > model.accuracies(features, 0.0)).all()


def test_an_unlikely_student_is_less_certain():
    model = fitted(GaussianProcess)
    features, _ = problem(60)
    assert model.predict(features)[1].mean() < model.predict(features + FAR)[1].mean() / 3


@EACH
def test_no_accuracy_lies_beyond_what_can_be_reached(kind):
    features, accuracies = problem(30)
    model = kind(3).fit(features, [*(1.2 * accuracies[:-1]), 1.3], np.random.default_rng(0))
    ranges = model.accuracies(features, np.array([[-9.0], [9.0]]))
    assert (ranges > 0).all()
    assert (ranges <= 1.05 * 1.3).all()


@EACH
def test_expected_improvement_is_what_drawing_says(kind):
    features, _ = problem(40, seed=2)
    model = fitted(kind, 20)
    worth = np.linspace(0.3, 1.0, 40)
    accuracies = model.accuracies(features, np.random.default_rng(0).normal(size=(4_000, 1)))
    expected = np.maximum(worth * accuracies - 0.5, 0).mean(0)
    assert model.improvement(features, prospects(worth), 0.5) == pytest.approx(expected, abs=0.01)
    smaller = np.where(accuracies >= 0.4, worth - 0.5, 0).clip(0).mean(0)  # the reward is compression, within a limit
    assert 0.2 < (accuracies >= 0.4).mean() < 0.8
    assert model.improvement(features, Prospects(worth, worth, np.full(40, 0.4)), 0.5) == pytest.approx(smaller, abs=0.01)
    assert (model.kept(features, prospects(worth)) == 1).all()


def test_students_that_are_chosen_together_differ():
    places = np.zeros((4, 7))
    places[range(4), range(1, 5)] = 4.0  # far from all that is known, in directions of their own
    features = np.repeat(places, 5, 0) + np.tile(np.linspace(0, 1e-3, 5), 4)[:, None] * (FAR > 0)
    model = fitted(GaussianProcess, 20)
    alone = model.improvement(features, prospects(np.ones(20)), best=0.8)
    together = choose(model, features, prospects(np.ones(20)), 0.8, 4)
    assert together[0] == alone.argmax()
    assert len({index // 5 for index in np.argsort(-alone)[:4]}) == 1
    assert len({index // 5 for index in together}) >= 3
    assert len(choose(model, features[:2], prospects(np.ones(2)), 0.8, 4)) == 2


def test_many_students_are_predicted_from_all(monkeypatch):
    monkeypatch.setattr("agents.algorithms.surrogate.FITTED_ON", 20)
    features, accuracies = problem(60)
    model = fitted(GaussianProcess)
    assert np.abs(model.accuracies(features, 0.0) - accuracies).mean() < 0.03


@EACH
def test_equal_accuracies_are_no_trouble(kind):
    features, _ = problem(10)
    model = kind(3).fit(features, [0.0] * 10, np.random.default_rng(0))
    assert np.isfinite(model.improvement(features, prospects(np.ones(10)), 0.0)).all()
