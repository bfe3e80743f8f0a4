"""TorchRL: its own environment by the registered name, its check of what that environment says, and a few episodes.

pip install "n2n-gym[ecosystem]"; python examples/ecosystem/torchrl_env.py

`GymEnv` passes keyword arguments on to `gym.make`. Several episodes side by side: `ParallelEnv(4, make)`.
"""

import torch
from torchrl.envs import GymEnv, TransformedEnv
from torchrl.envs.transforms import RewardSum
from torchrl.envs.utils import check_env_specs

import n2n_gym  # noqa: F401  registers the environments

IDS = ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0")
EPISODES = 20


def main() -> None:
    summary = []
    for name in IDS:
        env = TransformedEnv(GymEnv(name, evaluator="table"), RewardSum())
        check_env_specs(env)
        torch.manual_seed(0)  # the random policy's actions
        episodes = [env.rollout(1000) for _ in range(EPISODES)]
        rewards = [float(episode["next", "episode_reward"][-1]) for episode in episodes]
        summary.append(f"{name} {len(episodes[0])} decisions, mean reward {sum(rewards) / EPISODES:.3f}")
        env.close()
    print("TorchRL, a random policy: " + "; ".join(summary))


if __name__ == "__main__":
    main()
