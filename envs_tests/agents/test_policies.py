import numpy as np
import pytest
import torch

from agents.algorithms.policies import AutoregressiveLstmPolicy, BidirectionalLstmPolicy, masked
from agents.algorithms.reinforce import Reinforce
from envs_tests.agents.conftest import POLICIES
from n2n_gym.architecture.features import COLUMNS


@pytest.fixture(params=["removal", "shrinkage"])
def stage(request):
    return request.param


def play(agent, envs, **options):
    """One batch of episodes by `predict` alone: rows, actions, and the memory at each step."""
    observation = envs.reset()
    rows = agent.policy.rows(agent.policy.obs_to_tensor(observation)[0])
    state, actions, memories = None, [], []
    finished = np.zeros(envs.num_envs, dtype=bool)
    while not finished.any():
        chosen, state = agent.predict(observation, state, **options)
        actions.append(chosen)
        memories.append(state)
        observation, _, finished, _ = envs.step(chosen)
    return rows, torch.as_tensor(np.stack(actions, 1)), memories


def test_sizes_of_the_paper():
    import gymnasium as gym

    removal, shrink = (gym.make(f"N2N/Layer{name}-v0") for name in ("Removal", "Shrink"))
    first = BidirectionalLstmPolicy(removal.observation_space, removal.action_space, lambda _: 0.003)
    second = AutoregressiveLstmPolicy(shrink.observation_space, shrink.action_space, lambda _: 0.01)
    assert (first.lstm.num_layers, first.lstm.hidden_size, first.lstm.bidirectional) == (2, 30, True)
    assert (second.lstm.num_layers, second.lstm.hidden_size, second.lstm.bidirectional) == (2, 50, False)
    assert (first.action_net.out_features, second.action_net.out_features) == (2, 10)


def test_step_by_step_equals_the_whole_episode(stage, make_envs):
    """What `predict` draws from is what the update differentiates."""
    envs = make_envs(stage, 3)
    agent = Reinforce(POLICIES[stage], envs, n_rollouts=3, seed=0)
    seen = []
    draw = agent.policy._draw
    agent.policy._draw = lambda logits: seen.append(logits) or draw(logits)
    rows, actions, _ = play(agent, envs)
    with torch.no_grad():
        whole = agent.policy.evaluate(rows, actions)[0]
    torch.testing.assert_close(torch.stack(seen, 1), whole, rtol=1e-4, atol=1e-5)
    assert whole.std() > 1e-3


def test_shrinkage_depends_on_the_previous_action_and_removal_sees_what_follows(make_envs):
    envs = make_envs("shrinkage", 1)
    policy = Reinforce(POLICIES["shrinkage"], envs, n_rollouts=1, seed=0).policy
    rows = torch.as_tensor(envs.reset()["architecture"]).view(1, -1, len(COLUMNS))
    actions = torch.zeros(1, rows.shape[1], dtype=torch.long)
    other = actions.clone()
    other[0, 2] = 9
    changed = (policy.evaluate(rows, actions)[0] != policy.evaluate(rows, other)[0]).any(dim=2)[0]
    assert changed.tolist() == [False] * 3 + [True] * (rows.shape[1] - 3)

    envs = make_envs("removal", 1)
    policy = Reinforce(POLICIES["removal"], envs, n_rollouts=1, seed=0).policy
    rows = torch.as_tensor(envs.reset()["architecture"]).view(1, -1, len(COLUMNS))
    later = rows.clone()
    later[0, -1, 0] += 1
    assert (policy.evaluate(rows, actions)[0][0, 0] != policy.evaluate(later, actions)[0][0, 0]).any()


def test_one_policy_for_any_depth(stage, make_envs):
    agent = Reinforce(POLICIES[stage], make_envs(stage, 2), n_rollouts=2, seed=0)
    for teacher in ("vgg19", "resnet34"):
        envs = make_envs(stage, 2, teacher)
        _, actions, _ = play(agent, envs)
        assert actions.shape == (2, envs.envs.stage.decisions)


def test_masked_actions_are_never_drawn(make_envs):
    logits = masked(torch.tensor([[0.0, 50.0]]), torch.tensor([[True, False]]))
    assert logits.softmax(1).tolist() == [[1.0, 0.0]]
    envs = make_envs("removal", 5, "resnet18")
    agent = Reinforce(POLICIES["removal"], envs, seed=0)
    agent.learn(45 * 5)
    for finished in envs.get_attr("finished"):
        protected = ~envs.envs.stage.masks[:, 1]
        assert not np.array(finished.actions)[protected].any()


def test_deterministic_actions_are_the_likeliest_and_draws_vary(stage, make_envs):
    envs = make_envs(stage, 2)
    agent = Reinforce(POLICIES[stage], envs, n_rollouts=2, seed=0)
    rows, first, _ = play(agent, envs, deterministic=True)
    _, second, _ = play(agent, envs, deterministic=True)
    assert torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(agent.policy.evaluate(rows, first)[0].argmax(2), first)
    assert not torch.equal(play(agent, envs)[1], play(agent, envs)[1])


def test_memory_restarts_where_an_episode_starts(make_envs):
    envs = make_envs("shrinkage", 2)
    agent = Reinforce(POLICIES["shrinkage"], envs, n_rollouts=2, seed=0)
    observation = envs.reset()
    fresh = agent.predict(observation, None)[1]
    old = tuple(np.ones_like(array) for array in fresh)
    mixed = agent.predict(observation, old, episode_start=np.array([True, False]))[1]
    np.testing.assert_allclose(mixed[0][0], fresh[0][0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(mixed[0][1], fresh[0][1])


def test_a_single_environments_observation(stage, make_envs):
    import gymnasium as gym

    from envs_tests.agents.conftest import STAGES

    agent = Reinforce(POLICIES[stage], make_envs(stage, 1), n_rollouts=1, seed=0)
    env = gym.make(STAGES[stage])
    observation, _ = env.reset(seed=0)
    action, state = agent.predict(observation)
    assert env.action_space.contains(action)
    observation, *_ = env.step(action)
    assert env.action_space.contains(agent.predict(observation, state)[0])


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="needs the observations of a compression environment"):
        Reinforce("BidirectionalLstmPolicy", "CartPole-v1", n_rollouts=1)
