"""An agent of one's own in plain PyTorch, against the bare Gymnasium API: REINFORCE with a small network.

python examples/custom_agent.py [table] [episodes]

The students' rewards are looked up in a table that comes with the package, so 500 of them take seconds, and the best reward
that there is is known. Give `gym.make` no `evaluator`, and the same agent has every student trained.
"""

import sys

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import n2n_gym  # noqa: F401  registers the environments
from n2n_gym.tables import Table


def main(table: str = "conv4-digits-removal", episodes: int | str = 500, learning_rate: float = 0.01) -> None:
    known = Table.load(table)
    env = gym.make("N2N/LayerRemoval-v0", **known.facts["problem"], evaluator=f"table:{table}")
    observation, _ = env.reset(seed=0)
    torch.manual_seed(0)
    decisions, row = int(env.observation_space["position"].n) - 1, len(observation["layer"])
    # one hot: where we are; and the layer, in numbers of the same order
    policy = nn.Sequential(nn.Linear(decisions + row, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(policy.parameters(), learning_rate)
    places = torch.eye(decisions)
    baseline, rewards = 0.0, []
    for episode in range(int(episodes)):
        observation, _ = env.reset()
        log_probabilities, done = [], False
        while not done:
            seen = torch.cat([places[observation["position"]], torch.as_tensor(observation["layer"]).log1p()])
            choice = Categorical(logits=policy(seen))
            action = choice.sample()
            log_probabilities.append(choice.log_prob(action))
            observation, reward, done, _, _ = env.step(action.item())
        rewards.append(float(reward))
        loss = -(rewards[-1] - baseline) * torch.stack(log_probabilities).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = rewards[-1] if episode == 0 else 0.9 * baseline + 0.1 * rewards[-1]
    quarter = max(len(rewards) // 4, 1)
    print(f"mean reward of the first quarter {np.mean(rewards[:quarter]):.3f}, of the last {np.mean(rewards[-quarter:]):.3f}")
    print(f"best student {max(rewards):.4f}; the best that there is {known.best('paper', 'search').value:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
