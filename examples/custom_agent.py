"""An agent of one's own in plain PyTorch, on nothing but the Gymnasium API: REINFORCE with a logit for each action.

    python examples/custom_agent.py

Students are looked up in a table of all that there are, so it takes seconds; without `evaluator="table"` the same program
has them trained.
"""

import gymnasium as gym
import torch

import n2n_gym  # noqa: F401  registers the environments


def main(updates: int = 100, rollouts: int = 5, seed: int = 0, evaluator: str = "table", **problem: object) -> None:
    """Learn, then show the likeliest student."""
    env = gym.make("N2N/LayerRemoval-v0", evaluator=evaluator, **problem)
    decisions = env.observation_space["position"].n - 1
    logits = torch.zeros(decisions, env.action_space.n, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    torch.manual_seed(seed)
    baseline = None
    for update in range(1, updates + 1):
        policy = torch.distributions.Categorical(logits=logits)
        episodes = policy.sample((rollouts,))
        rewards = torch.tensor([play(env, actions.tolist())[0] for actions in episodes])
        baseline = rewards.mean() if baseline is None else 0.7 * baseline + 0.3 * rewards.mean()
        loss = -((rewards - baseline) * policy.log_prob(episodes).sum(1)).mean() - 0.01 * policy.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % max(1, updates // 10) == 0:
            print(f"update {update:3}  mean reward {rewards.mean():.3f}")
    reward, info = play(env, logits.argmax(1).tolist())
    print(f"likeliest student: reward {reward:.4f}, {info['parameters']:,} parameters, accuracy {info['accuracy']:.2%}")


def play(env: gym.Env, actions: list[int]) -> tuple[float, dict]:
    """One episode; the reward comes at its end."""
    env.reset()
    for action in actions:
        _, reward, _, _, info = env.step(action)
    return reward, info


if __name__ == "__main__":
    main()
