"""Augmented random search (Mania et al., 2018) of sb3-contrib, as a submission to the leaderboard.

It perturbs the weights of a linear policy, which always takes its most probable action: so a direction is tried by one episode
each way.
"""

from sb3_contrib import ARS

from n2n_gym.envs.wrappers import EncodedObservation

NAME = "ars"


def search(env, budget, seed):
    env = EncodedObservation(env, "flat")
    decisions = int(env.unwrapped.observation_space["position"].n) - 1
    directions = max(n for n in (1, 2, 5) if budget % (2 * n) == 0 or n == 1)
    agent = ARS("LinearPolicy", env, n_delta=directions, delta_std=0.1, learning_rate=0.1, seed=seed, device="cpu")
    while True:  # until the environment ends it
        agent.learn(budget * decisions, reset_num_timesteps=agent.num_timesteps == 0)
