"""n2n-gym: Gymnasium environments in which an agent compresses a neural network."""

from __future__ import annotations

from n2n_gym.envs.registration import register

__version__ = "0.2.0"

register("N2N/LayerRemoval-v0", "n2n_gym.envs.layer_removal", "LayerRemoval")
register("N2N/LayerShrink-v0", "n2n_gym.envs.layer_shrink", "LayerShrink")
