"""n2n-gym: Gymnasium environments in which an agent compresses a neural network."""

from __future__ import annotations

from gymnasium.envs.registration import register

__version__ = "0.1.0"

register(
    id="N2N/LayerRemoval-v0",
    entry_point="n2n_gym.envs.layer_removal:LayerRemovalEnv",
    vector_entry_point="n2n_gym.envs.layer_removal:LayerRemovalVectorEnv",
)
register(
    id="N2N/LayerShrink-v0",
    entry_point="n2n_gym.envs.layer_shrink:LayerShrinkEnv",
    vector_entry_point="n2n_gym.envs.layer_shrink:LayerShrinkVectorEnv",
)
