"""Play one random episode: remove layers of a network at random, see what the student is worth.

python examples/quickstart.py [teacher]
"""

import sys

import gymnasium as gym

import n2n_gym  # noqa: F401  registers the environments


def main(teacher: str = "conv4") -> None:
    env = gym.make("N2N/LayerRemoval-v0", teacher=teacher, render_mode="ansi")
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    done = False
    while not done:
        _, reward, done, _, info = env.step(env.action_space.sample())
    print(env.render())
    print(f"reward {reward:.3f}: {info['accuracy']:.1%} accurate, {info['parameters']:,} parameters {info['reason']}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
