"""RLlib: PPO whose students are evaluated in remote environment runners.

pip install "n2n-gym[ecosystem]"; python examples/ecosystem/rllib_ppo.py

The name before the colon is the module that registers the environments: each remote process imports it.
"""

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations

ENV = "n2n_gym:N2N/LayerRemoval-v0"
RUNNERS, ENVS_PER_RUNNER, UPDATES, STEPS_PER_UPDATE, LEARNING_RATE = 2, 2, 8, 512, 0.001


def main() -> None:
    ray.init(num_cpus=RUNNERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    config = (
        PPOConfig()
        .environment(ENV, env_config={"evaluator": "table"})
        .env_runners(
            num_env_runners=RUNNERS,
            num_envs_per_env_runner=ENVS_PER_RUNNER,
            # RLlib has no network for Dict observations: its connector makes vectors of them
            env_to_module_connector=lambda *_: FlattenObservations(),
        )
        .training(gamma=1.0, lr=LEARNING_RATE, train_batch_size_per_learner=STEPS_PER_UPDATE, minibatch_size=128, num_epochs=6)
        .debugging(seed=0, log_level="ERROR")
    )
    ppo = config.build_algo()
    results = [ppo.train()["env_runners"] for _ in range(UPDATES)]
    ppo.stop()
    ray.shutdown()
    print(
        f"RLlib's PPO, {RUNNERS} remote runners, {int(results[-1]['num_episodes_lifetime'])} episodes: mean reward "
        f"{results[0]['episode_return_mean']:.3f} at first, {results[-1]['episode_return_mean']:.3f} at last"
    )


if __name__ == "__main__":
    main()
