"""Deep Q-networks (Mnih et al., 2015) of Stable-Baselines3, as a submission to the leaderboard.

Rewards come at the end, so a target is what a whole episode brought: n-step returns with as many steps as there are decisions.
Rates and intervals fit some thousand steps; the rest is the library's default.
"""

from stable_baselines3 import DQN

from n2n_gym.envs.wrappers import EncodedObservation

NAME = "dqn"


def search(env, budget, seed):
    env = EncodedObservation(env, "flat")
    decisions = int(env.unwrapped.observation_space["position"].n) - 1
    steps = budget * decisions
    agent = DQN(
        "MlpPolicy",
        env,
        learning_rate=1e-3,
        gamma=1.0,
        n_steps=decisions,
        buffer_size=steps,
        learning_starts=min(500, steps // 4),
        target_update_interval=500,
        exploration_fraction=0.5,
        seed=seed,
        device="cpu",
    )
    while True:  # until the environment ends it
        agent.learn(steps, reset_num_timesteps=agent.num_timesteps == 0)
