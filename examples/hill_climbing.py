"""An algorithm as it is submitted to the leaderboard: one file, here a hill climber (CONTRIBUTING.md says how).

    n2n benchmark --agents examples/hill_climbing.py random

`search` plays whole episodes through the bare Gymnasium API, as many as it is given. What it returns is its final policy, a
function from an observation to an action - or None if it has none.
"""

import numpy as np

NAME = "hill-climbing"


def search(env, evaluations, seed):
    rng = np.random.default_rng(seed)
    decisions = int(env.observation_space["position"].n) - 1

    def play(actions):
        env.reset()
        for action in actions:
            _, reward, _, _, _ = env.step(action)
        return reward

    best = rng.integers(env.action_space.n, size=decisions)
    best_reward = play(best)
    for _ in range(evaluations - 1):
        changed = rng.random(decisions) < 1 / decisions
        changed[rng.integers(decisions)] = True
        neighbour = np.where(changed, rng.integers(env.action_space.n, size=decisions), best)
        reward = play(neighbour)
        if reward >= best_reward:  # plateaus are wide: walk along them
            best, best_reward = neighbour, reward
    return lambda observation, greedy: best[observation["position"]]
