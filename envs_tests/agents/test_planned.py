import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import n2n_gym  # noqa: F401
from agents.algorithms.embedding import ArchitectureCompression
from agents.algorithms.evolution import InformedEvolution, RegularizedEvolution
from agents.algorithms.planned import RandomSearch
from agents.algorithms.sb3 import BatchedVecEnv
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network

EACH = pytest.mark.parametrize("algorithm", [RandomSearch, RegularizedEvolution, InformedEvolution, ArchitectureCompression])
STAGES = pytest.mark.parametrize("env_id", ["N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0"])

SMALL = {
    RandomSearch: {},
    RegularizedEvolution: {"population_size": 8, "sample_size": 3},
    InformedEvolution: {"population_size": 8, "sample_size": 3},
    ArchitectureCompression: {"warm_up": 10, "training_steps": 20},
}


def vector(env_id="N2N/LayerRemoval-v0", count=5, teacher="conv4", lookahead=False, **more):
    evaluator = FormulaEvaluator(network(teacher, (1, 8, 8)))
    return BatchedVecEnv(
        gym.make_vec(env_id, num_envs=count, teacher=teacher, evaluator=evaluator, lookahead=lookahead, **more)
    )


def seen_returns(agent):
    return [info["r"] for info in agent.ep_info_buffer]


@EACH
@STAGES
def test_finds_and_plays_a_good_student(algorithm, env_id):
    env = vector(env_id, 25)
    agent = algorithm(env, seed=0, stats_window_size=1000)
    agent.learn(5 * env.envs.stage.decisions * 25)
    returns = seen_returns(agent)
    assert len(returns) == 125
    assert agent.best_return == pytest.approx(max(returns))
    assert agent.best_return > np.mean(returns[:20]) + 0.1
    assert evaluate_policy(agent, vector(env_id, 1), n_eval_episodes=1, warn=False)[0] == pytest.approx(agent.best_return)


@pytest.mark.parametrize(
    ("proposed", "what"),
    [
        (np.zeros((5, 15), dtype=int), r"must give whole numbers of shape \(5, 16\), not int64 of shape \(5, 15\)"),
        (np.zeros(16, dtype=int), r"not int64 of shape \(16,\)"),
        (np.zeros((5, 16)), r"not float64 of shape \(5, 16\)"),
        ([[0], [0, 1]], r"not \[\[0\], \[0, 1\]\]"),
        (None, "not object of shape"),
        (np.full((5, 16), 2), r"must give actions from 0 to 1, not \[\[2, 2"),
        (np.full((5, 16), -1), "must give actions from 0 to 1"),
    ],
)
def test_a_search_of_ones_own_proposes_plans(proposed, what):
    class Own(RandomSearch):
        def propose(self, count):
            return proposed

    with pytest.raises(InputError, match=rf"Own\.propose {what}" if what.startswith("must") else what):
        Own(vector(), seed=0).learn(1)


@pytest.mark.parametrize("kind", [list, np.uint8])
def test_plans_may_be_lists_and_small_numbers(kind):
    class Own(RandomSearch):
        def propose(self, count):
            plans = self.uniform(count)
            return plans.tolist() if kind is list else plans.astype(kind)

    own, plain = (algorithm(vector(), seed=0).learn(10 * 5 * 16) for algorithm in (Own, RandomSearch))
    assert own.best_return == plain.best_return
    assert own.policy.plan.tolist() == plain.policy.plan.tolist()


def mean_of_last(algorithm):
    agent = algorithm(vector(), seed=1, stats_window_size=1000)
    agent.learn(80 * 16 * 5)
    return np.mean(seen_returns(agent)[-50:])


def test_evolution_beats_random_search_where_there_is_something_to_climb():
    assert mean_of_last(RegularizedEvolution) > mean_of_last(RandomSearch) + 0.2


def test_descent_in_the_embedding_finds_good_students_sooner_than_random_search():
    def best(algorithm, seeds):
        return np.mean([algorithm(vector(count=10), seed=seed).learn(10 * 16 * 10).best_return for seed in range(seeds)])

    assert best(ArchitectureCompression, 2) > best(RandomSearch, 20) + 0.05


def test_the_embedding_knows_students_it_was_trained_on_and_what_they_are_worth():
    agent = ArchitectureCompression(vector(), seed=0, warm_up=200, training_steps=600).learn(40 * 16 * 5)
    network = agent._current()
    plans, facts = (agent.memory()[name] for name in ("plans", "facts"))
    vectors = network.encode(plans)
    assert (network.decode(vectors).argmax(2) == plans).float().mean() > 0.97
    for predicted, true in zip(network.predict(vectors), facts.T, strict=False):
        assert np.corrcoef(predicted.detach(), true)[0, 1] > 0.9
    ends = agent._descend(network, vectors[:5].detach(), spread=float(vectors.detach().std()))
    assert (network.objective(ends) > network.objective(vectors[:5])).all()


def test_the_embedding_is_trained_anew_when_there_are_new_students_and_only_then():
    agent = ArchitectureCompression(vector(), seed=0, warm_up=10, training_steps=5).learn(2 * 16 * 5)
    first = agent._current()
    agent.propose(5)
    assert agent._current() is first
    agent.learn(16 * 5, reset_num_timesteps=False)
    assert agent._current() is not first


def test_the_embedding_plays_no_episode_twice_and_no_action_without_an_effect():
    agent = ArchitectureCompression(vector(count=10), seed=0, warm_up=10).learn(6 * 16 * 10)
    later = np.stack(agent.plans)[10:]
    assert len(np.unique(later, axis=0)) == len(later)
    assert agent.masks[np.arange(16), later].all()


@STAGES
def test_the_embedding_learns_from_students_that_others_tried(env_id):
    envs = vector(env_id)
    stage, judge = envs.envs.stage, envs.envs.judge
    drawn = [stage.student(plan) for plan in RandomSearch(envs, seed=0).propose(40).tolist()]
    drawn = [student for student in drawn if student.architecture.verdict(stage.base).feasible]
    evaluations = judge.evaluator.evaluate(drawn)
    tried = [student.architecture for student in drawn]
    stranger = network("vgg11", (1, 8, 8))
    agent = ArchitectureCompression(envs, seed=0, warm_up=20, training_steps=20)
    assert agent.study(zip([*tried, stranger], [*evaluations, evaluations[0]], strict=True)) == len(tried) >= 20
    assert [stage.student(plan.tolist()).architecture for plan in agent.plans] == tried
    rewards = [finished.reward for finished in judge.finish([plan.tolist() for plan in agent.plans], ())]
    assert [value for _, _, value in agent.facts] == rewards
    assert agent.best_return == max(rewards)
    agent.learn(envs.envs.stage.decisions * 5)
    assert len(agent.plans) == len(tried) + 5


def test_random_search_leaves_protected_layers_alone_and_draws_both_actions_of_the_others():
    agent = RandomSearch(vector(), seed=0)
    plans = agent.propose(400)
    share = plans.mean(0)
    protected = ~agent.masks[:, 1]
    assert (share[protected] == 0).all()
    assert ((share[~protected] > 0.4) & (share[~protected] < 0.6)).all()


@EACH
def test_goes_on_after_loading_as_if_it_had_not_stopped(algorithm, tmp_path):
    settings = SMALL[algorithm]
    whole = algorithm(vector(), seed=3, stats_window_size=1000, **settings).learn(6 * 16 * 5)
    first = algorithm(vector(), seed=3, **settings).learn(4 * 16 * 5)
    first.save(tmp_path / "a.policy")
    second = algorithm.load(tmp_path / "a.policy", vector(), stats_window_size=1000)
    second.learn(2 * 16 * 5, reset_num_timesteps=False)
    assert seen_returns(second) == seen_returns(whole)[-10:]
    assert second.num_timesteps == whole.num_timesteps
    assert second.policy.plan.tolist() == whole.policy.plan.tolist()


def test_evolution_with_more_episodes_at_once_than_live():
    agent = RegularizedEvolution(vector(count=6), population_size=4, sample_size=2, seed=0).learn(3 * 16 * 6)
    assert len(agent.population) == 4


def test_bad_files_are_said(tmp_path):
    RandomSearch(vector(), seed=0).save(tmp_path / "a.policy")
    with pytest.raises(InputError, match="was saved by RandomSearch, not by RegularizedEvolution"):
        RegularizedEvolution.load(tmp_path / "a.policy", vector())
    with pytest.raises(InputError, match="plans 16 decisions, the environment has"):
        RandomSearch.load(tmp_path / "a.policy", vector("N2N/LayerShrink-v0"))
    with pytest.raises(InputError, match="no saved agent"):
        RandomSearch.load(tmp_path / "b.policy", vector())
    (tmp_path / "c.policy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is not a (readable )?saved agent"):
        RandomSearch.load(tmp_path / "c.policy", vector())
    with pytest.raises(ValueError, match="sample_size"):
        RegularizedEvolution(vector(), population_size=3, sample_size=4)


@EACH
def test_the_plan_keeps_the_limits_although_relaxed_ones_reward_who_does_not(algorithm, tmp_path):
    env = vector()
    agent = algorithm(env, seed=0)
    over = {"actions": [0] * 16, "reason": "", "violated": "parameters<=9", "accuracy": 0.9, "compression": 0.5}
    over["teacher_accuracy"] = 0.95
    kept, broken = {**over, "violated": ""}, {**over, "violated": "", "reason": "diverged"}
    plans = agent.uniform(5)
    agent.observe(plans[:3], [0.7, 0.9, -1.0], [over, over, broken])
    assert agent.policy.plan.tolist() == plans[1].tolist()
    agent.observe(plans[3:], [0.6, 0.95], [kept, over])
    assert agent.policy.plan.tolist() == plans[3].tolist()
    agent.save(tmp_path / "agent")
    loaded = algorithm.load(tmp_path / "agent", env)
    loaded.observe(plans[:1], [0.99], [over])
    assert loaded.policy.plan.tolist() == plans[3].tolist()


def test_the_embedding_starts_from_students_that_keep_the_limits():
    agent = ArchitectureCompression(vector(), seed=0)
    plans = agent.uniform(8)
    facts = {"actions": [0] * 16, "reason": "", "accuracy": 0.9, "compression": 0.5}
    infos = [{**facts, "violated": "parameters<=9" if value > 0.5 else ""} for value in np.linspace(0.1, 0.8, 8)]
    agent.observe(plans, np.linspace(0.1, 0.8, 8).tolist(), infos)
    assert agent._starts(4)[:2] == [4, 3]


@pytest.mark.parametrize("algorithm", [RandomSearch, RegularizedEvolution])
def test_where_masks_look_ahead_no_student_is_degenerate(algorithm):
    for lookahead in (False, True):
        agent = algorithm(vector(teacher="resnet50", lookahead=lookahead), **SMALL[algorithm], seed=0, stats_window_size=100)
        agent.learn(2 * 5 * agent.stage.decisions)
        assert (min(seen_returns(agent)) > 0) is lookahead


def test_random_search_finds_feasible_students_where_they_are_rare():
    """Of ResNet-50's students whose layers are removed at random, 49 of 50 are not smaller than it."""
    agent = RandomSearch(vector(teacher="resnet50", count=3, lookahead=True), seed=0)
    assert all(agent.stage.feasible(plan) for plan in agent.uniform(3).tolist())
    assert not all(
        agent.stage.feasible(plan)
        for plan in np.where(agent.masks, np.random.default_rng(0).random((20, *agent.masks.shape)), -1).argmax(2).tolist()
    )
