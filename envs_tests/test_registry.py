"""A name that is checked is the name that is dispatched."""

import importlib.metadata
import os
import sys

import pytest

from agents.algorithms.planned import RandomSearch
from agents.algorithms.registry import ALGORITHMS
from agents.benchmark.exhaustive import TableTask
from agents.benchmark.runs import name_of, run
from agents.benchmark.sources import sources
from agents.commands.main import main
from agents.search.options import Search
from envs_tests.conftest import TOY, FormulaEvaluator
from n2n_gym.errors import InputError
from n2n_gym.evaluators import EVALUATORS
from n2n_gym.networks.sources import SOURCES, ArchitectureFile, ZooSource, source_of
from n2n_gym.registry import Registry
from n2n_gym.stages import STAGES
from n2n_gym.system.pool import Pool


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


@pytest.fixture
def offers(monkeypatch):
    """Whatever packages are installed, these are the entry points."""

    def offer(group, **points):
        made = [importlib.metadata.EntryPoint(name, value, group) for name, value in points.items()]
        monkeypatch.setattr("n2n_gym.system.offered.entry_points", lambda *, group: [p for p in made if p.group == group])

    return offer


def test_other_packages_offer_theirs(fruit, offers):
    offers("n2n_gym.fruit", plum="math:pi")
    assert fruit.spellings == ("apple", "pear", "pear:KIND", "plum", "a stone")
    assert "plum" in fruit
    assert "cherry" not in fruit
    assert dict(fruit) == {"apple": 1, "pear": 2}  # nothing is loaded for that
    assert fruit.look_up("plum") == (pytest.approx(3.14159, abs=1e-4), "")
    assert fruit["plum"] > 3
    assert fruit.spellings == ("apple", "pear", "pear:KIND", "plum", "a stone")


def test_an_argument_that_is_a_file_is_told_by_how_it_was_registered(fruit, offers):
    fruit.register("melon", 4, argument="FILE.json")
    fruit.register("nut", 5, argument="FILE")
    offers("n2n_gym.fruit", plum="math:pi")
    texts = ("apple", "pear", "pear:a.json", "melon", "melon:", "melon:a:b.json", "nut:~/c", "plum:d.json", "aple:e.json")
    files = {text: file for text in texts if (file := fruit.file_in(text)) is not None}
    assert files == {"melon:a:b.json": "a:b.json", "nut:~/c": "~/c"}


@pytest.mark.parametrize("kind", ["table", "surrogate"])
def test_an_evaluators_file_is_found_from_any_folder(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Search(evaluator=f"{kind}:a.json").configuration["evaluator"] == f"{kind}:{tmp_path / 'a.json'}"
    assert Search(evaluator=kind).configuration["evaluator"] == kind


def test_what_is_broken_elsewhere_breaks_itself_alone(fruit, offers, caplog):
    offers("n2n_gym.fruit", **{"sugar+pear": "math:pi"})  # no name
    assert "sugar+pear" not in fruit
    fruit.load_offered()
    offers("n2n_gym.fruit", broken="no_such_package.module:thing", fig="math:no_such_thing", plum="math:pi")
    assert fruit.look_up("plum")[0] > 3
    with pytest.raises(InputError, match=r"unknown fruit 'brken'\. Did you mean 'broken'"):
        fruit.look_up("brken")
    for name, why in (("broken", "ModuleNotFoundError: No module named 'no_such_package'"), ("fig", "AttributeError: ")):
        with pytest.raises(InputError, match=f"fruit {name}, which .+ offers, cannot be loaded: {why}"):
            fruit.look_up(name)
    fruit.load_offered()
    assert set(fruit) == {"apple", "pear", "plum"}
    assert [name for name in ("broken", "fig", "plum") if f"fruit {name}, which" in caplog.text] == ["broken", "fig"]


def test_things_are_of_their_kind(offers):
    numbers = Registry("number", kind=int, wanted="a whole number")
    with pytest.raises(InputError, match="number half: register a whole number, not 'one half'"):
        numbers.register("half", "one half")
    offers("n2n_gym.number", pi="math:pi")
    with pytest.raises(InputError, match="number pi: register a whole number, not 3.14"):
        numbers.look_up("pi")


def test_what_is_no_agent_is_not_registered_as_one():
    with pytest.raises(InputError, match=r"agent mine: register its class within Planned\(\.\.\.\)"):
        ALGORITHMS.register("mine", RandomSearch)
    with pytest.raises(InputError, match=r"evaluator mine: register a maker that takes \(settings, order\)"):
        EVALUATORS.register("mine", FormulaEvaluator(TOY))
    assert "mine" not in ALGORITHMS
    assert "mine" not in EVALUATORS


def test_an_agent_that_is_offered_is_compared_by_its_name(offers, tmp_path, monkeypatch):
    source = "from agents.algorithms.planned import RandomSearch\nfrom agents.algorithms.registry import Planned\n"
    (tmp_path / "an_agent.py").write_text(f"{source}searching = Planned(RandomSearch)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ALGORITHMS, "_things", {**ALGORITHMS})  # what is loaded here is forgotten afterwards
    monkeypatch.setattr(ALGORITHMS, "_arguments", {**ALGORITHMS._arguments})
    offers("n2n_gym.agent", mine="an_agent:searching")
    assert name_of("mine") == "mine"
    with pytest.raises(InputError, match="Did you mean 'mine'"):
        name_of("min")
    task = TableTask("conv4-digits-removal", "reward")
    assert run("mine", task, 0, (2,)).students == run("random", task, 0, (2,)).students
    assert sources("mine") == sources("random")  # the same class with the same settings


def test_plug_ins_are_imported(offers, tmp_path, monkeypatch, caplog):
    (tmp_path / "a_plug_in.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_plug_in", raising=False)
    offers("n2n_gym.plugins", broken="no_such_package", mine="a_plug_in")
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert "a_plug_in" in sys.modules
    assert "plug-in broken, which no_such_package offers, cannot be loaded" in caplog.text


def test_worker_processes_import_plug_ins(tmp_path, monkeypatch):
    package = tmp_path / "a_worker_plug_in-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: a_worker_plug_in\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[n2n_gym.plugins]\nmine = a_worker_plug_in\n")
    (tmp_path / "a_worker_plug_in.py").write_text("import os; os.environ['A_PLUG_IN'] = 'was imported'")
    monkeypatch.syspath_prepend(tmp_path)
    pool = Pool(1, None)
    try:
        assert dict(pool.run(os.getenv, ["A_PLUG_IN"])) == {0: "was imported"}
    finally:
        pool.close()


def test_the_registries_hold_what_is_dispatched():
    known = ["distillation", "halving", "surrogate", "surrogate:FILE.json", "table", "table:FILE.npz"]
    assert sorted(EVALUATORS.spellings) == known  # in the order of imports
    assert {name: kind.name for name, kind in STAGES.items()} == {name: name for name in ("removal", "shrink", "both")}
    assert ALGORITHMS.look_up("evolution")[0] is ALGORITHMS["evolution"]
    assert isinstance(source_of("resnet18"), ZooSource)
    assert isinstance(source_of("mine.json"), ArchitectureFile)
    assert set(SOURCES) == {"zoo", "file", "imported"}
    with pytest.raises(InputError, match=r"unknown teacher 'resnet1'\. Did you mean .* an architecture's \.json file"):
        source_of("resnet1")
