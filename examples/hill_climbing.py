"""An algorithm as it is submitted to the leaderboard: one file, here a hill climber (CONTRIBUTING.md says how).

    n2n benchmark --agents examples/hill_climbing.py random

`search` plays whole episodes through the bare Gymnasium API, as many as it is given. What it returns is its final policy, a
function from an observation to an action - or None if it has none. Of a search without a policy, that is what it would look at
next; if it is asked to be greedy, its best student.
"""

import numpy as np

NAME = "hill-climbing"


def search(env, evaluations, seed):
    rng = np.random.default_rng(seed)
    decisions = int(env.observation_space["position"].n) - 1

    def neighbour(actions):
        changed = rng.random(decisions) < 1 / decisions
        changed[rng.integers(decisions)] = True
        return np.where(changed, rng.integers(env.action_space.n, size=decisions), actions)

    def play(actions):
        env.reset()
        for action in actions:
            _, reward, _, _, _ = env.step(action)
        return reward

    best = rng.integers(env.action_space.n, size=decisions)
    best_reward = play(best)
    for _ in range(evaluations - 1):
        tried = neighbour(best)
        reward = play(tried)
        if reward >= best_reward:  # plateaus are wide: walk along them
            best, best_reward = tried, reward

    next_one = best

    def policy(observation, greedy):
        nonlocal next_one
        if observation["position"] == 0:
            next_one = best if greedy else neighbour(best)
        return next_one[observation["position"]]

    return policy
