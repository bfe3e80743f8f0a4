"""Fingerprints never change: saved students, stores and tables are known by them."""

import hashlib
import json
from pathlib import Path

import pytest

from n2n_gym.networks.hand_designed import HAND_DESIGNED, hand_designed
from n2n_gym.networks.zoo import ZOO, network
from n2n_gym.stages import RemovalStage, ShrinkStage
from n2n_gym.tables.table import Table, table_names

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
WIDTHS = (0.125, 0.5, 1.0)


def test_every_network_by_name_at_three_widths():
    found = {f"{name} x {width:g}": network(name, width=width).fingerprint for name in ZOO for width in WIDTHS}
    found |= {
        f"{name} x {width:g}": hand_designed(name, width=width).fingerprint for name in HAND_DESIGNED for width in WIDTHS
    }
    assert {name: found.get(name) for name in GOLDEN["networks"]} == GOLDEN["networks"]
    assert set(found) >= set(GOLDEN["networks"])


@pytest.mark.parametrize("name", GOLDEN["tables"])
def test_every_student_of_the_shipped_tables(name):
    assert name in table_names()
    table = Table.load(name)
    assert hashlib.sha256(table.columns["fingerprint"].tobytes()).hexdigest() == GOLDEN["tables"][name]
    stage = RemovalStage(table.base) if table.stage == "removal" else ShrinkStage(table.base)
    for row, fingerprint in enumerate(table.columns["fingerprint"].tolist()):
        assert int(stage.student(table.actions(row)).fingerprint[:16], 16) == fingerprint
