"""SIGKILL at moments spread over a whole run, from the teacher's training to the export: does every resumed run end the same?

A run is killed from outside at a share of the time that a phase took undisturbed, then gone on with to its end, and all that
it leaves is compared, bit by bit, with what an undisturbed one left: history, policies, weights, result (but for times),
exported files. Trainings are written down after each epoch here, not every 15 seconds, so that small ones, too, are gone on
with in their middle.

python benchmarks/kill_anywhere.py [--kills 50] [--workers 0] [--out FILE]
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from report import Report
from safetensors import safe_open

from agents import compress, export
from agents.display import Display
from n2n_gym.system.tensors import tensors_hash
from n2n_gym.training import resume

for module in (
    "agents.algorithms.registry",
    "agents.search.compress",
    "n2n_gym.evaluators.distillation",
    "n2n_gym.models.export.forms",
    "n2n_gym.teachers.saved",
):  # what a run imports when it needs it is the same for all of them
    importlib.import_module(module)

TRIES = 10
"""Of a run that is over before its kill."""

PHASES = ("teacher", "stage 1", "stage 2", "finals", "export")


class Phases(Display):
    """Tells which phase a run is in.

    Args:
        tell: Told its name.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell

    def start(self, task: str, total: int, done: int = 0) -> None:
        self._tell("finals" if "final training" in task else task)


def run(place: Path, options: dict[str, Any], tell: Callable[[str], object]) -> None:
    """Compress and export, in a home of its own; what is there already is gone on with."""
    os.environ["N2N_HOME"] = str(place / "home")
    resume.SECONDS = 0.0
    compress(**options, out=str(place / "run"), display=Phases(tell))
    tell("export")
    export(place / "run")


class Child:
    """A run in a process of its own, which shares what was imported here.

    Args:
        place: Where it keeps everything.
        options: Of `compress`.
    """

    def __init__(self, place: Path, options: dict[str, Any]) -> None:
        self._read, write = os.pipe()
        self._heard = ""
        self.pid = os.fork()
        if not self.pid:
            os.close(self._read)
            status = 1
            try:
                os.dup2(os.open(place / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
                run(place, options, lambda phase: os.write(write, f"{phase}\n".encode()))
                status = 0
            except BaseException as error:  # whatever it is, this copy of the program must not go on
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        os.close(write)

    def phase(self) -> str | None:
        """The phase that begins next; None if the run ends first."""
        while "\n" not in self._heard:
            more = os.read(self._read, 4096).decode()
            if not more:
                return None
            self._heard += more
        line, self._heard = self._heard.split("\n", 1)
        return line

    def ends_within(self, seconds: float) -> bool:
        """Whether the run ends before some time has passed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._read], [], [], left)[0]:
                more = os.read(self._read, 4096).decode()
                if not more:
                    return True
                self._heard += more
        return False

    def end(self, *, kill: bool = False) -> int:
        """How it ended: 0, or the number of the signal that ended it, negative."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._read)
        return os.waitstatus_to_exitcode(status)


def left(place: Path) -> dict[str, str]:
    """A hash of each thing that a run leaves, without times and paths."""
    folder = place / "run"
    result = json.loads((folder / "result.json").read_text())
    del result["started"], result["finished"]
    del result["search"]["seconds"], result["search"]["trained"], result["search"]["from_store"]
    with (folder / "history.csv").open(newline="") as file:
        history = [{k: v for k, v in row.items() if k not in ("seconds", "from_store")} for row in csv.DictReader(file)]
    plain = {"result.json": json.dumps(result).replace(str(place), ""), "history.csv": json.dumps(history)}
    found = {name: sha256(text.encode()).hexdigest() for name, text in plain.items()}
    files = [*folder.rglob("*.safetensors"), *folder.glob("*.policy"), *folder.glob("*.json"), *folder.glob("export/*.py")]
    for path in [*files, *(place / "home").rglob("*.safetensors")]:
        if path.name not in ("result.json", "config.json"):
            found[str(path.relative_to(place))] = content(path)
    return found


def content(path: Path) -> str:
    """A hash of what a file holds; safetensors writes its metadata in any order."""
    if path.suffix not in (".safetensors", ".policy"):
        return sha256(path.read_bytes()).hexdigest()
    with safe_open(path, framework="pt") as file:
        said = json.dumps(file.metadata(), sort_keys=True)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    return sha256(f"{said} {tensors_hash(tensors)}".encode()).hexdigest()


def undisturbed(place: Path, options: dict[str, Any]) -> dict[str, float]:
    """Seconds of each phase of a run that nothing befalls."""
    child, seconds, phase, begun = Child(place, options), dict.fromkeys(PHASES, 0.0), "", 0.0
    while (following := child.phase()) is not None:
        if phase:
            seconds[phase] += time.monotonic() - begun
        phase, begun = following, time.monotonic()
    seconds[phase] += time.monotonic() - begun
    if child.end():
        raise SystemExit((place / "said").read_text())
    return seconds


def killed_at(place: Path, options: dict[str, Any], phase: str, after: float) -> float:
    """Kill a run about so many seconds after a phase has begun; one that was over is begun anew, and killed earlier.

    Returns:
        After how many seconds it was killed.
    """
    for _ in range(TRIES):
        place.mkdir()
        if killed(place, options, phase, after):
            return after
        said = (place / "said").read_text()
        shutil.rmtree(place)
        after /= 2
    raise SystemExit(f"no run could be killed in its phase {phase}; the last one said: {said[-500:]}")


def killed(place: Path, options: dict[str, Any], phase: str, after: float) -> bool:
    """Kill a run some seconds after a phase has begun; whether it was still running."""
    child = Child(place, options)
    while (begun := child.phase()) != phase:
        if begun is None:
            child.end()
            return False
    return not child.ends_within(after) and child.end(kill=True) == -signal.SIGKILL


def main(
    kills: int = 50,
    width: float = 0.1,
    train_size: int = 60,
    iterations: int = 4,
    workers: int = 0,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Kill and resume.

    Args:
        kills: How many, each of a run of its own, as many in each phase.
        width: Of the teacher, a Conv4 on digits.
        train_size: Its images.
        iterations: Policy updates of each stage.
        workers: Processes that train students.
        seed: Of the moments.
        out: The JSON file.
    """
    report = Report("kill_anywhere-conv4-digits", ("equal", "seconds_into_phase"), out)
    options = {"teacher": "conv4", "dataset": "digits", "width": width, "train_size": train_size, "iterations": iterations}
    options |= {"rollouts": 3, "workers": workers, "device": "cpu", "finalists": 2, "final_trainings": 2, "final_epochs": 5}
    options |= {"speed": False, "beside": ()}
    rng = np.random.default_rng(seed)
    equal = 0
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("undisturbed", *map(str, range(kills)))]
        places[0].mkdir()
        seconds = undisturbed(places[0], options)
        expected = left(places[0])
        report.facts |= {"seconds_of_phases": seconds, "files_compared": len(expected)}
        for number, place in enumerate(places[1:]):
            phase = PHASES[number % len(PHASES)]
            share = (number // len(PHASES) + rng.random()) / -(-kills // len(PHASES))
            after = killed_at(place, options, phase, share * seconds[phase])
            ended = Child(place, options)
            while ended.phase() is not None:
                pass
            failed = ended.end()
            found = {} if failed else left(place)
            differs = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            equal += not differs
            said = f", {(place / 'said').read_text()[-500:]}" if failed else ""
            report.add(
                f"{phase}, {share:.2f} of it",
                equal=not differs,
                differs=", ".join(differs[:5]) + said,
                seconds_into_phase=after,
            )
    report.claim("runs that were killed before they were over, and ended bit-equal", equal, at_least=kills)
    report.finish()


if __name__ == "__main__":
    tyro.cli(main)
