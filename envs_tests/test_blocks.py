"""The code in the documents: each block of Python runs, each command of the shell is one that there is.

A block of Python that cannot run here, or not cheaply, has `<!-- not run: why -->` in the line before it. The blocks of README
and of the pages that it leads to first have a test of their own (`test_readme.py`). Blocks of the shell are not run, for they
take minutes: every `n2n` in them is read as the command reads it, with all its options.
"""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import n2n_gym.teachers
from agents.algorithms.registry import ALGORITHMS
from agents.commands.main import COMMANDS
from agents.commands.parsing import parse
from n2n_gym.data.known import DATASETS
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators import EVALUATORS
from n2n_gym.layers import KINDS
from n2n_gym.limits.quantities import QUANTITIES
from n2n_gym.models.export import FORMS
from n2n_gym.problem import Problem
from n2n_gym.student import Student
from n2n_gym.tables import Table

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if "results" not in path.relative_to(ROOT).parts
)
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
READ_WITH_FORMULA = ("README.md", "docs/compress.md", "docs/environments/index.md")
"""Pages whose blocks test_readme.py runs."""
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")


def blocks(language, *, skipped=()):
    """Blocks of a language in all documents: file and number in it, the line before, the code."""
    shown = []
    for path in DOCUMENTS:
        found = [match for match in BLOCK.finditer("\n" + path.read_text()) if match["language"] == language]
        for number, match in enumerate(found):
            if path.relative_to(ROOT).as_posix() not in skipped:
                shown.append(pytest.param(match["before"], match["code"], id=f"{path.relative_to(ROOT)}-{number}"))
    return shown


EXAMPLES = ("log_sigmoid", "depth", "one-at-a-time", "kilobytes", "stripes", "graph")
"""What the documents' examples register."""


@pytest.fixture
def as_it_was():
    """Whatever a block registers is forgotten again."""
    yield
    tables = [KINDS, QUANTITIES, DATASETS]
    tables += [table for each in (ALGORITHMS, EVALUATORS, FORMS) for table in (each._things, each._arguments)]
    for table in tables:  # others may have been registered meanwhile by modules that were imported
        for name in EXAMPLES:
            table.pop(name, None)


@pytest.fixture
def names(tmp_path, deeper_toy_teacher, toy_data, monkeypatch):
    """What blocks take as given."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(12):
                pixels = np.full((80, 80, 3), 40 + 100 * (label == "dog") + i, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{i}.png")
    torch.manual_seed(0)
    table = Table.load("conv4-digits-removal")
    conv4 = Problem("conv4", "digits").architecture
    problem = Problem(deeper_toy_teacher, toy_data)
    large = Evaluation(0.95, 0.97, parameters=20_000, teacher_parameters=40_000, macs=1, model_bytes=80_000)
    grey = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 3))
    return {
        "table": table,
        "student": Student(conv4).removed(table.best().actions).architecture,
        "episodes": [table.best().actions],
        "evaluation": large,
        "problem": problem,
        "folder": tmp_path,
        "run": n2n_gym.teachers.add(grey.eval(), name="grey", dataset=toy_data),
    }


@pytest.mark.parametrize(("before", "code"), blocks("python", skipped=READ_WITH_FORMULA))
def test_python_runs(before, code, names, as_it_was, request):
    if NOT_RUN.fullmatch(before):
        pytest.skip(before)
    names["__name__"] = "document"
    exec(compile(code, request.node.name, "exec"), names)
    for name, suite in [*names.items()]:  # an example of a suite tests what it says it tests
        if name.startswith("Test"):
            methods = [method for method in vars(type.mro(suite)[1]) if method.startswith("test_")]
            assert methods
            for method in methods:
                takes_case = "case" in getattr(suite, method).__code__.co_varnames[:2]
                for case in suite.cases if takes_case else (None,):
                    getattr(suite(), method)(*([case] if takes_case else []))


def commands(code):
    """The commands of a block, one a line unless it ends with a backslash, without comments and what is piped."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] in ("n2n", ".venv/bin/n2n"):
            yield words[1:]


@pytest.mark.parametrize(("before", "code"), blocks("bash"))
def test_commands_are_there(before, code):
    for words in commands(code):
        if not words or words[0] in ("completion", "--help", "--version"):
            continue
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        assert name in COMMANDS, words
        options = COMMANDS[name].options()
        parsed = parse(options, name, words[len(name.split()) :])
        assert {field.name for field in fields(parsed)} == {field.name for field in fields(options)}


def test_blocks_are_found():
    """A change of how documents are written must not leave them untested."""
    assert len(blocks("python", skipped=("README.md",))) > 9
    assert sum(len([*commands(block.values[1])]) for block in blocks("bash")) > 30
