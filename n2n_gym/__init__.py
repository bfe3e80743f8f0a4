"""n2n-gym: Gymnasium environments in which an agent compresses a neural network."""

from __future__ import annotations

import os

from n2n_gym.envs.registration import register

__version__ = "0.2.0"

register("N2N/LayerRemoval-v0", "n2n_gym.envs.layer_removal", "LayerRemoval")
register("N2N/LayerShrink-v0", "n2n_gym.envs.layer_shrink", "LayerShrink")
register("N2N/BothStages-v0", "n2n_gym.envs.both_stages", "BothStages")

# Threads that wait for each other sleep: spinning, two of them on a busy machine train a hundred times slower than one (docs/
# speed.md). OpenMP reads this when torch is loaded, GNU's the first, Intel's and LLVM's the second.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
