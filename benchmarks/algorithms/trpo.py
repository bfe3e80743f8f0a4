"""Trust-region policy optimisation (Schulman et al., 2015) of sb3-contrib, as a submission to the leaderboard.

An update has five episodes, as the paper's; returns are not discounted and not bootstrapped, for rewards come at the end.
"""

from sb3_contrib import TRPO

from n2n_gym.envs.wrappers import EncodedObservation

NAME = "trpo"

EPISODES = 5


def search(env, budget, seed):
    env = EncodedObservation(env, "flat")
    decisions = int(env.unwrapped.observation_space["position"].n) - 1
    steps = EPISODES * decisions
    agent = TRPO(
        "MlpPolicy", env, n_steps=steps, batch_size=steps, gamma=1.0, gae_lambda=1.0, target_kl=0.05, seed=seed, device="cpu"
    )
    while True:  # until the environment ends it
        agent.learn(budget * decisions, reset_num_timesteps=agent.num_timesteps == 0)
