"""A policy that learns across networks, and what it is worth on the next one beside others."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from agents.algorithms.dyna import Dyna
from agents.algorithms.known import KnownStudents
from agents.algorithms.plans import random_plans
from agents.algorithms.pretraining import SampledSpace, learned_prior, pretrain
from agents.algorithms.prior import FILE, AccuracyPrior, likened, prior_beside
from agents.algorithms.registry import algorithm
from agents.algorithms.saving import pretrained_policies, read_agent
from agents.algorithms.surrogate import GaussianProcess, believed
from agents.benchmark.account import BudgetSpentError
from agents.benchmark.transfer import BUDGETS, AcrossSpaces, ConstantRate, Searching, Tally, compete
from envs_tests.conftest import made_sample
from n2n_gym.architecture.summary import summary
from n2n_gym.errors import InputError


@pytest.fixture(scope="module", params=["removal", "shrink"])
def space(request, tmp_path_factory):
    sample = made_sample(request.param, 40)
    path = tmp_path_factory.mktemp("samples") / f"{sample.name}.json"
    sample.save(path)
    return SampledSpace(path)


def test_a_policy_learns_and_hands_on_what_it_learned(space, tmp_path):
    seen = []
    agent = pretrain([space], updates=60, on_update=lambda update, reward: seen.append((update, reward)))
    assert [update for update, _ in seen] == list(range(60))
    rewards = [reward for _, reward in seen]
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 0.05
    again = pretrain([space], updates=60)
    for name, weights in again.policy.state_dict().items():
        assert torch.equal(weights, agent.policy.state_dict()[name])
    agent.save(tmp_path / "learned.policy")
    policies = {space.sample.stage: tmp_path / "learned.policy"}
    [chosen] = Searching("dyna", policies).untried(space, np.random.default_rng(0))
    assert np.array_equal(chosen, agent.first_choice())
    # the likeliest student is the first that is trained, and the policy is not thrown away for a random beginning
    (first, _), *_ = Searching("dyna", policies).tried(space, seed=0, budget=5)
    assert space.known.look(first).fingerprint == space.known.look(chosen).fingerprint


def test_an_informed_agent_is_saved_as_one(space, tmp_path):
    kind, stage = algorithm("dyna"), space.known.stage.number
    agent = kind.make(space.vector_env(5), stage=stage, seed=0)
    assert not agent.informed
    agent.save(tmp_path / "a.policy")
    other = kind.make(space.vector_env(5), stage=stage, seed=1)
    kind.transfer(other, tmp_path / "a.policy")
    assert other.informed
    other.save(tmp_path / "b.policy")
    assert Dyna.load(tmp_path / "b.policy", space.vector_env(5)).informed
    with pytest.raises(InputError, match="one space at least"):
        pretrain([])


def test_students_are_counted_once(space):
    tally = Tally(space, 2)
    judge = space.vector_env(1).get_attr("judge")[0]
    first, second = (np.array(student.episode) for student in space.sample.students[:2])
    rng = [np.random.default_rng(0)]
    nothing = np.full(space.known.stage.decisions, space.known.stage.keep)
    with judge.overseen(tally.finish):
        for plan in (first, first, nothing, second):
            judge.finish([plan.tolist()], rng)
        with pytest.raises(BudgetSpentError):
            judge.finish([first.tolist()], rng)
    assert [plan.tolist() for plan, _ in tally.students] == [first.tolist(), second.tolist()]


def test_contenders_choose_at_every_budget(space):
    constant = ConstantRate.chosen_on([space])
    contenders = {"constant": constant, "across": AcrossSpaces([space]), "random": Searching("random")}
    choices = list(compete(contenders, space, seeds=[0, 1]))
    assert [(c.contender, c.seed, c.budget) for c in choices] == [
        (name, seed, budget) for name in contenders for seed in (0, 1) for budget in BUDGETS
    ]
    worth = {name: np.mean([c.worth for c in choices if (c.contender, c.budget) == (name, 0)]) for name in contenders}
    assert worth["random"] < worth["constant"]  # it was chosen on this very space
    assert worth["random"] < worth["across"]
    for choice in choices:
        for plan in choice.plans:
            assert len(plan) == space.known.stage.decisions
            assert space.known.look(np.array(plan)).allowed  # chance and the constant rate ask what costs nothing, too


@pytest.fixture
def prior(space):
    return learned_prior([space])


def test_a_prior_is_read_as_it_was_written(prior, space, tmp_path):
    prior.save(tmp_path / FILE)
    again = AccuracyPrior.load(tmp_path / FILE)
    assert np.array_equal(again.rows, prior.rows)
    assert np.array_equal(again.predict(prior.rows), prior.predict(prior.rows))
    accuracies = [student.accuracy[0] / space.sample.val_accuracy for student in space.sample.students]
    assert np.corrcoef(prior.predict(prior.rows), accuracies)[0, 1] > 0.9
    assert np.array_equal(prior_beside(tmp_path / "any.policy").accuracies, prior.accuracies)
    assert prior_beside(tmp_path / "elsewhere" / "any.policy") is None


def test_a_prior_goes_with_the_policy_that_is_saved(prior, space, tmp_path):
    """Also to the next of stage 2's starts, where nothing lies beside the run's policy."""

    def made():
        agent = algorithm("dyna").make(space.vector_env(5), stage=space.known.stage.number, seed=0)
        agent.set_logger(Logger(None, []))
        return agent

    agent = made()
    algorithm("dyna").save(agent, tmp_path / "plain.policy")
    few = AccuracyPrior(prior.rows[::2], prior.accuracies[::2])  # not what the package has
    agent.inform(few)
    algorithm("dyna").save(agent, tmp_path / "a.policy")
    again = algorithm("dyna").load(tmp_path / "a.policy", space.vector_env(5), stage=space.known.stage.number, seed=0)
    following = made()
    algorithm("dyna").transfer(following, tmp_path / "a.policy")
    for each in (again, following):
        assert np.array_equal(each.prior.rows, few.rows)
        assert np.array_equal(each.known.prior.accuracies, few.accuracies)
    algorithm("dyna").transfer(following, tmp_path / "plain.policy")
    assert following.prior is None


@pytest.mark.parametrize("change", [{"rows": np.zeros((3, 4))}, {"accuracies": np.array([np.nan])}, {"rows": None}])
def test_what_is_no_prior_is_refused(prior, tmp_path, change):
    arrays = {"rows": prior.rows[:1], "accuracies": prior.accuracies[:1]} | change
    np.savez(tmp_path / FILE, **{name: each for name, each in arrays.items() if each is not None})
    with pytest.raises(InputError, match="holds no students of other networks"):
        AccuracyPrior.load(tmp_path / FILE)


def test_models_begin_with_what_is_believed(prior, space):
    known = KnownStudents(space.known.stage, space.vector_env(1).get_attr("judge")[0])
    students = [known.look(np.array(student.episode)) for student in space.sample.students]
    assert not known.described(students)[:, -1].any()
    known.prior = prior
    described = known.described(students)
    rows = likened([student.features for student in students], summary(space.sample.teacher))
    assert described[:, -1] == pytest.approx(believed(prior.predict(rows)))
    model = GaussianProcess(known.overall_columns).fit(known.described([]), [], np.random.default_rng(0))
    assert model.predict(described)[0] == pytest.approx(described[:, -1])
    # what was trained corrects it: here all are half as accurate as was believed
    halved = 0.5 * prior.predict(rows)
    model.fit(described[:8], halved[:8].tolist(), np.random.default_rng(0))
    wrong = np.abs(model.predict(described[8:])[0] - believed(halved[8:]))
    assert wrong.mean() < 0.5 * np.abs(described[8:, -1] - believed(halved[8:])).mean()


def test_an_agent_with_a_prior_begins_where_it_promises_most(prior, space):
    agent = algorithm("dyna").make(space.vector_env(5), stage=space.known.stage.number, seed=0)
    agent.set_logger(Logger(None, []))
    agent.inform(prior)
    first = space.known.look(agent.first_choice())
    chance = [space.known.look(plan) for plan in random_plans(space.known.stage, np.random.default_rng(0), 50)]
    assert space.worths([first], space.truth)[0] > np.quantile(space.worths(chance, space.truth), 0.9)


def test_the_packages_policies_are_there_for_both_stages():
    for stage, path in pretrained_policies().items():
        tensors, saved = read_agent(path, "Dyna")
        assert saved["actions"] == {1: 2, 2: 10}[stage]
        assert "lstm.weight_ih_l0" in " ".join(tensors)
        assert path.stat().st_size + path.with_name(FILE).stat().st_size < 1_000_000
        assert len(prior_beside(path).accuracies) > 1_000
