"""The environments unmodified in other libraries: each example of examples/ecosystem, where its library is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import n2n_gym  # noqa: F401  registers the environments
from n2n_gym.tables.table import Table

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "ecosystem"
LIBRARIES = {
    "torchrl_env": "torchrl.envs",
    "tianshou_ppo": "tianshou",
    "minari_dataset": "minari",
    "rllib_ppo": "ray.rllib.algorithms.ppo",
}
"""What must be importable for each example."""


def last_line(name: str, folder: Path) -> str:
    """What an example prints at the end, if it ends well."""
    pytest.importorskip(LIBRARIES[name], exc_type=ImportError)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def numbers(pattern: str, line: str) -> list[float]:
    found = re.search(pattern, line)
    assert found, line
    return [float(number.replace(",", "")) for number in found.groups()]


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(LIBRARIES)


def test_torchrl_checks_the_specs_of_both_environments(tmp_path):
    line = last_line("torchrl_env", tmp_path)
    for name in ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0"):
        decisions, reward = numbers(rf"{name} (\d+) decisions, mean reward (-?[\d.]+)", line)
        assert decisions == gym.make(name, evaluator="table").unwrapped.stage.decisions
        assert -1 <= reward < 1


def test_tianshou_learns_and_its_buffer_keeps_info(tmp_path):
    line = last_line("tianshou_ppo", tmp_path)
    before, after = numbers(r"mean reward (-?[\d.]+) before, (-?[\d.]+) after", line)
    fewest, most, accuracy = numbers(r"([\d,]+) to ([\d,]+) parameters, ([\d.]+)% accurate", line)
    assert after > before
    assert 0 < fewest <= most
    assert 0 < accuracy <= 100


def test_minari_reads_back_what_the_table_says(tmp_path):
    line = last_line("minari_dataset", tmp_path)
    episodes, steps, reward, again, parameters = numbers(
        r"(\d+) episodes, (\d+) steps: the best has reward ([\d.]+) \(played again ([\d.]+)\), ([\d,]+) parameters", line
    )
    actions = [int(action) for action in line.rpartition("[")[2].rstrip("]").split(", ")]
    assert steps == episodes * len(actions)
    assert reward == again
    env = gym.make("N2N/LayerRemoval-v0", evaluator="table")
    env.reset()
    for action in actions:
        _, played, _, _, info = env.step(action)
    assert reward == pytest.approx(played, abs=5e-5)
    assert parameters == info["parameters"]
    assert reward <= round(Table.load("conv4-digits-removal").best().value, 4)


def test_rllib_learns_from_remote_runners(tmp_path):
    line = last_line("rllib_ppo", tmp_path)
    episodes, first, last = numbers(r"(\d+) episodes: mean reward (-?[\d.]+) at first, (-?[\d.]+) at last", line)
    assert episodes > 100
    assert last > first
