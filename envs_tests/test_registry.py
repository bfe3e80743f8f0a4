"""A name that is checked is the name that is dispatched."""

import importlib.metadata

import pytest

from agents.algorithms.registry import ALGORITHMS
from n2n_gym.errors import InputError
from n2n_gym.evaluators import EVALUATORS
from n2n_gym.networks.sources import SOURCES, ArchitectureFile, ZooSource, source_of
from n2n_gym.registry import Registry
from n2n_gym.stages import STAGES


@pytest.fixture
def fruit():
    registry = Registry("fruit", others=("a stone",))
    registry.register("apple", 1)
    registry.register("pear", 2, argument="KIND")
    return registry


def test_names_and_arguments(fruit):
    assert fruit.look_up("apple") == (1, "")
    assert fruit.look_up("pear") == (2, "")
    assert fruit.look_up("pear:of:all") == (2, "of:all")
    assert fruit.spellings == ("apple", "pear", "pear:KIND", "a stone")
    assert dict(fruit) == {"apple": 1, "pear": 2}


def test_what_is_not_there_is_said(fruit):
    with pytest.raises(
        InputError, match=r"unknown fruit 'aple'\. Did you mean 'apple'\? Known: apple, pear, pear:KIND, a stone"
    ):
        fruit.look_up("aple")
    with pytest.raises(InputError, match="nothing goes behind a colon of fruit apple; leave :red out"):
        fruit.look_up("apple:red")


@pytest.mark.parametrize("name", ["apple", "", "two words", "a:b"])
def test_names_are_taken_once_and_well_formed(fruit, name):
    with pytest.raises(ValueError, match="fruit"):
        fruit.register(name, 3)
    assert dict(fruit) == {"apple": 1, "pear": 2}


def test_other_packages_offer_theirs(fruit, monkeypatch):
    offered = importlib.metadata.EntryPoint("plum", "math:pi", "n2n_gym.fruit")

    def entry_points(*, group):
        return [offered] if group == offered.group else []

    monkeypatch.setattr("n2n_gym.registry.entry_points", entry_points)
    assert fruit.look_up("plum") == (pytest.approx(3.14159, abs=1e-4), "")


def test_the_registries_hold_what_is_dispatched():
    known = ["distillation", "halving", "surrogate", "surrogate:FILE.json", "table", "table:FILE.npz"]
    assert sorted(EVALUATORS.spellings) == known  # in the order of imports
    assert {name: kind.name for name, kind in STAGES.items()} == {"removal": "removal", "shrink": "shrink"}
    assert ALGORITHMS.look_up("evolution")[0] is ALGORITHMS["evolution"]
    assert isinstance(source_of("resnet18"), ZooSource)
    assert isinstance(source_of("mine.json"), ArchitectureFile)
    assert set(SOURCES) == {"zoo", "file", "imported"}
    with pytest.raises(InputError, match=r"unknown teacher 'resnet1'\. Did you mean .* an architecture's \.json file"):
        source_of("resnet1")
