"""docs/paper.md says where each number and equation of the paper stands: as its program writes it, and nothing is gone."""

import re
import runpy
from pathlib import Path

import pytest

from agents.reproduce import TARGETS

ROOT = Path(__file__).parent.parent
COMMITTED = (ROOT / "docs" / "paper.md").read_text()
LINK = re.compile(r"\[`?([\w./:]+)`?\]\(\.\./([\w/]+\.py)#L(\d+)\)")


@pytest.fixture(scope="module")
def program():
    return runpy.run_path(str(ROOT / "docs" / "site" / "paper.py"))


def test_the_page_is_what_its_program_writes(program):
    assert program["page"]() == COMMITTED, "the page is stale: python docs/site/paper.py writes it anew"


def test_links_lead_to_what_they_name():
    links = LINK.findall(COMMITTED)
    assert len(links) > 100
    for name, file, line in links:
        text = (ROOT / file).read_text().splitlines()[int(line) - 1]
        if ":" not in name:  # a symbol; entries of tables are named by their table
            named = name.split(".")[-1]
            assert re.search(rf"\b{named}\b", text) or named.isupper(), (name, file, line, text)


def test_every_table_and_figure_has_its_place():
    assert {target for target in TARGETS if f"`n2n reproduce {target}`" not in COMMITTED} == set()


@pytest.mark.parametrize(
    "gone",
    [
        "n2n_gym.rewards:paper_rewards",
        "n2n_gym.reward:paper_reward",
        "agents.algorithms.reinforce:Reinforce.__init__(baseline)",
        "agents.reproduce.paper:TABLE_2[('mnist', 'vgg19')]",
        "agents.reproduce.paper:TABLE_1[8]",
        "n2n_gym.rewards",
    ],
)
def test_a_symbol_that_is_gone_is_told(program, gone):
    with pytest.raises(LookupError, match=re.escape(gone)):
        program["place"](gone)


def test_lines_follow_their_symbols(program, tmp_path, monkeypatch):
    source = (ROOT / "n2n_gym" / "rewards.py").read_text()
    found = program["place"]("n2n_gym.rewards:paper_reward")
    assert source.splitlines()[found.line - 1].startswith("def paper_reward")
    (tmp_path / "n2n_gym").mkdir()
    (tmp_path / "n2n_gym" / "moved.py").write_text("# two more\n# lines\n" + source)
    monkeypatch.setitem(program["place"].__globals__, "ROOT", tmp_path)
    assert program["place"]("n2n_gym.moved:paper_reward").line == found.line + 2
