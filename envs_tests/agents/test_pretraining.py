"""A policy that learns across networks, and what it is worth on the next one beside others."""

import numpy as np
import pytest

from agents.algorithms.dyna import Dyna
from agents.algorithms.pretraining import SampledSpace, greedy_plan, pretrain
from agents.algorithms.registry import algorithm
from agents.benchmark.account import BudgetSpentError
from agents.benchmark.transfer import BUDGETS, AcrossSpaces, ConstantRate, Searching, Tally, compete
from envs_tests.conftest import made_sample
from n2n_gym.errors import InputError


@pytest.fixture(scope="module", params=["removal", "shrink"])
def space(request, tmp_path_factory):
    sample = made_sample(request.param, 40)
    path = tmp_path_factory.mktemp("samples") / f"{sample.name}.json"
    sample.save(path)
    return SampledSpace(path)


def stage_of(space):
    return 1 if space.sample.stage == "removal" else 2


def test_a_policy_learns_and_hands_on_what_it_learned(space, tmp_path):
    seen = []
    agent = pretrain([space], stage_of(space), updates=60, on_update=lambda update, reward: seen.append((update, reward)))
    assert [update for update, _ in seen] == list(range(60))
    rewards = [reward for _, reward in seen]
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 0.05
    again = pretrain([space], stage_of(space), updates=60)
    assert np.array_equal(greedy_plan(again, space), greedy_plan(agent, space))
    agent.save(tmp_path / "learned.policy")
    policies = {space.sample.stage: tmp_path / "learned.policy"}
    [chosen] = Searching("dyna", policies).untried(space, np.random.default_rng(0))
    assert np.array_equal(chosen, greedy_plan(agent, space)[0])
    # the likeliest student is the first that is trained, and the policy is not thrown away for a random beginning
    (first, _), *_ = Searching("dyna", policies).tried(space, seed=0, budget=5)
    assert space.known.look(first).fingerprint == space.known.look(chosen).fingerprint


def test_an_informed_agent_is_saved_as_one(space, tmp_path):
    kind, stage = algorithm("dyna"), stage_of(space)
    agent = kind.make(space.vector_env(5), stage=stage, seed=0)
    assert not agent.informed
    agent.save(tmp_path / "a.policy")
    other = kind.make(space.vector_env(5), stage=stage, seed=1)
    kind.transfer(other, tmp_path / "a.policy")
    assert other.informed
    other.save(tmp_path / "b.policy")
    assert Dyna.load(tmp_path / "b.policy", space.vector_env(5)).informed
    with pytest.raises(InputError, match="one space at least"):
        pretrain([], stage)


def test_students_are_counted_once(space):
    tally = Tally(space, 2)
    judge = space.vector_env(1).get_attr("judge")[0]
    first, second = (np.array(student.episode) for student in space.sample.students[:2])
    rng = [np.random.default_rng(0)]
    nothing = np.full(space.known.stage.decisions, space.known.stage.keep)
    with tally.of(judge):
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
