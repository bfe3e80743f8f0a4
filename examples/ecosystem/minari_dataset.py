"""Minari: record episodes with everything that `info` says, make a data set of them, read it back.

pip install "n2n-gym[ecosystem]"; python examples/ecosystem/minari_dataset.py [folder]

The data set goes to `folder`, a temporary one by default: Minari's own place is ~/.minari/datasets.
"""

import os
import sys
import tempfile

import gymnasium as gym
import minari

import n2n_gym  # noqa: F401  registers the environments

DATASET, EPISODES = "n2n/conv4-digits-removal/random-v0", 50


def record() -> None:
    env = gym.make("N2N/LayerRemoval-v0", evaluator="table")
    collector = minari.DataCollector(env, record_infos=True)
    collector.action_space.seed(0)
    for episode in range(EPISODES):
        collector.reset(seed=episode)
        done = False
        while not done:
            _, _, done, _, _ = collector.step(collector.action_space.sample())
    collector.create_dataset(
        DATASET,
        eval_env=env.spec,
        algorithm_name="random policy",
        author="n2n-gym",
        author_email="n2n-gym@example.org",
        code_permalink="examples/ecosystem/minari_dataset.py",
        description="Random students of a Conv4 on digits, looked up in the table of all of them",
        requirements=["n2n-gym"],
        ref_min_score=-1.0,
        ref_max_score=1.0,
    )
    collector.close()


def replay(dataset: minari.MinariDataset, episode: minari.EpisodeData) -> float:
    """The same actions in the environment that the data set says it is of."""
    env = dataset.recover_environment()
    env.reset(seed=0)
    return sum(float(env.step(action)[1]) for action in episode.actions)


def main(folder: str) -> None:
    os.environ["MINARI_DATASETS_PATH"] = folder
    record()
    dataset = minari.load_dataset(DATASET)
    best = max(dataset.iterate_episodes(), key=lambda episode: episode.rewards.sum())
    print(
        f"Minari, {dataset.total_episodes} episodes, {dataset.total_steps} steps: the best has "
        f"reward {best.rewards.sum():.4f} (played again {replay(dataset, best):.4f}), "
        f"{best.infos['parameters'][-1]:,} parameters, actions {best.infos['actions'][-1].tolist()}"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
