"""When a network is trained in bfloat16."""

import pytest
import torch

from n2n_gym.networks import zoo
from n2n_gym.system.files import home, read_json
from n2n_gym.training import precision
from n2n_gym.training.precision import bf16_is_faster, compare_precisions, pays_in_bf16

CPU = torch.device("cpu")


@pytest.fixture
def capable(monkeypatch):
    """A machine that computes in bfloat16 and has not been looked at; what its check says can be set."""
    (home() / "precision.json").unlink(missing_ok=True)
    verdict, asked = {"bf16": True}, []
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "compare_precisions", lambda device: asked.append(device) or dict(verdict))
    return verdict, asked


def test_bfloat16_is_for_networks_large_enough():
    assert pays_in_bf16(zoo.network("conv4", (1, 28, 28)))
    assert not pays_in_bf16(zoo.network("conv4", (1, 8, 8)))


@pytest.mark.parametrize("answer", [True, False])
def test_the_machine_is_asked_once(capable, answer):
    verdict, asked = capable
    verdict["bf16"] = answer
    assert [bf16_is_faster(CPU) for _ in range(3)] == [answer] * 3
    assert asked == [CPU]
    verdict["bf16"] = not answer
    assert bf16_is_faster(CPU) is answer


def test_another_version_of_torch_is_asked_again(capable, monkeypatch):
    verdict, asked = capable
    assert bf16_is_faster(CPU)
    monkeypatch.setattr(torch, "__version__", "99.0")
    verdict["bf16"] = False
    assert not bf16_is_faster(CPU)
    assert len(asked) == 2
    assert len(read_json(home() / "precision.json", "record")) == 2


def test_a_damaged_record_is_made_again(capable):
    _, asked = capable
    home().mkdir(exist_ok=True)
    (home() / "precision.json").write_text("{")
    assert bf16_is_faster(CPU)
    assert len(asked) == 1


def test_a_machine_without_bfloat16_is_not_asked(capable, monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert not bf16_is_faster(CPU)
    assert not capable[1]


def test_the_check_trains_in_both(monkeypatch):
    monkeypatch.setattr(precision, "STEPS", 4)
    found = compare_precisions(CPU)
    assert found["float32"]["loss"] == pytest.approx(found["bfloat16"]["loss"], rel=0.05)
    assert found["float32"]["loss"] != found["bfloat16"]["loss"]
    assert found["float32"]["loss"] < 2.3  # the loss of guessing among 10 classes: something was learned
    faster = found["float32"]["seconds"] >= precision.FASTER * found["bfloat16"]["seconds"]
    assert found["bf16"] == faster


@pytest.mark.parametrize(("name", "value"), [("FASTER", float("inf")), ("CLOSE", -1.0)])
def test_bfloat16_must_be_faster_and_as_good(monkeypatch, name, value):
    monkeypatch.setattr(precision, "STEPS", 2)
    monkeypatch.setattr(precision, "FASTER", 0.0)
    assert compare_precisions(CPU)["bf16"]
    monkeypatch.setattr(precision, name, value)
    assert not compare_precisions(CPU)["bf16"]
