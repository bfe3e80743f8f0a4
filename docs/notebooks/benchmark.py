# %% [markdown]
# # Your algorithm on the benchmark
#
# An algorithm is one file with a name and a function. It plays so many episodes of a Gymnasium environment whose rewards are
# looked up, and what it found is measured against the best that there is.
# %% writefile first_improvement.py
"""Keeps the best episode, and changes one decision of it at a time."""

import numpy as np

NAME = "first-improvement"


def search(env, evaluations, seed):
    rng = np.random.default_rng(seed)
    decisions = int(env.observation_space["position"].n) - 1
    best, best_reward = np.zeros(decisions, dtype=int), -np.inf
    for _ in range(evaluations):
        tried = best.copy()
        if best_reward > -np.inf:
            place = rng.integers(decisions)
            tried[place] = rng.integers(env.action_space.n)
        env.reset()
        for action in tried:
            _, reward, _, _, _ = env.step(int(action))
        if reward >= best_reward:
            best, best_reward = tried, reward
    return lambda observation, _greedy: best[int(observation["position"])]


# %% [markdown]
# Beside random search on one of the tables, with few seeds and few students; the [rules](../benchmark.md) ask for 20 seeds and
# 500 students on all of them. The same in a terminal: `n2n benchmark --agents first_improvement.py random ...`.
# %%
from agents.commands.main import main

words = (
    "benchmark --agents first_improvement.py random --tasks conv4-digits-removal --seeds 3 --evaluations 60 --out benchmark"
)
main(words.split())
# %% [markdown]
# The result file has every episode; whoever gets it can play them again.
# %%
import json
from pathlib import Path

results = json.loads(Path("benchmark/agents/first-improvement.json").read_text())
{key: results[key] for key in ("agent", "evaluations") if key in results}
