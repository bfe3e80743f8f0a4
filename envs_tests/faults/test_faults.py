"""Plays every row."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envs_tests.faults.__main__ import MARK, PAGE
from envs_tests.faults.harness import Fault, Scene, play
from envs_tests.faults.tables import TABLES, shown

FAULTS = [each for faults in TABLES.values() for each in faults]


@dataclass(frozen=True)
class Played:
    """What all rows have in common.

    Attributes:
        place: Where each is played: a run knows its files by their whole paths.
        laid_out: A copy of the place before the run is begun.
        stopped: A copy of it when the run was stopped where most rows have it.
        expected: How the run ends that nothing befalls.
    """

    place: Path
    laid_out: Path
    stopped: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, trained_toys: Path) -> Played:
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(folder / "scene", patch)
        scene.lay_out(trained_toys / "teachers")
        laid_out = shutil.copytree(scene.place, folder / "laid-out")
        scene.begin()
        stopped = scene.place.rename(folder / "stopped")
        shutil.copytree(laid_out, scene.place)
        return Played(scene.place, laid_out, stopped, scene.end())


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each.name, marks=[pytest.mark.faults] if each.slow else []) for each in FAULTS]
)
def test_fault(fault: Fault, played: Played, request: pytest.FixtureRequest) -> None:
    if not fault.slow:
        for name in ("quick_workers", "undrawn"):
            request.getfixturevalue(name)
    shutil.rmtree(played.place)
    shutil.copytree(played.stopped if fault.usual else played.laid_out, played.place)
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(played.place, patch)
        patch.setenv("N2N_HOME", str(scene.home))
        play(fault, scene, played.expected)


def test_each_fault_is_one_row_of_the_page() -> None:
    assert len({each.name for each in FAULTS}) == len(FAULTS)
    assert PAGE.read_text().partition(MARK)[2].strip() == shown().strip(), "python -m envs_tests.faults writes it anew"
