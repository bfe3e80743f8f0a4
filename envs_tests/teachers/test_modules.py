"""The user's code is run as Python would run it, and where it fails that is said in one line."""

import sys

import pytest

from n2n_gym.errors import InputError
from n2n_gym.teachers.modules import find_module

NET = "from torch import nn\n\n\ndef make():\n    {}\n    return nn.Conv2d(1, 3, 3)\n"


@pytest.fixture(params=["file", "package"])
def source(request, tmp_path, monkeypatch):
    """Writes a module, and gives the source that names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text):
        (tmp_path / f"net_{request.param}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"net_{request.param}", raising=False)
        return f"{tmp_path}/net_file.py:make" if request.param == "file" else "net_package:make"

    return write


@pytest.mark.parametrize("text", [NET.format("import nosuchpackage"), "import nosuchpackage\n"])
def test_a_package_that_is_missing(source, text):
    with pytest.raises(InputError) as refusal:
        find_module(source(text))
    said = str(refusal.value)
    assert f".py:{1 + text[: text.index('import nosuch')].count(chr(10))}" in said
    assert "No module named 'nosuchpackage'; install it" in said
    assert len(said.splitlines()) == 1


def test_what_lies_beside_it_is_found_inside_the_function_too(source, tmp_path, monkeypatch):
    before = list(sys.path)
    (tmp_path / "beside_it.py").write_text("WIDTH = 3\n")
    monkeypatch.delitem(sys.modules, "beside_it", raising=False)
    assert find_module(source(NET.format("import beside_it"))).module.out_channels == 3
    assert sys.path == before


def test_a_file_that_changes_where_python_looks(source):
    text = "import sys\nsys.path = [path for path in sys.path if path.endswith('packages') or 'python' in path]\n"
    assert find_module(source(text + NET.format("pass"))).module.out_channels == 3


def test_a_type_error_inside_is_not_put_down_to_the_call(source):
    with pytest.raises(InputError, match=r"\.py:5: TypeError: ") as refusal:
        find_module(source(NET.format("1 + ''")))
    assert "without arguments" not in str(refusal.value)
    with pytest.raises(InputError, match=r"missing a required argument: 'width'.*give a function that takes none"):
        find_module(source(NET.replace("make()", "make(width)").format("pass")))


def test_a_name_that_is_made_on_demand_and_fails(source):
    with pytest.raises(InputError, match=r"\.py:2: KeyError: 'make'"):
        find_module(source("def __getattr__(name):\n    return {}[name]\n"))
