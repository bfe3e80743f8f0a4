"""Signals: Ctrl-C, and what schedulers, shells and the system send."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

from agents.search.history import HISTORY
from envs_tests.faults.harness import Fault, Same, Scene
from envs_tests.faults.workers import words

CLEANLY = "the run ends within seconds, without warnings, and goes on where it was"

PATIENCE = 300.0
SOON = 60.0
"""Seconds within which a command ends that was asked to: a machine may be busy."""


def _nothing(scene: Scene) -> None:
    """The signal comes later."""


def _sent(number: signal.Signals, scene: Scene, *, group: bool = False, again: bool = False) -> None:
    """Begin the run as a command with two workers, send a signal when it has learned something, and wait for its end."""
    scene.changed = {"workers": 2}
    command = [sys.executable, "-m", "agents.commands.main", "compress", *words(scene)]
    # under nohup, and in a shell's background, signals are ignored, and children inherit that
    heard = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    finally:
        signal.signal(number, heard)
    with process:
        until = time.monotonic() + PATIENCE
        while not (scene.run / HISTORY).exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        for _ in range(1 + again):
            os.killpg(process.pid, number) if group else process.send_signal(number)
            time.sleep(0.7 * again)
        _, said = process.communicate(timeout=SOON)
        status = process.returncode
        if again and status < 0:  # the second one found Python at its own end, without handlers: shells show the same
            status = 128 - status
        assert status == 128 + number, (process.returncode, said)
        if not again:
            assert "stopped; a run goes on where it was" in said
        for word in ("Traceback", "leaked", "Exception ignored", "Warning"):
            assert word not in said, said
        until = time.monotonic() + SOON
        while _alive(process.pid):
            assert time.monotonic() < until, "workers outlive the run"
            time.sleep(0.1)
    scene.changed = {}
    scene.go_on()


def _alive(group: int) -> bool:
    """Whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _row(
    name: str, number: signal.Signals, happens: str = CLEANLY, *, slow: bool = True, group: bool = False, again: bool = False
) -> Fault:
    does = partial(_sent, number, group=group, again=again)
    return Fault(name, happens, _nothing, Same(), does=does, begun=0, slow=slow)


FAULTS = [
    _row("SIGTERM, as schedulers send it", signal.SIGTERM, slow=False),
    _row("SIGTERM to the run and all of its workers", signal.SIGTERM, group=True),
    _row("SIGHUP to all: the terminal is closed", signal.SIGHUP, group=True),
    _row("Ctrl-C", signal.SIGINT, group=True),
    _row("Ctrl-C twice", signal.SIGINT, "the run ends at once, without warnings, and goes on where it was", again=True),
]
