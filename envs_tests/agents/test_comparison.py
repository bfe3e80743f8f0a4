"""Two saved networks side by side, and taking one elsewhere."""

import json
from dataclasses import asdict

import pytest
import torch

import agents
from agents.commands.main import main
from agents.search import comparison
from agents.search.comparison import ahead_by, beside_verdict, compare, comparison_table, validation
from agents.search.run_folder import RunStart
from agents.search.student import network_folder
from envs_tests.conftest import DEEPER_TOY, TOY
from n2n_gym.architecture import Architecture
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import save_checkpoint
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.networks.described import read_description
from n2n_gym.system.files import write_json
from n2n_gym.teachers.saved import teachers_folder


@pytest.fixture
def run(settings):
    """A finished run's result."""
    return agents.compress(**settings)


def test_a_network_is_a_run_a_folder_or_a_teacher(run, settings, tmp_path):
    student = tmp_path / "run" / "student"
    assert network_folder(settings["out"]) == network_folder(student) == student
    assert network_folder(tmp_path / "run" / "stage1") == tmp_path / "run" / "stage1"
    name = run["teacher"]["name"]
    assert network_folder(name) == teachers_folder() / name
    with pytest.raises(InputError, match="nowhere is not there, and no teacher is called so; give a run's folder"):
        network_folder("nowhere")
    with pytest.raises(InputError, match="holds no saved network, and no finished run"):
        network_folder(tmp_path)


def test_the_result_has_sizes_and_speed(run, settings, tmp_path):
    [student, teacher] = [run[name] for name in ("student", "teacher")]
    described = read_description(tmp_path / "run" / "student")
    architecture = Architecture.from_json(described["architecture"])
    assert student["activation_bytes"] == architecture.activation_bytes
    assert student["file_bytes"] == (tmp_path / "run" / "student" / "weights.safetensors").stat().st_size
    assert student["file_bytes"] < teacher["file_bytes"]
    assert {row["batch"] for row in run["speed"]} == {1, 64}
    assert all(row[name]["median"] > 0 for row in run["speed"] for name in ("teacher", "student"))


def test_without_final_training_there_is_speed_all_the_same(settings):
    result = agents.compress(**settings, finalists=0)
    assert result["student"]["file_bytes"] == 4 * result["student"]["parameters"]
    assert result["speed"]


def test_the_clock_may_be_left_out(settings):
    assert "speed" not in agents.compress(**settings, speed=False)


def test_compare_from_the_command_line(run, settings, tmp_path, capsys):
    out = tmp_path / "comparison.json"
    name = run["teacher"]["name"]
    assert main(["compare", name, settings["out"], "--device", "cpu", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for text in ("parameters", "MACs", "test accuracy", "batch 64", str(out)):
        assert text in printed
    found = json.loads(out.read_text())
    assert found["a"]["name"] == name
    assert found["b"]["parameters"] == run["student"]["parameters"]
    assert found["b"]["test_accuracy"] == run["student"]["test_accuracy"]
    assert found["speed"][0].keys() == {"engine", "device", "threads", "batch", "a", "b"}
    same = compare(settings["out"], tmp_path / "run" / "student")
    assert {**same["a"], "name": ""} == {**same["b"], "name": ""}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves networks and says what they were measured on; the clock is not asked."""
    monkeypatch.setattr(comparison, "compare_speed", lambda networks, device: [])

    def save(name, network=TOY, **facts):
        folder = tmp_path / name
        accuracies = {"val_accuracy": 0.9, "test_accuracy": 0.8, "parameters": network.parameters, "macs": network.macs}
        saved = Network(network, torch.Generator().manual_seed(0))
        save_checkpoint(folder, saved, Preprocessing((0.5,), (0.2,), (8, 8)), accuracies | facts)
        return folder

    return save


def test_accuracies_on_different_images_are_not_set_side_by_side_in_silence(saved, tmp_path, capsys):
    a = saved("a", dataset="digits", data_fingerprint="1")
    b = saved("run/student")
    (tmp_path / "run" / "beside").mkdir()
    beside = saved("run/beside/width-scaled")
    for data, warned in (("1", False), ("2", True)):
        start = RunStart({"dataset": "mine.npz"}, {"dataset": data}, started="2026-11-28T00:00:00+00:00")
        write_json(tmp_path / "run" / "config.json", asdict(start))
        for other in (b, beside):
            found = compare(a, other)
            assert (found["b"]["dataset"], found["b"]["data"]) == ("mine.npz", data)
            assert bool(found["warning"]) is warned
    assert main(["compare", str(a), str(b), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "data set" in printed
    assert "measured on different images" in printed
    assert compare(saved("nowhere"), a)["a"]["data"] is compare(saved("alone"), a)["warning"] is None


def test_a_ratio_below_1_has_digits(saved):
    small, large = saved("small"), saved("large", DEEPER_TOY)
    ratios = [
        list(comparison_table(compare(*pair), "a", "b").columns[-1].cells)[3] for pair in ((small, large), (large, small))
    ]
    parts = sorted(network.parameters for network in (TOY, DEEPER_TOY))
    assert sorted(ratios) == [f"{parts[0] / parts[1]:.2g}x", f"{parts[1] / parts[0]:.1f}x"]
    assert comparison._ratio(1, 40) == "0.025x"


def test_export_from_the_command_line(run, settings, tmp_path, capsys):
    assert main(["export", settings["out"]]) == 0
    printed = capsys.readouterr().out
    for name in ("student.py", "student.safetensors"):
        assert (tmp_path / "run" / "export" / name).exists()
        assert str(tmp_path / "run" / "export" / name) in printed
    assert agents.compress(resume=settings["out"], workers=0) == run  # the run's folder is still one


def test_an_unknown_form_is_refused_before_any_is_written(run, settings, tmp_path, capsys):
    assert main(["export", settings["out"], "--to", "python", "--to", "onx"]) == 2
    assert "unknown export form 'onx'. Did you mean 'onnx'? Known: python, onnx, torch" in capsys.readouterr().err
    assert not (tmp_path / "run" / "export").exists()


def test_trainings_that_happen_to_come_out_alike_prove_nothing():
    """Two pairs of trainings that differ by as much have no spread to make an interval of."""

    def report(parameters, *accuracies):
        return {
            "parameters": parameters,
            "macs": parameters,
            "unsearched": False,
            "trainings": [{"test_accuracy": accuracy} for accuracy in accuracies],
        }

    student = report(10, 0.9, 0.8)
    for rival, said in ((report(11, 0.8, 0.7), "is not known to beat"), (report(11, 0.8, 0.699), "beats")):
        rival["student_ahead_by"] = ahead_by(student, rival)
        verdict = beside_verdict(student, {"rival": rival})
        assert f"the student {said} rival" in verdict
        assert ("prove nothing" in verdict) == (said != "beats")
        assert "+10.00 to +10.00" not in verdict


@pytest.mark.parametrize(
    ("images", "teacher", "student", "doubted"),
    [(360, 0.98, 0.99, True), (360, 0.98, 0.98, False), (360, 0.98, 0.97, False), (100_000, 0.98, 0.99, False)],
)
def test_a_student_above_its_teacher_is_doubted_where_few_images_validate(images, teacher, student, doubted):
    found = validation(images, teacher, {"search_accuracy": student})
    assert (found["doubt"] is not None) is doubted
    assert found["teacher_low"] < teacher < found["teacher_high"]
    assert validation(images, teacher, None)["doubt"] is None
    if doubted:
        assert "99.00%, above its teacher's 98.00%, and rewarded it for that: 360 validation images" in found["doubt"]
