"""Tianshou: PPO with its vectorised collector and its replay buffer, which keeps every step's `info`.

pip install "n2n-gym[ecosystem]"; python examples/ecosystem/tianshou_ppo.py
"""

import gymnasium as gym
import torch
from gymnasium.wrappers import FlattenObservation
from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, CollectStats, VectorReplayBuffer
from tianshou.env import SubprocVectorEnv
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic, dist_fn_categorical_from_logits

import n2n_gym  # noqa: F401  registers the environments

ENVS, UPDATES, EPISODES_PER_UPDATE, UNITS, LEARNING_RATE = 4, 15, 20, 64, 0.003


def make() -> gym.Env:
    """Tianshou's networks read vectors: Gymnasium's own wrapper makes one of the observation."""
    return FlattenObservation(gym.make("N2N/LayerRemoval-v0", evaluator="table"))


def main() -> None:
    torch.manual_seed(0)
    single = make()
    steps = EPISODES_PER_UPDATE * (int(single.unwrapped.observation_space["position"].n) - 1)
    envs = SubprocVectorEnv([make] * ENVS)
    envs.seed(0)
    body = Net(state_shape=single.observation_space.shape, hidden_sizes=(UNITS,))
    policy = ProbabilisticActorPolicy(
        actor=DiscreteActor(preprocess_net=body, action_shape=int(single.action_space.n), softmax_output=False),
        dist_fn=dist_fn_categorical_from_logits,
        action_space=single.action_space,
        action_scaling=False,
        action_bound_method=None,
    )
    ppo = PPO(
        policy=policy,
        critic=DiscreteCritic(preprocess_net=body),
        optim=AdamOptimizerFactory(lr=LEARNING_RATE),
        gamma=1.0,
    )
    buffer = VectorReplayBuffer(steps, ENVS)
    collector = Collector[CollectStats](ppo, envs, buffer)
    first = collector.collect(n_episode=EPISODES_PER_UPDATE, reset_before_collect=True).returns.mean()
    ppo.run_training(
        OnPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=UPDATES * steps,
            collection_step_num_env_steps=steps,
            update_step_num_repetitions=4,
            show_progress=False,
            verbose=False,
        )
    )
    last = collector.collect(n_episode=EPISODES_PER_UPDATE, reset_before_collect=True).returns.mean()
    ends = buffer.info[buffer.done]  # what the environment said of each student still in the buffer
    print(
        f"Tianshou's PPO, {UPDATES} updates: mean reward {first:.3f} before, {last:.3f} after; students in the buffer: "
        f"{ends.parameters.min():,} to {ends.parameters.max():,} parameters, {ends.accuracy.max():.1%} accurate"
    )
    envs.close()


if __name__ == "__main__":  # worker processes import this file again
    main()
