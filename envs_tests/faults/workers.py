"""Faults of worker processes, and of the memory of a run."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envs_tests.faults.harness import Fault, Refused, Same, Scene
from n2n_gym.errors import InputError
from n2n_gym.system import pool
from n2n_gym.system import worker as workers

WORKERS = {"workers": 1}

Fate = Callable[[int], object]
"""What befalls a process of that number."""


def _befalls(fate: Fate, scene: Scene) -> None:
    """A worker meets its fate as it takes up its second task."""
    begin, begun = workers.Worker.begin, []

    def beginning(worker: workers.Worker, *arguments: Any) -> None:
        begun.append(worker)
        begin(worker, *arguments)
        if len(begun) == 2:
            fate(worker.process.pid or 0)

    scene.monkeypatch.setattr(workers.Worker, "begin", beginning)


def _stopped(scene: Scene) -> None:
    scene.monkeypatch.setattr(workers, "SILENCE", 10.0)
    _befalls(lambda process: os.kill(process, signal.SIGSTOP), scene)


def _killed(scene: Scene) -> None:
    _befalls(lambda process: os.kill(process, signal.SIGKILL), scene)


def _segfault(scene: Scene) -> None:
    _befalls(lambda process: os.kill(process, signal.SIGSEGV), scene)


def _short_of_memory(process: int) -> None:
    size = int(Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process, resource.RLIMIT_AS, (size + 2**16, size + 2**16))


def _out_of_memory(scene: Scene) -> None:
    _befalls(_short_of_memory, scene)


def _always_killed(scene: Scene) -> None:
    look = workers.Worker.look

    def looking(worker: workers.Worker, passed: float) -> None:
        if worker.ready:
            os.kill(worker.process.pid or 0, signal.SIGKILL)
            worker.process.join()
        look(worker, passed)

    scene.monkeypatch.setattr(workers.Worker, "look", looking)
    scene.monkeypatch.setattr(pool, "MOST_LOST", 3)


def _killed_as_it_starts(scene: Scene) -> None:
    started = workers.Worker.started

    def starting(*arguments: Any) -> workers.Worker:
        worker: workers.Worker = started(*arguments)
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        return worker

    scene.monkeypatch.setattr(workers.Worker, "started", starting)


NOISE = """
import os, threading, time

def talk():
    while True:
        for stream in (1, 2):
            os.write(stream, b"\\x80\\x04garbage\\n")
        open(HEARD, "w").close()
        time.sleep(0.05)

threading.Thread(target=talk, daemon=True).start()
"""


def _talkative(scene: Scene) -> None:
    """Each process that begins talks nonsense for as long as it lives."""
    folder = scene.place / "noise"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NOISE.replace("HEARD", repr(str(folder / "heard"))))
    scene.monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


def _goes_on_in_noise(scene: Scene) -> None:
    scene.go_on()
    assert (scene.place / "noise" / "heard").exists()


def undone(scene: Scene) -> None:
    """The machine is as it was."""
    scene.monkeypatch.undo()
    scene.monkeypatch.setenv("N2N_HOME", str(scene.home))
    scene.changed = {}


def _nothing(scene: Scene) -> None:
    """What goes wrong, goes wrong later."""


def words(scene: Scene, **changed: str) -> list[str]:
    """The scene's run, or one that is a little different, as words of `n2n compress`."""
    options = {name.replace("_", "-"): value for name, value in (scene.settings | changed).items()}
    found = []
    for name, value in options.items():
        match value:
            case bool():
                found.append(f"--{'' if value else 'no-'}{name}")
            case tuple():
                found += [f"--{name}", *map(str, value)]
            case _:
                found += [f"--{name}", str(value)]
    return found


STARVED = """
import resource, sys
from pathlib import Path
import torch
from agents.commands.main import main
from agents.search.recorder import Recorder
save = Recorder._save

def starved(self):
    save(self)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**16, -1))
    torch.zeros(2**26)

Recorder._save = starved
sys.exit(main(["compress", *sys.argv[1:]]))
"""


def _with_little_memory(scene: Scene) -> None:
    command = [sys.executable, "-c", STARVED, *words(scene)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 2, (ended.returncode, ended.stderr)
    [line] = ended.stderr.splitlines()
    raise InputError(line)


FAULTS = [
    Fault(
        "a worker is killed",
        "its student is trained again by another one",
        _killed,
        Same(),
        changed=WORKERS,
    ),
    Fault(
        "a worker is stopped (SIGSTOP)",
        "after a minute without a sign of life it is killed, its student trained again by another one",
        _stopped,
        Same(),
        changed=WORKERS,
        slow=True,
    ),
    Fault(
        "a worker has a segmentation fault",
        "its student is trained again by another one",
        _segfault,
        Same(),
        changed=WORKERS,
        slow=True,
    ),
    Fault(
        "a worker prints garbage",
        "nothing listens to it: the run ends as if it were silent",
        _talkative,
        Same(),
        does=_goes_on_in_noise,
        changed=WORKERS,
        slow=True,
    ),
    Fault(
        "a worker runs out of memory (RLIMIT_AS)",
        "its student is trained again by another one, beside which none is trained",
        _out_of_memory,
        Same(),
        changed=WORKERS,
        slow=True,
    ),
    Fault(
        "workers are killed over and over",
        "the run ends with one line: fewer workers; it goes on from there",
        _always_killed,
        Refused(r"lost one after the other \(the last one was killed by SIGKILL\).*fewer --workers", mend=undone),
        changed=WORKERS,
        slow=True,
    ),
    Fault(
        "workers are killed as they start",
        "the run ends with one line: fewer workers, or none; it goes on from there",
        _killed_as_it_starts,
        Refused(r"lost as they start \(the last one was killed by SIGKILL\).*fewer --workers, or none", mend=undone),
        changed=WORKERS,
    ),
    Fault(
        "the run itself is out of memory (RLIMIT_AS)",
        "one line says so; it goes on from there",
        _nothing,
        Refused("n2n: error: out of memory; what was done is kept", mend=undone),
        does=_with_little_memory,
        begun=0,
        slow=True,
    ),
]
