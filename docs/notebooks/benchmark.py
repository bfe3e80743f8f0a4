# %% [markdown]
# # Your algorithm on the benchmark
#
# An algorithm is one file with a name and a function. It plays episodes of a Gymnasium environment whose rewards are looked
# up, until its budget of distinct students is spent, and what it chose is judged by trainings that it has not seen.
# %% writefile first_improvement.py
"""Keeps the best episode, and changes one decision of it at a time."""

import numpy as np

NAME = "first-improvement"


def search(env, _budget, seed):
    rng = np.random.default_rng(seed)
    decisions = int(env.observation_space["position"].n) - 1
    best, best_reward = np.zeros(decisions, dtype=int), -np.inf
    while True:  # the benchmark ends it
        tried = best.copy()
        if best_reward > -np.inf:
            place = rng.integers(decisions)
            tried[place] = rng.integers(env.action_space.n)
        env.reset()
        for action in tried:
            _, reward, _, _, _ = env.step(int(action))
        if reward >= best_reward:
            best, best_reward = tried, reward


# %% [markdown]
# Beside random search on one of the tables, with few seeds and short; the [rules](../benchmark.md) ask for 10 seeds on all of
# them, and for 100 students: random search is at 0 in the long run, and what it has after three short runs is chance. The same
# in a terminal: `n2n benchmark --agents first_improvement.py random ...`.
# %%
from agents.commands.main import main

words = """
benchmark --agents first_improvement.py random --tasks conv4-digits-removal --tracks reward
--seeds 3 --budgets 5 20 --out benchmark
"""
main(words.split())
# %% [markdown]
# The result file has every episode; whoever gets it can play them again.
# %%
import json
from pathlib import Path

results = json.loads(Path("benchmark/agents/first-improvement.json").read_text())
{key: results[key] for key in ("agent", "budgets")} | {"students": results["runs"][0]["students"][:5]}
