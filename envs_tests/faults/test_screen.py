"""Texts that are not ours are shown as they are: names of files hold brackets, colons and the names of colours."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from agents.commands.main import main
from agents.console import console
from agents.display import ProgressDisplay
from n2n_gym.system.files import teachers_folder

ROOT = Path(__file__).parents[2]
ODD = "[red]a[/] :smile: [b"


def test_consoles_are_made_in_one_place() -> None:
    made = [path for path in (ROOT / "agents").rglob("*.py") if re.search(r"\bConsole\(", path.read_text())]
    assert [path.name for path in made] == ["console.py"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_odd_names(terminal: bool) -> None:
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, force_terminal=terminal, width=120, color_system=None)) as display:
        display.start(ODD, 10)
        display.update(5, ODD)
        display.say(ODD)
    assert text.getvalue().count(ODD) >= 3


def test_an_odd_folder_is_shown_whole(
    deeper_toy_teacher: str, toy_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[red]run[/] [b"
    words = ["--teacher", deeper_toy_teacher, "--dataset", toy_data, "--iterations", "1", "--rollouts", "2", "--workers", "0"]
    finals = ["--finalists", "0", "--no-speed", "--device", "cpu"]
    assert main(["compress", *words, *finals, "--out", str(out)]) == 0
    assert str(out / "result.json") in capsys.readouterr().out
    (out / "result.json").write_text("[")
    assert main(["compress", *words, *finals, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert str(out) in said
    assert len(said.splitlines()) == 1


def test_tables_take_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table(title=ODD)
    table.add_column(ODD)
    table.add_row(ODD)
    console().print(table)
    assert capsys.readouterr().out.count(ODD) == 3


def test_damaged_teachers_are_listed_and_why(
    deeper_toy_teacher: str, toy_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [folder] = teachers_folder().iterdir()
    shutil.copytree(folder, folder.with_name("other"))
    (folder / "model.json").unlink()
    assert main(["teacher", "list"]) == 0
    said = capsys.readouterr().out
    assert "damaged" in said
    assert "no description of a saved network" in said.replace("\n", " ")
    assert main(["teacher", "show", folder.name]) == 2
    assert "--again trains it again" in capsys.readouterr().err
    words = ["--teacher", deeper_toy_teacher, "--dataset", toy_data, "--device", "cpu"]
    assert main(["teacher", "train", *words]) == 2
    assert main(["teacher", "train", *words, "--again"]) == 0
    capsys.readouterr()
    assert main(["teacher", "list"]) == 0
    assert "damaged" not in capsys.readouterr().out
    assert not list(teachers_folder().glob(".*.before"))
