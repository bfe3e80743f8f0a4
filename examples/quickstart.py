# %% [markdown]
# # Quickstart
# A script, and a notebook for editors that read `# %%` cells. From top to bottom it takes about a minute on two cores: play
# an episode, see what the student is worth, look up a space that was trained before, let an agent learn there.

# %% One episode: layers of a Conv4 are removed at random, the student is trained on digits
import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments

env = gym.make("N2N/LayerRemoval-v0", teacher="conv4", dataset="digits", render_mode="ansi")
env.action_space.seed(4)
observation, info = env.reset(seed=0)
done = False
while not done:
    observation, reward, done, _, info = env.step(env.action_space.sample())
print(env.render())
print(f"reward {reward:.3f}: {info['accuracy']:.1%} accurate, {info['parameters']:,} parameters {info['reason']}")

# %% The whole space, trained before: what is the best student that there is?
from n2n_gym.tables import Table  # noqa: E402

table = Table.load("conv4-digits-removal")
best = table.best("paper", "search")  # of the trainings that an environment shows
print(f"{len(table):,} students; the best has reward {best.value:.4f} and {best.evaluation.parameters:,} parameters")
print([(entry.evaluation.parameters, round(entry.value, 3)) for entry in table.pareto_front()])

# %% REINFORCE that imitates its best on that table: a reward is a look-up now
from agents.algorithms.registry import algorithm  # noqa: E402
from agents.algorithms.sb3 import BatchedVecEnv  # noqa: E402

envs = BatchedVecEnv(gym.make_vec("N2N/LayerRemoval-v0", num_envs=5, teacher="conv4", dataset="digits", evaluator="table"))
agent = algorithm("reinforce-imitating").make(envs, stage=1, seed=0)
agent.learn(100 * 5 * envs.envs.stage.decisions)
recent = [episode["r"] for episode in agent.ep_info_buffer]
print(f"mean reward of its last {len(recent)} students: {sum(recent) / len(recent):.3f}")
