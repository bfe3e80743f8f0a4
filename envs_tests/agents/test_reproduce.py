"""Every table and figure at scale `tiny`: digits, narrow networks, two updates of two students."""

import json
import math

import pytest

from agents.interval import Interval
from agents.reproduce import TARGETS, reproduce
from agents.reproduce.paper import TABLE_1, TABLE_2, TABLE_3, TABLE_5

PICTURES = {
    **{f"figure{n}": [f"figure{n}.png"] for n in (6, 7, 8, 9, 10, 13)},
    "figure3": ["figure3-conv4.png", "figure3-vgg13.png"],
    "figure4": ["figure4-vgg19.png", "figure4-resnet18.png", "figure4-resnet34.png"],
    "figure5": ["figure5-resnet18.png", "figure5-resnet34.png"],
    "figure11": ["figure11-resnet18.png"],
    "figure12": ["figure12-resnet18.png"],
}
ROWS = {
    "table1": sum(len(row.reported) for row in TABLE_1),
    "table2": 3 * len(TABLE_2),
    "table3": len(TABLE_3) + 2 * 2,
    "table4": 4,
    "table5": 3 * len(TABLE_5),
    "figure3": 3,
    "figure10": 3,
    "figure13": 2,
}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_ends_with_its_files_complete(target, tmp_path):
    document = reproduce(target, scale="tiny", out=str(tmp_path), device="cpu", workers=0)
    written = json.loads((tmp_path / f"{target}.json").read_text())
    assert written["command"] == f"n2n reproduce {target} --scale tiny"
    assert {"title", "scale", "machine", "versions"} <= set(written)
    text = (tmp_path / f"{target}.md").read_text()
    assert text.startswith(f"# {document.title}")
    assert len(document.rows) >= ROWS.get(target, 1)
    for row in document.rows:
        assert len(row) == len(document.columns)
        assert "| " + " | ".join(row) + " |" in text
    for picture in PICTURES.get(target, []):
        assert (tmp_path / picture).stat().st_size > 5_000
        assert f"]({picture})" in text
    assert (tmp_path / "results.md").read_text() == text


def test_results_hold_all_documents_in_the_papers_order(tmp_path):
    for target in ("figure13", "table3"):
        reproduce(target, scale="tiny", out=str(tmp_path), device="cpu", workers=0)
    parts = [(tmp_path / f"{target}.md").read_text() for target in ("table3", "figure13")]
    assert (tmp_path / "results.md").read_text() == "\n".join(parts)


def test_a_second_call_runs_nothing_again(tmp_path, monkeypatch):
    first = reproduce("figure6", scale="tiny", out=str(tmp_path), device="cpu", workers=0)
    from n2n_gym.evaluators.distillation import DistillationEvaluator

    monkeypatch.setattr(DistillationEvaluator, "train_student", None)
    assert reproduce("figure6", scale="tiny", out=str(tmp_path), device="cpu", workers=0).rows == first.rows


def test_intervals():
    interval = Interval.of([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high - 2.0 == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    assert str(Interval.of([0.5])) == "0.500"
    assert Interval.of([0.5]).to_json()["low"] is None
