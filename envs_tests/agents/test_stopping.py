"""Signals, in this process; `envs_tests/faults` sends them to whole runs."""

import os
import signal
import threading

import pytest

from agents.commands import stopping
from agents.commands.stopping import SIGNALS, StoppedError, stoppable


@pytest.fixture(autouse=True)
def handlers():
    before = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    for name in SIGNALS:  # whoever runs the tests may ignore some, as nohup does
        signal.signal(getattr(signal, name), signal.default_int_handler)
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_stops_a_command_once(name, monkeypatch):
    ended = []
    monkeypatch.setattr(stopping.os, "_exit", ended.append)
    number = getattr(signal, name)
    with pytest.raises(StoppedError) as stopped, stoppable():
        signal.raise_signal(number)
    assert stopped.value.status == 128 + number
    signal.raise_signal(number)  # the shell's, after the terminal's
    assert ended == []
    monkeypatch.setattr(stopping, "SAME", -1.0)
    signal.raise_signal(number)
    assert ended == [128 + number]


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with stoppable():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_afterwards_all_is_as_before():
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_may_run_a_command():
    done = []

    def command():
        with stoppable():
            done.append(os.getpid())

    thread = threading.Thread(target=command)
    thread.start()
    thread.join()
    assert done
