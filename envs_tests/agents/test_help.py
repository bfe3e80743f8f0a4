"""What commands say of their options, and of words that are none."""

import itertools
import re
from dataclasses import fields
from typing import get_type_hints

import pytest
import tyro

from agents.commands.main import COMMANDS, main
from agents.reproduce.lab import SCALES
from n2n_gym.errors import unknown

WITH_OPTIONS = [name for name, command in COMMANDS.items() if command.options is not None]


WIDTH = 80
"""Of the screen, in columns."""


@pytest.fixture
def helped(capsys, monkeypatch):
    """A command's help, its frame taken away."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def read(name):
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        return [line.strip("│").rstrip() for line in capsys.readouterr().out.splitlines()]

    return read


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def read(*words):
        assert main(words) == 2
        return capsys.readouterr().err.strip()

    return read


def positionals(name):
    options = COMMANDS[name].options()
    kinds = get_type_hints(options, include_extras=True)
    return [each.name for each in fields(options) if tyro.conf.Positional in getattr(kinds[each.name], "__metadata__", ())]


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_what_stands_without_an_option_has_a_name(helped, name):
    usage = next(line for line in helped(name) if line.startswith(f"usage: n2n {name}"))
    for each in positionals(name):
        assert re.search(rf"(?<!-)\b{each.removesuffix('s').upper()}\b", usage)
    assert not re.search(r"\[-h\](?: \[OPTIONS\])? \[*STR", usage)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reproduce"], "Missing from n2n reproduce: TARGET: table1 ... table5, figure3 ... figure13; see n2n"),
        (["compare", "one"], "Missing from n2n compare: B: Another one; see n2n compare --help"),
        (["teacher", "import", "a.py:net"], "Missing from n2n teacher import: --name STR: What it will be called; see"),
    ],
)
def test_what_is_missing_is_named(refused, words, message):
    assert message in refused(*words)


@pytest.mark.parametrize("name", ["compare", "teacher import", "teacher profile"])
def test_a_device_is_said_to_do_what_it_does(helped, name):
    assert "Where networks are trained" not in "\n".join(helped(name))


def test_lines_of_help_are_filled(helped):
    lines = helped("compress")
    first = next(number for number, line in enumerate(lines) if line.lstrip().startswith("--agent "))
    said = lines[first : next(n for n in range(first, len(lines)) if "(default: dyna" in lines[n]) + 1]
    assert len(said) > 2
    for line, following in itertools.pairwise(said):  # the next line's first word had no room
        assert len(line.rstrip()) + 1 + len(following.split()[0]) > WIDTH - 4


@pytest.mark.parametrize(
    ("name", "known", "suggested"),
    [
        ("--foo", ["--out", "--seed"], None),
        ("--widht", ["--width", "--with"], "--width"),
        ("--without-preprocessing", ["--to", "--preprocessing"], "--preprocessing"),
        ("--pre", ["--to", "--preprocessing"], "--preprocessing"),
        ("nothing", ["evolution", "random"], None),
        ("many", ["ray", "a number"], None),
        ("reinfroce", ["reinforce", "random"], "reinforce"),
        ("width", ["resnet20", "width-scaled"], "width-scaled"),
        ("", ["bash"], None),
    ],
)
def test_only_what_is_near_is_suggested(name, known, suggested):
    said = str(unknown("word", name, known))
    assert re.findall(r"Did you mean '(.*)'", said) == ([] if suggested is None else [suggested])
    assert said.endswith(", ".join(known))


def test_what_has_no_dashes_is_no_option(refused):
    assert refused("export", "a", "--nonsense").endswith("Known: --to, --out, --preprocessing")


def test_an_export_leaves_preprocessing_out_where_it_is_told_to(monkeypatch, tmp_path):
    asked = []

    def export(*args, preprocessing):
        asked.append(preprocessing)
        return []

    monkeypatch.setattr("agents.search.student.export", export)
    for words in ([], ["--preprocessing"], ["--no-preprocessing"]):
        assert main(["export", str(tmp_path), *words]) == 0
    assert asked == [True, True, False]


def test_a_scale_says_how_wide_its_networks_are():
    tiny = SCALES["tiny"]
    assert tiny.widths == {"conv4": 0.25, "vgg": 0.05, "resnet": 0.05}
    assert "a twentieth as wide (Conv4 a quarter)" in tiny.about
