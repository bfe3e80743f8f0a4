"""What `make quick` runs is there: `quick.txt` names a test of everything important."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = (ROOT / "envs_tests" / "quick.txt").read_text().split()


@pytest.mark.parametrize("name", NAMED)
def test_it_is_there(name):
    file, _, test = name.partition("::")
    functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)}
    assert not test or test in functions


def test_each_part_of_the_package_has_one():
    tested = {Path(name.partition("::")[0]).parent.name for name in NAMED}
    parts = {path.name for path in (ROOT / "envs_tests").iterdir() if list(path.glob("test_*.py"))}
    assert parts - tested == set()
