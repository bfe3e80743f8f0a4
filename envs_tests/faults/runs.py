"""Faults of where, when and beside whom a run goes on."""

from __future__ import annotations

import platform
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from agents.search.compress import compress
from agents.search.result import RESULT
from agents.search.run_folder import LOCK
from envs_tests.agents.conftest import rows
from envs_tests.faults.harness import Fault, Refused, Same, Scene
from envs_tests.faults.workers import undone, words
from n2n_gym.evaluators import claims
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.system import versions

RESUMED = {"workers": 0, "device": "cpu", "speed": False}


def _as_it_was(scene: Scene) -> None:
    """Nothing has to be done but to go on."""


def _from_its_own_folder(scene: Scene) -> None:
    scene.monkeypatch.chdir(scene.place)
    scene.begin()
    (scene.place / "elsewhere").mkdir()
    scene.monkeypatch.chdir(scene.place / "elsewhere")
    scene.changed = {}


def _resume(scene: Scene) -> None:
    compress(resume=str(scene.run), **RESUMED)


def _moved_away(scene: Scene) -> None:
    (scene.place / "moved").mkdir()
    for name in ("toy.npz", "deeper.json"):
        (scene.place / name).rename(scene.place / "moved" / name)


def _moved_back(scene: Scene) -> None:
    for path in (scene.place / "moved").iterdir():
        path.rename(scene.place / path.name)


def _say_where(scene: Scene) -> None:
    moved = scene.place / "moved"
    compress(resume=str(scene.run), teacher=str(moved / "deeper.json"), dataset=str(moved / "toy.npz"), **RESUMED)
    _moved_back(scene)
    (scene.run / RESULT).unlink()


def _patient(scene: Scene) -> None:
    scene.changed = {"timeout": 600.0}


def _another_torch(scene: Scene) -> None:
    installed = versions._version
    scene.monkeypatch.setattr(versions, "_version", lambda name: "99.0.0" if name == "torch" else installed(name))


def _clock_set_back(scene: Scene) -> None:
    now = time.time
    scene.monkeypatch.setattr(time, "time", lambda: now() - 10 * 365 * 86_400)


def _host_renamed(scene: Scene) -> None:
    for module, name in ((platform, "node"), (socket, "gethostname")):
        scene.monkeypatch.setattr(module, name, lambda: "another-host")


HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held_by_another(scene: Scene) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, str(scene.run / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
        assert other.stdin is not None
        other.stdin.close()


WRITER = """
import itertools, sys
from pathlib import Path
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.store import EvaluationStore
from n2n_gym.architecture import Architecture
from n2n_gym.layers import linear
ARCHITECTURE = Architecture.chain([linear(3)], (1, 8, 8), 3)
store = EvaluationStore(Path(sys.argv[1]))
print("there", flush=True)
for count in itertools.count():
    key = f"{sys.argv[2]} {count % 500}"
    store.put(key, ARCHITECTURE, "{}", Evaluation(0.5, 1.0, 1, 2, 3))
    assert store.get(key).accuracy == 0.5
    if Path(sys.argv[3]).exists():
        print(count, flush=True)
        break
"""

WRITERS = 8


@contextmanager
def _written_by_others(scene: Scene) -> Iterator[None]:
    over = scene.place / "over"
    others = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(scene.store), str(number), str(over)], stdout=subprocess.PIPE, text=True
        )
        for number in range(WRITERS)
    ]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
    yield
    over.touch()
    counts = [int(other.communicate(timeout=120)[0]) for other in others]
    assert [other.returncode for other in others] == [0] * WRITERS
    assert min(counts) > 0


@contextmanager
def _beside_another_run(scene: Scene, fate: signal.Signals | None = None) -> Iterator[None]:
    """Another run with the same store trains the same students; it meets a fate while it trains one."""
    scene.monkeypatch.setattr(claims, "SILENCE", 5.0)
    store = scene.place / "shared.sqlite"
    scene.changed["store"] = str(store)
    command = [sys.executable, "-m", "agents.commands.main", "compress", *words(scene, out=str(scene.place / "beside"))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            while not _training(store):
                other.send_signal(signal.SIGCONT)
                time.sleep(0.01)
                assert other.poll() is None
                other.send_signal(signal.SIGSTOP)
            other.send_signal(fate or signal.SIGCONT)
            yield
            if fate is None:
                assert other.wait(300) == 0
                ours, theirs = _trained(scene.run), _trained(scene.place / "beside")
                assert not ours & theirs
                assert len(EvaluationStore(store)) == len(ours | theirs)
        finally:
            other.kill()


def _trained(run: Path) -> set[str]:
    """The students that a run has trained itself."""
    return {row["fingerprint"] for row in rows(run) if float(row["seconds"]) > 0 and row["from_store"] == "False"}


def _training(store: Path) -> bool:
    """Whether students of a store are just being trained, and nobody is writing there."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True, timeout=0.0)) as file:
            file.execute("BEGIN IMMEDIATE")
            return bool(file.execute("SELECT 1 FROM claims").fetchall())
    except sqlite3.OperationalError:
        return False


FAULTS = [
    Fault(
        "PyTorch is another version than when the run was begun",
        "one line says which; with the one that it was begun with the run goes on",
        _another_torch,
        Refused(r"was begun with torch \S+, and this is torch 99\.0\.0, .*go on with what it was begun with", mend=undone),
    ),
    Fault(
        "resumed from another working folder, with relative paths to teacher and data",
        "the run goes on: paths are written down whole",
        _from_its_own_folder,
        Same(),
        does=_resume,
        changed={"teacher": "deeper.json", "dataset": "toy.npz"},
        begun=0,
    ),
    Fault(
        "data set and teacher's architecture moved away",
        "one line names the first that is missing and the option that says where it is",
        _moved_away,
        Refused(r"started with \w+ /.* is not there; say where it is: --", mend=_moved_back),
        does=_resume,
    ),
    Fault(
        "data set and teacher's architecture moved, and their new places given with --resume",
        "the run goes on: what they hold is the same",
        _moved_away,
        Same(),
        does=_say_where,
    ),
    Fault(
        "every student takes longer than --timeout",
        "one line says so, and to give a longer one; the stage then begins anew",
        _as_it_was,
        Refused("no student of stage 1 could be trained: timeout .* a longer --timeout, or none", mend=_patient),
        changed={"timeout": 1e-9},
        begun=0,
    ),
    Fault("the clock is set back by ten years", "nothing depends on it", _clock_set_back, Same()),
    Fault("the host gets another name", "nothing depends on it", _host_renamed, Same()),
    Fault(
        "two runs in one folder",
        "the second is refused; the first is not disturbed",
        _held_by_another,
        Refused("is in use by another process", mend=_as_it_was),
    ),
    Fault(
        "eight other processes read and write the run's store all the time",
        "all get what they ask for; the run ends as if it were alone",
        _written_by_others,
        Same(),
        slow=True,
    ),
    Fault(
        "another run with the same store trains the same students at the same time",
        "each student is trained once: whoever comes second waits for it",
        _beside_another_run,
        Same(),
        begun=0,
        slow=True,
    ),
    Fault(
        "that other run is killed in the midst of a training",
        "its students are trained by this one, at once",
        partial(_beside_another_run, fate=signal.SIGKILL),
        Same(),
        begun=0,
        slow=True,
    ),
    Fault(
        "that other run is stopped (SIGSTOP)",
        "after a minute without a sign of life its students are trained by this one",
        partial(_beside_another_run, fate=signal.SIGSTOP),
        Same(),
        begun=0,
        slow=True,
    ),
]
