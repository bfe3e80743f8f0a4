"""Where a search's figures go besides its folder: TensorBoard's logs, Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from agents.search.options import Search
from n2n_gym.errors import InputError

TENSORBOARD = "tensorboard"
"""In a run's folder: a folder of logs for each stage."""


@contextmanager
def tracked(search: Search, folder: Path, run: str, stage: int) -> Iterator[Logger]:
    """A stage's logger, with all that was asked for behind it.

    Args:
        search: What was asked for.
        folder: The run's.
        run: Its name among all runs: one that is gone on with is the same there.
        stage: 1 or 2.

    Raises:
        InputError: If a package is missing.
    """
    writers: list[KVWriter] = []
    if search.tensorboard:
        place = folder / TENSORBOARD / f"stage{stage}"
        try:
            writers.append(TensorBoardOutputFormat(str(place)))
        except (AssertionError, ImportError):
            raise _missing("tensorboard") from None
    if search.wandb is not None:
        writers.append(_Wandb(search, folder, run, stage))
    logger = Logger(str(folder), writers)
    try:
        yield logger
    finally:
        logger.close()


def check_trackers(search: Search) -> None:
    """Say what is missing before anything is trained.

    Raises:
        InputError: If a package is.
    """
    wanted = {"tensorboard": search.tensorboard, "wandb": search.wandb is not None}
    for package, asked in wanted.items():
        if asked:
            try:
                __import__("torch.utils.tensorboard" if package == "tensorboard" else package)
            except ImportError:
                raise _missing(package) from None


def _missing(package: str) -> InputError:
    return InputError(f"--{package} needs a package that is not installed: pip install 'n2n-gym[{package}]'")


class _Wandb(KVWriter):
    """Weights & Biases: one run there for one run here, whose stages count their policy updates by themselves."""

    def __init__(self, search: Search, folder: Path, run: str, stage: int) -> None:
        import wandb

        self._stage = f"stage{stage}"
        self._run = wandb.init(
            project=search.wandb,
            name=folder.name,
            id=run,
            resume="allow",
            config=search.configuration,
            dir=str(folder),
        )
        self._run.define_metric(f"{self._stage}/*", step_metric=f"{self._stage}/update")

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        numbers = {f"{self._stage}/{key}": value for key, value in key_values.items() if isinstance(value, int | float)}
        self._run.log({**numbers, f"{self._stage}/update": step})

    def close(self) -> None:
        self._run.finish()
