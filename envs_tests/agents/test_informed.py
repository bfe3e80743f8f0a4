"""Searches that use what costs no training."""

import gymnasium as gym
import numpy as np
import pytest

from agents.algorithms.bayesian import GaussianProcessSearch, RandomForestSearch
from agents.algorithms.candidates import of_all_sizes
from agents.algorithms.cross_entropy import CrossEntropy
from agents.algorithms.evolution import InformedEvolution
from agents.algorithms.known import KnownStudents
from agents.algorithms.local_search import LocalSearch
from agents.algorithms.planned import RandomSearch
from agents.algorithms.plans import neighbours, plan_by_depth, uniform_plans
from agents.algorithms.registry import check_agent
from agents.algorithms.sb3 import BatchedVecEnv
from agents.algorithms.tpe import ParzenEstimator
from envs_tests.agents.test_planned import STAGES, seen_returns, vector
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.evaluation import TIMEOUT
from n2n_gym.networks.zoo import network

ALL = [InformedEvolution, LocalSearch, CrossEntropy, ParzenEstimator, RandomForestSearch, GaussianProcessSearch]
EACH = pytest.mark.parametrize("algorithm", ALL)

LIMITS = pytest.mark.parametrize(
    ("env_id", "limit"),
    [("N2N/LayerRemoval-v0", "parameters<=400000"), ("N2N/LayerShrink-v0", "parameters<=60000; macs<=1e6")],
)

NARROW = "parameters<=1900"
"""At least 1,649 are left of the 131,466."""


pytestmark = pytest.mark.usefixtures("few_candidates")


def learn(agent, updates):
    return agent.learn(updates * 5 * agent.stage.decisions, reset_num_timesteps=False)


@EACH
@LIMITS
def test_trains_no_student_twice_and_none_beyond_the_limits(algorithm, env_id, limit):
    env = vector(env_id, constraints=limit)
    evaluator = env.envs.judge.evaluator
    learn(algorithm(env, seed=0), 3)
    trained = [fingerprint for call in evaluator.calls for fingerprint in call]
    assert len(trained) == len(set(trained)) == 15
    drawn = vector(env_id, constraints=limit)
    plans = RandomSearch(drawn, seed=0).propose(40)
    assert not all(drawn.envs.preview(plan).allowed for plan in plans)  # without looking, some are


@EACH
def test_finds_students_within_narrow_limits(algorithm):
    env = vector("N2N/LayerShrink-v0", constraints=NARROW)
    drawn = RandomSearch(vector("N2N/LayerShrink-v0", constraints=NARROW), seed=0).propose(300)
    assert sum(env.envs.preview(plan).allowed for plan in drawn) <= 3
    learn(algorithm(env, seed=0), 2)
    trained = {fingerprint for call in env.envs.judge.evaluator.calls for fingerprint in call}
    assert len(trained) == 10


@EACH
@STAGES
def test_finds_better_students_than_it_began_with(algorithm, env_id):
    updates = 12 if env_id == "N2N/BothStages-v0" else 6  # more to decide
    agent = learn(algorithm(vector(env_id), seed=0), updates)
    assert len(agent.known) == 5 * updates
    assert np.mean(sorted(agent.known.returns[10:])[-3:]) > max(agent.known.returns[:10])


@EACH
def test_that_was_saved_goes_on_and_knows_what_it_trained(algorithm, tmp_path):
    def env():
        return vector("N2N/LayerShrink-v0", constraints="parameters<=60000")

    agent = learn(algorithm(env(), seed=0), 3)
    agent.save(tmp_path / "agent")
    again = algorithm.load(tmp_path / "agent", env())
    assert len(again.known) == 15
    assert [plan.tolist() for plan in again.known.plans] == [plan.tolist() for plan in agent.known.plans]
    for _ in range(2):
        assert seen_returns(learn(again, 1))[-5:] == seen_returns(learn(agent, 1))[-5:]


@EACH
def test_where_nothing_new_is_allowed_it_goes_on(algorithm, monkeypatch):
    monkeypatch.setattr("agents.algorithms.known.DRAWS", 3)
    agent = algorithm(vector("N2N/LayerRemoval-v0", constraints="parameters<=650"), seed=0, stats_window_size=100)
    assert len(seen_returns(learn(agent, 3))) == 15


@EACH
def test_where_few_treat_layers_by_depth_others_are_found(algorithm):
    """Conv2's first layer is as narrow as it may be: widths along a line give seven students, which a population outgrows."""
    teacher = {"teacher": "conv2", "width": 0.25}
    evaluator = FormulaEvaluator(network("conv2", (1, 8, 8), width=0.25))
    env = BatchedVecEnv(gym.make_vec("N2N/LayerShrink-v0", num_envs=5, evaluator=evaluator, **teacher))
    by_depth = {env.envs.preview(plan_by_depth(env.envs.stage, np.random.default_rng(i))).fingerprint for i in range(200)}
    assert len(by_depth) <= 8
    learn(algorithm(env, seed=0), 10)
    trained = [fingerprint for call in evaluator.calls for fingerprint in call]
    assert len(trained) == len(set(trained)) == 50


def test_a_model_starts_from_students_of_all_sizes():
    agent = GaussianProcessSearch(vector(), seed=0)
    candidates = agent.known.new(uniform_plans(agent.stage, agent.rng, 100))
    sizes = sorted(student.parameters for _, student in candidates.values())
    chosen = [agent.known.look(plan).parameters for plan in of_all_sizes(candidates, 5, agent.rng)]
    assert all(low <= size <= high for low, size, high in zip(sizes[::20], chosen, sizes[19::20], strict=False))
    assert len(of_all_sizes(dict(list(candidates.items())[:3]), 5, agent.rng)) == 3


def test_local_search_moves_to_what_is_better_and_begins_anew_where_nothing_is():
    agent = LocalSearch(vector(), seed=0)
    plans = agent.propose(5)
    there = {"actions": [0] * 16, "reason": "", "violated": "", "accuracy": 0.8, "teacher_accuracy": 0.9}
    agent.observe(plans, [0.1, 0.4, 0.2, 0.3, 0.0], [there] * 5)
    around = agent.propose(5)
    assert ((around != plans[1]).sum(1) == 1).all()
    agent.observe(around, [0.3, 0.3, 0.5, 0.3, 0.3], [there] * 5)
    assert agent.centre[1] == 0.5
    for _ in range(8):  # sixteen layers have sixteen neighbours, some of them known or degenerate
        tried = agent.propose(5)
        agent.observe(tried, [0.2] * 5, [there] * 5)
        if ((tried != around[2]).sum(1) > 1).all():
            break
    else:
        pytest.fail("it never began anew")


def test_the_cross_entropy_method_draws_more_like_its_best():
    agent = CrossEntropy(vector(), seed=0, warm_up=5, elite_size=2, step_size=1.0, least=0.0)
    plans = agent.propose(5)
    agent.observe(
        plans,
        [0.1, 0.9, 0.8, 0.3, 0.0],
        [{"actions": [0] * 16, "reason": "", "violated": "", "accuracy": 0.8, "teacher_accuracy": 0.9}] * 5,
    )
    alike = plans[1] == plans[2]
    drawn = np.stack([agent._draw() for _ in range(50)])
    assert (drawn[:, alike] == plans[1][alike]).all()
    assert len(np.unique(drawn, axis=0)) > 1
    with pytest.raises(ValueError, match="step_size must lie above 0"):
        CrossEntropy(vector(), step_size=0.0)


@pytest.mark.parametrize("limit", ["latency", "accuracy"])
def test_a_limit_that_is_not_on_accuracy_makes_a_student_count_for_less_and_one_that_fails_counts_for_nothing(limit):
    env = vector(constraints="accuracy>=0.95" if limit == "accuracy" else "")
    known = KnownStudents(env.envs.stage, env.envs.judge)
    plans = np.stack([plan for plan, _ in known.new(uniform_plans(env.envs.stage, np.random.default_rng(0), 20)).values()][:4])
    infos = [
        {"actions": [0] * 16, "reason": reason, "violated": limit, "accuracy": accuracy, "teacher_accuracy": teacher}
        for reason, limit, accuracy, teacher in (("diverged", "", 0.0, 0.0), ("", "", 0.96, 0.9), ("", limit, 0.9, 0.9))
    ]
    truncated = {"actions": [0, -1], "reason": "", "violated": "", "accuracy": 0.0, "teacher_accuracy": 0.0}
    known.add(plans, [-1.0, 0.5, 0.9, 0.0], [*infos, truncated])
    assert known.teacher_accuracy == 0.9
    assert known.accuracies == [0.0, pytest.approx(0.5 / known.look(plans[1]).worth), 1.0 if limit == "accuracy" else 0.5]
    assert [plan.tolist() for plan in known.best_plans(2)] == [plans[1].tolist(), plans[2].tolist()]
    assert known.best == 0.5
    assert not known.new(plans[:3])
    assert len(known.new(plans[3:])) == 1


def test_what_the_machine_failed_is_neither_learned_nor_tried_again():
    """It says nothing of the student; who goes on from what is saved may try it on another machine."""
    stage, judge = vector().envs.stage, vector().envs.judge
    known = KnownStudents(stage, judge)
    plans = np.stack([plan for plan, _ in known.new(uniform_plans(stage, np.random.default_rng(0), 9)).values()][:2])
    info = {"actions": [0] * 16, "violated": "", "accuracy": 0.0, "teacher_accuracy": 0.0}
    known.add(plans, [-1.0, -1.0], [{**info, "reason": TIMEOUT}, {**info, "reason": "training diverged"}])
    assert known.accuracies == [0.0]
    assert np.array_equal(known.plans, plans[1:])
    assert not known.new(plans)
    again = KnownStudents(stage, judge)
    again.remember(known.memory())
    assert len(again.new(plans)) == 1


def test_neighbours_are_all_that_differ_in_one_decision():
    stage = vector("N2N/LayerShrink-v0").envs.stage
    plan = np.array(stage.trend(np.random.default_rng(0)))
    around = neighbours(stage, plan)
    assert len(around) == len(np.unique(around, axis=0)) == stage.decisions * (stage.actions - 1)
    assert ((around != plan).sum(1) == 1).all()
    removal = vector().envs.stage
    assert len(neighbours(removal, np.zeros(16, dtype=np.int64))) == removal.masks[:, 1].sum()


def test_without_optuna_tpe_says_what_to_install(monkeypatch):
    monkeypatch.setattr("agents.algorithms.tpe.find_spec", lambda name: None)
    with pytest.raises(InputError, match="optuna"):
        ParzenEstimator(vector())
    with pytest.raises(InputError, match="optuna"):
        check_agent("tpe", None)
