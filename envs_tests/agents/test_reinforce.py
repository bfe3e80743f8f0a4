import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.logger import configure

from agents.algorithms.episodes import Episodes
from agents.algorithms.reinforce import ActorCritic, Reinforce
from agents.algorithms.saving import read_agent, save_agent
from envs_tests.agents.conftest import POLICIES, STAGES
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.networks.zoo import network

EPISODE = {"removal": 16, "shrinkage": 12}


class Rewards(BaseCallback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def _on_step(self):
        if self.locals["dones"].all():
            self.batches.append(self.locals["rewards"].copy())
        return True


@pytest.fixture(params=["removal", "shrinkage"])
def stage(request):
    return request.param


def test_the_update_is_equation_2(make_envs):
    """The gradient is -1/m sum_k (R_k - b) sum_t grad log pi(a_t), each rollout with its own advantage."""
    envs = make_envs("removal")
    agent = Reinforce(POLICIES["removal"], envs, seed=0, normalize_advantage=False, ent_coef=0.0)
    agent.learn(16 * 5)
    baseline = agent.baseline
    rollouts = agent._collect_rollouts(agent._init_callback(None))
    rows, actions, masks, returns, _ = rollouts
    assert len(set(returns.tolist())) > 1

    expected = [torch.zeros_like(p) for p in agent.policy.parameters()]
    for k in range(5):
        probabilities = (
            agent.policy.evaluate(rows[k : k + 1], actions[k : k + 1])[0][0].masked_fill(~masks[k], -torch.inf).softmax(1)
        )
        log_probability = sum(probabilities[t, actions[k, t]].log() for t in range(16))
        for total, gradient in zip(
            expected, torch.autograd.grad(log_probability, list(agent.policy.parameters())), strict=True
        ):
            total -= (returns[k].float() - baseline) * gradient / 5
    agent.policy.optimizer.step = lambda: None
    agent._train(rollouts)
    for parameter, gradient in zip(agent.policy.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
    assert agent.baseline == pytest.approx(0.7 * baseline + 0.3 * float(returns.mean()))


def test_later_steps_on_the_same_rollouts_are_clipped(make_envs):
    """Each step's gain is min(r A, clip(r) A), r the ratio of an action's probability to the one it was drawn with."""
    settings = {"normalize_advantage": False, "ent_coef": 0.0, "n_epochs": 2, "clip_range": 0.1}
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), 0.05, seed=0, **settings)
    agent.learn(16 * 5)
    rollouts = agent._collect_rollouts(agent._init_callback(None))
    rows, actions, masks, returns, _ = rollouts
    advantages = (returns - agent.baseline).float().unsqueeze(1)

    def log_probabilities():
        logits = agent.policy.evaluate(rows, actions)[0].masked_fill(~masks, -torch.inf)
        return logits.log_softmax(2).gather(2, actions.unsqueeze(2)).squeeze(2)

    drawn_with = log_probabilities().detach()
    steps = []
    real = agent.policy.optimizer.step

    def step():
        ratio = (log_probabilities() - drawn_with).exp()
        blocked = ((ratio > 1.1) & (advantages > 0)) | ((ratio < 0.9) & (advantages < 0))
        gain = torch.where(blocked, 0.0, ratio * advantages).sum() / 5
        expected = torch.autograd.grad(-gain, list(agent.policy.parameters()))
        for parameter, gradient in zip(agent.policy.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
        steps.append(int(blocked.sum()))
        real()

    agent.policy.optimizer.step = step
    agent._train(rollouts)
    assert len(steps) == 2
    assert steps[0] == 0 < steps[1]
    with pytest.raises(ValueError, match="n_epochs must be at least 1, not 0"):
        Reinforce(POLICIES["removal"], make_envs("removal"), n_epochs=0)


def test_the_entropy_bonus_falls_to_nothing(make_envs):
    def weights(updates, **settings):
        agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0, **settings)
        agent.learn(16 * 5 * updates)
        return torch.cat([parameter.detach().flatten() for parameter in agent.policy.parameters()])

    assert torch.equal(weights(1, ent_coef=9.0, anneal_entropy=True), weights(1, ent_coef=0.0))
    assert not torch.equal(weights(1, ent_coef=9.0), weights(1, ent_coef=0.0))
    assert not torch.equal(weights(2, ent_coef=9.0, anneal_entropy=True), weights(2, ent_coef=0.0))


def test_the_entropy_bonus_makes_the_policy_less_sure(make_envs):
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0, ent_coef=1.0)
    rollouts = agent.learn(16 * 5)._collect_rollouts(agent._init_callback(None))

    def entropy():
        return agent._distribution(rollouts)[0].entropy().mean().item()

    agent.policy.optimizer.state.clear()  # what the first update left there
    with torch.no_grad():
        for parameter in agent.policy.parameters():
            parameter *= 3  # one that is hardly sure of anything cannot become less so
    agent.baseline, before = 0.25, entropy()
    agent._train(rollouts._replace(returns=torch.full((5,), 0.25)))  # no episode is better than expected
    assert entropy() > before + 0.05


def test_gradients_are_limited(make_envs):
    norms = {}
    for limit in (None, 0.2):
        agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0, max_grad_norm=limit)
        agent.learn(16 * 5)
        norms[limit] = torch.cat([parameter.grad.flatten() for parameter in agent.policy.parameters()]).norm().item()
    assert norms[None] > 0.2
    assert norms[0.2] == pytest.approx(0.2, rel=1e-3)


def test_the_best_episodes_are_imitated_ever_fewer(make_envs):
    """To the loss of equation 2 comes -c times the log-probability of the best ceil(size * share of training left)."""
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0, elite_size=4, elite_coef=0.3)
    played = []
    train = agent._train
    agent._train = lambda rollouts: (played.append(rollouts), train(rollouts))
    agent.learn(16 * 5 * 3)
    best = sorted({(-float(r), tuple(a.tolist())) for each in played for a, r in zip(each.actions, each.returns, strict=True)})
    assert agent.elite.returns.tolist() == [-negative for negative, _ in best[:4]]
    rollouts = agent._collect_rollouts(agent._init_callback(None))
    agent.policy.optimizer.step = lambda: None

    def gradient(coef, left):
        agent.elite_coef, agent._current_progress_remaining, agent.baseline, agent.advantage_square = coef, left, 0.5, 1.0
        train(rollouts)
        return torch.cat([parameter.grad.flatten() for parameter in agent.policy.parameters()])

    plain = gradient(0.0, 1.0)
    for left, count in ((1.0, 4), (0.3, 2), (0.0, 1)):
        added = gradient(0.3, left) - plain
        few = Episodes(*(part[:count] for part in agent.elite))
        imitated = agent._distribution(few)[0].log_prob(few.actions).sum() / count
        expected = torch.autograd.grad(-0.3 * imitated, list(agent.policy.parameters()))
        torch.testing.assert_close(added, torch.cat([each.flatten() for each in expected]), rtol=1e-3, atol=1e-5)


def episodes(returns, *, keeps=None, network=0.0):
    count = len(returns)
    actions = torch.arange(count).unsqueeze(1) // 2  # each sequence of actions twice
    keeps = torch.ones(count, dtype=torch.bool) if keeps is None else torch.tensor(keeps)
    rows, masks = torch.full((count, 1, 3), network), torch.ones(count, 1, 9, dtype=torch.bool)
    return Episodes(rows, actions, masks, torch.tensor(returns), keeps)


def test_the_best_are_different_and_keep_the_limits():
    some = episodes([0.1, 0.3, 0.5, 0.2, 0.9, 0.9], keeps=[True, True, True, True, False, False])
    assert some.best(4).returns.tolist() == pytest.approx([0.5, 0.3])
    assert some.best(1).returns.tolist() == pytest.approx([0.5])
    assert len(episodes([0.9], keeps=[False]).best(4).returns) == 0


def test_the_best_of_another_network_are_forgotten():
    some, others = episodes([0.9]), episodes([0.1, 0.2], network=1.0)
    assert some.together(others) is others
    assert some.together(episodes([0.1])).returns.tolist() == pytest.approx([0.9, 0.1])


def test_the_critic_takes_the_baselines_place_at_every_step(stage, make_envs):
    """Appendix 6: -1/m sum_k sum_t (R_k - V(h_t)) grad log pi(a_t), and the critic follows the returns."""
    agent = ActorCritic(POLICIES[stage], make_envs(stage), seed=0, normalize_advantage=False, vf_coef=0.3)
    agent.learn(EPISODE[stage] * 5)
    rollouts = agent._collect_rollouts(agent._init_callback(None))
    rows, actions, masks, returns, _ = rollouts
    logits, values = agent.policy.evaluate(rows, actions)
    chosen = logits.masked_fill(~masks, -torch.inf).log_softmax(2).gather(2, actions.unsqueeze(2)).squeeze(2)
    advantages = (returns.float().unsqueeze(1) - values).detach()
    assert advantages.shape == (5, EPISODE[stage])
    assert advantages.std(dim=1).min() > 0  # a value for each step, not one for the episode
    loss = -(advantages * chosen).sum() / 5 + 0.3 * (returns.float().unsqueeze(1) - values).square().mean()
    expected = torch.autograd.grad(loss, list(agent.policy.parameters()))
    agent.policy.optimizer.step = lambda: None
    agent._train(rollouts)
    for parameter, gradient in zip(agent.policy.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_the_critic_learns_what_to_expect(make_envs):
    agent = ActorCritic(POLICIES["removal"], make_envs("removal"), seed=0)
    errors = []
    estimate = agent._critic_loss
    agent._critic_loss = lambda returns, values: (
        errors.append((returns.unsqueeze(1) - values).abs().mean().item()) or estimate(returns, values)
    )
    agent.learn(16 * 5 * 60)
    assert np.mean(errors[-10:]) < np.mean(errors[:3]) / 3


BOTH = pytest.mark.parametrize("algorithm", [Reinforce, ActorCritic])


@BOTH
def test_learns(algorithm, stage, make_envs):
    rewards = Rewards()
    rate = {"removal": 0.003, "shrinkage": 0.01}[stage]
    algorithm(POLICIES[stage], make_envs(stage), rate, seed=0).learn(EPISODE[stage] * 5 * 60, callback=rewards)
    means = np.mean(rewards.batches, axis=1)
    assert means[-10:].mean() > means[:10].mean() + 0.05


def test_one_environment_plays_its_rollouts_one_after_the_other(make_envs):
    envs = make_envs("removal", 1)
    agent = Reinforce(POLICIES["removal"], envs, n_rollouts=5, seed=0).learn(16 * 5 * 2)
    assert agent._n_updates == 2
    assert agent.num_timesteps == 160
    with pytest.raises(ValueError, match=r"n_rollouts \(5\) must be a multiple of the number of environments \(2\)"):
        Reinforce(POLICIES["removal"], make_envs("removal", 2))


def test_on_a_plain_gymnasium_environment():
    import gymnasium as gym

    env = gym.make(STAGES["removal"], evaluator=FormulaEvaluator(network("conv4", (1, 8, 8))))
    agent = Reinforce(POLICIES["removal"], env, seed=0).learn(16 * 5)
    assert agent._n_updates == 1
    assert len(agent.ep_info_buffer) == 5


def test_same_seed_same_agent(stage, make_envs):
    weights = []
    for seed in (0, 0, 1):
        agent = Reinforce(POLICIES[stage], make_envs(stage), seed=seed).learn(EPISODE[stage] * 5 * 3)
        weights.append(torch.cat([p.detach().flatten() for p in agent.policy.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@BOTH
def test_saved_and_loaded_it_goes_on_as_if_it_never_stopped(algorithm, stage, make_envs, tmp_path):
    steps = EPISODE[stage] * 5

    class SaveHalfway(BaseCallback):
        def _on_rollout_start(self):
            if self.model._n_updates == 3:
                self.model.save(tmp_path / "half.policy")
                self.baseline = self.model.baseline

        def _on_step(self):
            return True

    halfway = SaveHalfway()
    settings = {"seed": 0, "policy_kwargs": {"hidden": 20}, "ent_coef": 1.0, "anneal_entropy": True, "elite_coef": 0.1}
    straight = algorithm(POLICIES[stage], make_envs(stage), **settings).learn(steps * 6, callback=halfway)
    torch.manual_seed(99)
    second = algorithm.load(tmp_path / "half.policy", make_envs(stage))
    assert (second.num_timesteps, second._n_updates, second.baseline) == (steps * 3, 3, halfway.baseline)
    second.learn(steps * 3, reset_num_timesteps=False)
    for ours, theirs in zip(straight.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert second.baseline == straight.baseline


def test_loaded_without_an_environment_it_acts(stage, make_envs, tmp_path):
    envs = make_envs(stage)
    agent = Reinforce(POLICIES[stage], envs, seed=0, n_epochs=3).learn(EPISODE[stage] * 5)
    agent.save(tmp_path / "a.policy")
    loaded = Reinforce.load(tmp_path / "a.policy")
    assert (loaded.n_epochs, loaded.observation_space) == (3, agent.observation_space)
    observation = envs.reset()
    ours, theirs = (each.predict(observation, deterministic=True)[0] for each in (agent, loaded))
    assert ours.tolist() == theirs.tolist()
    loaded.set_env(envs)
    loaded.learn(EPISODE[stage] * 5, reset_num_timesteps=False)
    assert loaded._n_updates == 2


def test_the_file_is_safetensors_and_damage_is_said(make_envs, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a.policy"
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0).learn(80)
    agent.save(path)
    with safe_open(path, "pt") as file:
        names = file.keys()
        assert {name.split(".")[0] for name in names} == {"policy", "optimizer", "generator"}
    whole = path.read_bytes()
    for keep in (0, 20, len(whole) - 30):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match="is not a (readable )?saved agent"):
            Reinforce.load(path, make_envs("removal"))
    with pytest.raises(InputError, match="no saved agent at"):
        Reinforce.load(tmp_path / "none.policy", make_envs("removal"))


def test_a_policy_of_the_other_stage_is_refused(make_envs, tmp_path):
    Reinforce(POLICIES["removal"], make_envs("removal"), seed=0).save(tmp_path / "a.policy")
    with pytest.raises(InputError, match="was trained for stage removal, the environment is of stage shrink"):
        Reinforce.load(tmp_path / "a.policy", make_envs("shrinkage"))
    tensors, saved = read_agent(tmp_path / "a.policy")
    save_agent(tmp_path / "a.policy", tensors, {name: value for name, value in saved.items() if name != "stage"})  # of before
    with pytest.raises(InputError, match="chooses among 2 actions, the environment has 10"):
        Reinforce.load(tmp_path / "a.policy", make_envs("shrinkage"))
    Reinforce.load(tmp_path / "a.policy", make_envs("removal"))


def test_another_teacher_may_be_loaded_into(make_envs, tmp_path):
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0, elite_coef=0.1).learn(16 * 5)
    assert len(agent.elite.returns)
    agent.save(tmp_path / "a.policy")
    agent = Reinforce.load(tmp_path / "a.policy", make_envs("removal", 5, "resnet34"))
    agent.learn(85 * 5, reset_num_timesteps=False)
    assert agent.elite.actions.shape[1] == 85


def test_callbacks_logger_and_progress_bar(make_envs, tmp_path):
    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0)
    agent.set_logger(configure(str(tmp_path / "log"), ["csv", "tensorboard"]))
    stop = StopTrainingOnMaxEpisodes(max_episodes=10)
    agent.learn(16 * 5 * 50, callback=[stop, CheckpointCallback(80, str(tmp_path), name_prefix="c")], progress_bar=True)
    assert agent.num_timesteps == 10 * 5 * 16  # Stable-Baselines3 counts episodes per environment
    assert any(path.name.startswith("c_") for path in tmp_path.iterdir())
    header, *lines = (tmp_path / "log" / "progress.csv").read_text().splitlines()
    assert {"rollout/reward_mean", "train/baseline", "train/entropy", "rollout/ep_rew_mean"} <= set(header.split(","))
    assert lines
    assert any("tfevents" in path.name for path in (tmp_path / "log").iterdir())


def test_an_interrupted_episode_is_not_gone_on_with(make_envs):
    class StopEarly(BaseCallback):
        def _on_step(self):
            return self.num_timesteps < 20

    agent = Reinforce(POLICIES["removal"], make_envs("removal"), seed=0).learn(80, callback=StopEarly())
    assert agent._n_updates == 0
    agent.learn(80, reset_num_timesteps=False)
    assert agent._n_updates == 1


def test_unknown_policy_and_settings(make_envs):
    with pytest.raises(TypeError, match="hiden"):
        Reinforce(POLICIES["removal"], make_envs("removal"), policy_kwargs={"hiden": 9})
    with pytest.raises(ValueError, match="n_rollouts must be at least 1"):
        Reinforce(POLICIES["removal"], make_envs("removal"), n_rollouts=0)
    with pytest.raises(InputError, match="unknown policy 'LstmPolicy'"):
        Reinforce("LstmPolicy", None)
