# %% [markdown]
# # An environment in five minutes
#
# An agent walks along a trained network and decides of each layer whether it stays. Here the network is a small convolutional
# one on handwritten digits, and nothing is trained: every student of this space was, and its reward is looked up.
# %%
import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments

env = gym.make("N2N/LayerRemoval-v0", teacher="conv4", dataset="digits", evaluator="table", render_mode="ansi")
env.action_space.seed(4)
observation, info = env.reset(seed=0)
{name: (space.shape, space.dtype) for name, space in env.observation_space.items()}
# %% [markdown]
# ## An episode
#
# Sixteen decisions, one for each layer; 0 keeps, 1 removes. All rewards but the last are 0.
# %%
done = False
while not done:
    observation, reward, done, truncated, info = env.step(env.action_space.sample())
print(env.render())
print(f"reward {reward:.3f}: {info['accuracy']:.1%} accurate, {info['parameters']:,} parameters {info['reason']}")
# %% [markdown]
# ## What a student is, before it is trained
#
# `preview` tells sizes and verdict of a whole episode; masks rule out what can only fail.
# %%
keep_all_but_two = [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
preview = env.unwrapped.preview(keep_all_but_two)
print(preview)
env.reset()
print("what may be done with the first layer:", env.unwrapped.action_masks())
# %% [markdown]
# ## The best that there is
#
# In a space that was trained whole, it is known.
# %%
from n2n_gym.tables import Table

table = Table.load("conv4-digits-removal")
best = table.best("paper", "search")
print(f"{len(table):,} students; the best has reward {best.value:.4f} and {best.evaluation.parameters:,} parameters")
# %% [markdown]
# ## An agent that learns
#
# Any algorithm for Gymnasium plays, here one of sb3-contrib that obeys the masks, for some 190 episodes.
# %%
from sb3_contrib import MaskablePPO

agent = MaskablePPO("MultiInputPolicy", env, n_steps=256, gamma=1.0, gae_lambda=1.0, seed=0, device="cpu")
agent.learn(3_072)
rewards = [episode["r"] for episode in agent.ep_info_buffer]
earlier, later = sum(rewards[:20]) / 20, sum(rewards[-20:]) / 20
print(f"mean reward of 20 episodes {earlier:.3f}, of 20 episodes 80 later {later:.3f}")
# %% [markdown]
# With `evaluator="distillation"`, the default, the same episodes train their students; `gym.make_vec` runs several side by
# side. All arguments stand on the [environment's page](../environments/layer-removal.md).
