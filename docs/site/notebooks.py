"""Makes the notebooks of docs/notebooks with their outputs from the programs beside them, cells between lines of `# %%`.

python docs/site/notebooks.py [name ...]
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PLACE = Path(__file__).parent.parent / "notebooks"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def cells(program: str) -> list[nbformat.NotebookNode]:
    """The cells of a program, numbered, so that making them again changes nothing."""
    found = []
    for number, part in enumerate(re.split(r"^# %%", program, flags=re.MULTILINE)[1:]):
        heading, _, body = part.partition("\n")
        if "[markdown]" in heading:
            text = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
            found.append(new_markdown_cell(text, id=f"cell-{number}"))
        else:
            magic = f"%%{heading.strip()}\n" if heading.strip() else ""
            found.append(new_code_cell(magic + body.strip(), id=f"cell-{number}"))
    return found


def executed(program: Path, folder: Path) -> nbformat.NotebookNode:
    """A program as a notebook that was run from top to bottom.

    Args:
        program: The file.
        folder: Where it is run.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = new_notebook(cells=cells(program.read_text(encoding="utf-8")), metadata=KERNEL)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | {"N2N_HOME": str(folder / "home")})  # nothing of an earlier time is there
    for cell in notebook.cells:
        cell.metadata.clear()  # times, which differ each time
    return notebook


def main(names: list[str]) -> None:
    for program in sorted(PLACE.glob("*.py")):
        if not names or program.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                nbformat.write(executed(program, Path(folder)), program.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(sys.argv[1:])
