"""Networks take turns at the clock."""

import pytest
import torch

from envs_tests.conftest import DEEPER_TOY
from n2n_gym.architecture import Architecture
from n2n_gym.layers import conv, linear
from n2n_gym.models import speed
from n2n_gym.models.build import Network

WIDE = Architecture.chain([conv(100), conv(100), linear(3)], (1, 32, 32), 3)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    for name, value in (("FEWEST", 5), ("MOST", 7), ("SECONDS", 0.1)):
        monkeypatch.setattr(speed, name, value)


def test_every_setting_has_both_networks(monkeypatch):
    monkeypatch.setattr(speed, "cores", lambda: 2)
    monkeypatch.setattr(speed, "find_spec", lambda name: None)  # without ONNX
    networks = {name: Network(each, torch.Generator()) for name, each in (("small", DEEPER_TOY), ("wide", WIDE))}
    before = torch.get_num_threads()
    rows = speed.compare_speed(networks)
    assert torch.get_num_threads() == before
    assert [(row["engine"], row["device"], row["threads"], row["batch"]) for row in rows] == [
        ("torch", "cpu", 1, 1),
        ("torch", "cpu", 1, 64),
        ("torch", "cpu", 2, 1),
        ("torch", "cpu", 2, 64),
    ]
    for row in rows:
        for name in networks:
            assert 0 < row[name]["lower"] <= row[name]["median"] <= row[name]["upper"]
    one, many = (rows[batch]["wide"]["lower"] for batch in (0, 1))  # with one thread: others are at the mercy of the machine
    assert one < many
    assert rows[1]["small"]["lower"] < many


def test_whoever_was_first_is_last_in_the_next_round():
    order = []
    times = speed._in_turn({name: lambda name=name: order.append(name) for name in "abc"})
    assert "".join(order) == ("abccba" * 5)[: 3 * (speed.WARM_UP + speed.MOST)]
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys("abc", 7)


def test_slow_networks_have_fewer_rounds(monkeypatch):
    now = iter(range(10_000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(now))
    assert [len(found) for found in speed._in_turn({"slow": lambda: None}).values()] == [speed.FEWEST]


def test_median_and_quartiles_in_milliseconds():
    assert speed.Timing.of([0.001, 0.002, 0.003, 0.004, 0.009]) == speed.Timing(3.0, 2.0, 4.0)


def test_onnx_runtime_where_it_is_installed():
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    rows = speed.compare_speed({"only": Network(DEEPER_TOY, torch.Generator())})
    assert {row["engine"] for row in rows} == {"torch", "onnxruntime"}
    assert all(row["only"]["median"] > 0 for row in rows)


def test_an_exporter_that_fails_leaves_its_engine_out_and_ends_nothing(monkeypatch, caplog):
    """Torch and onnxscript of versions that do not go together, for instance, at the end of hours of search."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")

    def fails(*_args, **_kwargs):
        raise torch.onnx.OnnxExporterError("cannot convert\nand much more") from AttributeError("'tuple' has no 'dtype'\n...")

    monkeypatch.setattr(torch.onnx, "export", fails)
    networks = {name: Network(DEEPER_TOY, torch.Generator()) for name in "ab"}
    rows = speed.compare_speed(networks)
    assert {row["engine"] for row in rows} == {"torch"}
    [said] = [record.getMessage() for record in caplog.records if record.name == "n2n_gym"]
    assert said.startswith("no speed in onnxruntime: torch ")
    assert said.endswith("('tuple' has no 'dtype'); newer versions of both may")
