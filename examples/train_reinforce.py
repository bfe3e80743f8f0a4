"""Train the paper's agent on layer removal, several episodes side by side, and look at what it would do.

python examples/train_reinforce.py [updates]
"""

import sys

import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments
from agents import Reinforce
from agents.algorithms.sb3 import BatchedVecEnv


def main(updates: int = 30, workers: int = 2) -> None:
    envs = BatchedVecEnv(gym.make_vec("N2N/LayerRemoval-v0", num_envs=5, teacher="conv4", workers=workers))
    agent = Reinforce("BidirectionalLstmPolicy", envs, learning_rate=0.003, normalize_advantage=False, seed=0)
    agent.learn(updates * 5 * 16, progress_bar=True)  # 5 episodes an update, 16 decisions an episode

    observation, state, done = envs.reset(), None, [False]
    while not done[0]:
        actions, state = agent.predict(observation, state, deterministic=True)
        observation, rewards, done, infos = envs.step(actions)
    print(f"the likeliest student: reward {rewards[0]:.3f}, {infos[0]['parameters']:,} parameters, {infos[0]['accuracy']:.1%}")
    envs.close()


if __name__ == "__main__":  # worker processes import this file again
    main(*map(int, sys.argv[1:2]))
