"""The notebooks of the documentation: each runs from top to bottom, and is made of the program beside it."""

import runpy
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
MAKER = runpy.run_path(str(ROOT / "docs" / "site" / "notebooks.py"))
PROGRAMS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


def test_there_are_three():
    assert [path.stem for path in PROGRAMS] == ["benchmark", "compress", "environment"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_notebook_is_the_programs_and_shows_what_it_put_out(program):
    notebook = nbformat.read(program.with_suffix(".ipynb"), 4)
    made = MAKER["cells"](program.read_text())
    assert [(cell.cell_type, cell.source, cell.id) for cell in notebook.cells] == [
        (cell.cell_type, cell.source, cell.id) for cell in made
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not any(output.output_type == "error" for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(program, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    notebook = MAKER["executed"](program, tmp_path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
