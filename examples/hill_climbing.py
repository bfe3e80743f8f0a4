"""An algorithm for the benchmark, in one file: n2n benchmark --agents random examples/hill_climbing.py

It changes one decision of the best episode so far, and starts anew from a random one after 30 tries without success.
"""

import numpy as np

NAME = "hill-climbing"


def search(env, evaluations, seed):
    """Look at `evaluations` students; return the policy: (observation, greedy) -> action."""
    rng = np.random.default_rng(seed)
    best, best_reward, current, current_reward, failures = None, -np.inf, None, -np.inf, 0
    for _ in range(evaluations):
        restart = current is None or failures == 30
        actions, reward = play(env, rng, None if restart else current)
        failures = 0 if restart or reward > current_reward else failures + 1
        if restart or reward >= current_reward:
            current, current_reward = actions, reward
        if reward > best_reward:
            best, best_reward = actions, reward
    return lambda observation, _greedy: best[observation["position"]]


def play(env, rng, base):
    """One episode: a random one, or `base` with one decision changed."""
    env.reset()
    changed = None if base is None else rng.integers(len(base))
    actions, over = [], False
    while not over:
        keep = base is not None and len(actions) != changed
        choices = np.flatnonzero(env.get_wrapper_attr("action_masks")())
        actions.append(base[len(actions)] if keep else rng.choice(choices))
        _, reward, over, _, _ = env.step(actions[-1])
    return actions, reward
