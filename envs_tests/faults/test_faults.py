"""Plays every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envs_tests.faults.__main__ import MARK, PAGE
from envs_tests.faults.harness import Fault, Scene, play
from envs_tests.faults.tables import TABLES, shown

FAULTS = [each for faults in TABLES.values() for each in faults]


@pytest.fixture
def scene(tmp_path: Path, trained_toys: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    laid = Scene(tmp_path / "scene", monkeypatch)
    laid.lay_out(trained_toys / "teachers")
    return laid


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, trained_toys: Path) -> dict[str, Any]:
    """How the run ends that nothing befalls."""
    with pytest.MonkeyPatch.context() as patch:
        laid = Scene(tmp_path_factory.mktemp("undisturbed"), patch)
        laid.lay_out(trained_toys / "teachers")
        return laid.end()


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each.name, marks=[pytest.mark.faults] if each.slow else []) for each in FAULTS]
)
def test_fault(fault: Fault, scene: Scene, expected: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scene.monkeypatch = patch
        patch.setenv("N2N_HOME", str(scene.home))
        play(fault, scene, expected)


def test_each_fault_is_one_row_of_the_page() -> None:
    assert len({each.name for each in FAULTS}) == len(FAULTS)
    assert PAGE.read_text().partition(MARK)[2].strip() == shown().strip(), "python -m envs_tests.faults writes it anew"
