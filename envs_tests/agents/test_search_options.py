"""Whole runs with other agents, with limits and with policies from elsewhere."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from agents.algorithms.registry import ALGORITHMS
from agents.algorithms.saving import read_agent
from agents.commands.main import main
from agents.search.compress import compress
from agents.search.history import read_history
from agents.search.options import Search
from agents.search.run_folder import RunFolder, RunStart, read_start
from agents.search.student import network_folder
from envs_tests.agents.conftest import rows, timeless
from envs_tests.conftest import toy_arrays
from n2n_gym.architecture import Architecture, student_ranges
from n2n_gym.envs.judge import Judge
from n2n_gym.errors import InputError
from n2n_gym.layers import conv, linear, max_pool, relu
from n2n_gym.limits import Constraint, Relaxation
from n2n_gym.system.files import write_json


class Killed(BaseException):
    """Stops the program where a kill would."""


@pytest.fixture
def settings(settings):
    return settings | {"finalists": 2, "final_epochs": 2, "speed": False}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("agent", sorted(set(ALGORITHMS) - {Search.agent}))
def test_any_agent_leaves_the_same_run_folder_and_survives_a_kill(settings, tmp_path, monkeypatch, agent):
    # a limit that hardly anyone keeps, so that every reward depends on how many updates were done
    settings |= {"constraint": ("parameters<=100", "accuracy>=1"), "relaxation": "relaxed:6:1"}
    killed, updates, finish = tmp_path / "killed", [], Judge.finish

    def copies(self, episodes, rng):
        """What a kill leaves in stage 2, in the update after the first."""
        finished = finish(self, episodes, rng)
        updates.append(finished)
        if len(updates) == settings["iterations"] + 2:
            shutil.copytree(settings["out"], killed)
        return finished

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "finish", copies)
        straight = compress(**settings, agent=agent)
    assert straight["search"]["evaluations"] == 12
    assert straight["configuration"]["agent"] == agent
    assert any(float(row["excess"]) > 0 for row in rows(settings["out"])[-4:])
    assert len(rows(killed)) < 12
    resumed = compress(resume=str(killed), workers=0)
    assert timeless(resumed) == timeless(straight)
    for here, there in zip(rows(settings["out"]), rows(killed), strict=True):
        assert {**here, "seconds": ""} == {**there, "seconds": ""}


@pytest.mark.usefixtures("undrawn")
def test_a_policys_file_is_known_by_what_it_holds(settings, tmp_path):
    settings |= {"stages": "1", "finalists": 0}
    for seed in (0, 1):
        compress(**{**settings, "seed": seed, "out": str(tmp_path / f"policy{seed}")})
    policy = tmp_path / "policy0" / "stage1.policy"
    again = {**settings, "out": str(tmp_path / "again")}
    result = compress(**again, policy=policy)
    moved = tmp_path / "moved.policy"
    policy.rename(moved)
    assert compress(**again, policy=moved) == result
    assert compress(resume=again["out"], policy=moved) == result
    moved.write_bytes((tmp_path / "policy1" / "stage1.policy").read_bytes())
    with pytest.raises(InputError, match="^a policy's file changed since the run"):
        compress(**again, policy=moved)


@pytest.mark.parametrize(("kind", "other"), [("table", "surrogate"), ("surrogate", "table")])
def test_an_evaluators_file_is_known_by_what_it_holds(kind, other, tmp_path):
    def held(search):
        with RunFolder(search.folder, RunStart(search.configuration, search.identity)):
            return True

    file, moved = tmp_path / "a", tmp_path / "b"
    file.write_text("one")
    begun = Search(evaluator=f"{kind}:{file}", out=str(tmp_path / "run"))
    assert held(begun)
    resume = Search(resume=begun.out)
    assert resume.resumed({"resume"}).evaluator == begun.evaluator
    file.rename(moved)
    with pytest.raises(InputError, match="was started with evaluator .*a, and .*a is not there; say where it is: --evaluator"):
        resume.resumed({"resume"})
    with pytest.raises(InputError, match=f"holds a run with evaluator '{kind}:.*a', not '{other}:.*b'"):
        replace(resume, evaluator=f"{other}:{moved}").resumed({"resume", "evaluator"})
    again = replace(resume, evaluator=f"{kind}:{moved}").resumed({"resume", "evaluator"})
    assert held(again)
    moved.write_text("two")
    with pytest.raises(InputError, match="^the evaluator's table or sample changed since the run"):
        held(again)
    config = tmp_path / "run" / "config.json"
    known = json.loads(config.read_text())
    del known["identity"]["evaluator"]  # as a run of before
    write_json(config, known)
    assert held(again)


@pytest.mark.usefixtures("undrawn")
def test_the_packages_own_policies_begin_both_stages(settings, tmp_path):
    settings |= {"iterations": 2, "starts": 2, "finalists": 0}
    result = compress(**settings, policy="pretrained")
    assert result["configuration"]["policy"] == ["pretrained"]
    for stage in (1, 2):
        tensors, saved = read_agent(Path(settings["out"]) / f"stage{stage}.policy", "Dyna")
        assert saved["informed"]
        assert len(tensors["prior.rows"]) > 1_000  # also after the last of stage 2's starts
    assert compress(resume=settings["out"], policy="pretrained") == result
    by_name = {**settings, "out": str(tmp_path / "by-name"), "agent": "dyna-pretrained"}
    compress(**by_name)
    for here, there in zip(rows(settings["out"]), rows(by_name["out"]), strict=True):
        assert (here["actions"], here["reward"]) == (there["actions"], there["reward"])
    with pytest.raises(InputError, match="learns no policy that could start from"):
        compress(**{**settings, "out": str(tmp_path / "other")}, agent="evolution", policy="pretrained")


def test_evolution_where_no_student_is_smaller(settings, tmp_path):
    shallow = Architecture.chain([conv(10, stride=8), relu(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "shallow.json", shallow.to_json())
    alone = {**settings, "teacher": str(tmp_path / "shallow.json"), "iterations": 12, "rollouts": 5, "finalists": 0}
    result = compress(**alone, agent="evolution", stages="1")
    assert result["search"]["evaluations"] == 60


def test_limits_and_schedules_as_objects_of_python(settings):
    limit = Constraint.of({"parameters": 1, "macs": 0.1}, at_most=1e6)
    result = compress(**settings, constraint=limit, relaxation=Relaxation(updates=3, power=0.5))
    assert result["configuration"]["constraint"] == ["1.0*parameters + 0.1*macs <= 1000000.0"]
    assert result["configuration"]["relaxation"] == "relaxed:3:0.5"
    assert compress(resume=settings["out"], workers=0) == result
    with pytest.raises(InputError, match="must be a text or a Relaxation"):
        compress(**settings, relaxation=lambda update: 0.5)


@pytest.mark.usefixtures("undrawn")
def test_the_student_obeys_the_limits(settings, tmp_path):
    free = compress(**{**settings, "iterations": 8})
    assert free["student"]["violates"] == []
    sizes = sorted(int(row["parameters"]) for row in rows(settings["out"]) if not row["reason"])
    most = sizes[len(sizes) // 3]
    limit = f"parameters<={most}"
    held = compress(**{**settings, "iterations": 8, "out": str(tmp_path / "held")}, constraint=(limit,), headroom=1)
    assert held["student"]["parameters"] <= most
    assert held["student"]["violates"] == []
    history = rows(tmp_path / "held")
    exceeding = [row for row in history if float(row["excess"]) > 0]
    assert exceeding
    for row in exceeding:
        assert float(row["excess"]) == pytest.approx((int(row["parameters"]) - most) / most)
    first = [float(row["reward"]) for row in exceeding if row["iteration"] == "0"]
    last = [float(row["reward"]) for row in exceeding if row["iteration"] == "7"]
    assert all(reward > 0 for reward in first)  # relaxed at first
    assert all(reward < 0 for reward in last)
    assert compress(resume=str(tmp_path / "held"), workers=0) == held


@pytest.mark.usefixtures("undrawn")
def test_stage_1_leaves_to_stage_2_what_shrinking_can_do(settings, tmp_path):
    free = compress(**settings)
    smallest = min(int(row["parameters"]) for row in rows(settings["out"]) if row["stage"] == "1" and not row["reason"])
    most = smallest * 3 // 5  # no student of stage 1 has so few
    constraint = (f"parameters<={most}", "accuracy>=0.01")
    held = compress(
        **{**settings, "iterations": 6, "out": str(tmp_path / "held")}, constraint=constraint, headroom=2, relaxation="hard"
    )
    history = rows(tmp_path / "held")
    assert any(row["stage"] == "1" and float(row["excess"]) == 0 for row in history)
    for row in history:
        if not row["reason"]:
            bound = most * (2 if row["stage"] == "1" else 1)
            assert float(row["excess"]) == pytest.approx(max(0, int(row["parameters"]) - bound) / bound)
            assert (float(row["reward"]) == -1) == (float(row["excess"]) > 0)
    assert held["stage1"]["parameters"] > most
    assert held["stage1"]["violates"] == [f"parameters<={most}"]
    assert held["student"]["parameters"] <= most < free["student"]["parameters"] * 2
    assert held["student"]["violates"] == []
    assert compress(resume=str(tmp_path / "held"), workers=0) == held


def test_a_stage_by_itself_keeps_the_limits(settings):
    compress(**settings, stages="1", constraint="parameters<=300", relaxation="hard")
    trained = [row for row in rows(settings["out"]) if not row["reason"]]
    assert trained
    for row in trained:
        assert (float(row["excess"]) > 0) == (int(row["parameters"]) > 300)


def test_hard_limits_and_latency(settings):
    result = compress(
        **settings, constraint=("latency_ms<=1000", "class_accuracy[0]>=0.01"), relaxation="hard", latency_batch_size=4
    )
    assert 0 < result["student"]["latency_ms"] < 1000
    assert result["student"]["violates"] == []
    folder = Path(settings["out"])
    with RunFolder(folder, read_start(folder)) as opened:
        assert all(bool(episode.latency_ms) != bool(episode.reason) for episode in read_history(opened.path))


def test_a_student_that_exceeds_every_limit_is_reported_as_such(settings, tmp_path):
    """Stage 1 finds nothing, and from the teacher stage 2 finds none that keeps the limit."""
    # without its convolution the linear layer reads 64 pixels in place of 10 channels: no student of stage 1 is smaller
    teacher = Architecture.chain([conv(10, stride=8), relu(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "strided.json", teacher.to_json())
    limit = "latency_ms<=0.000001"
    result = compress(
        **settings
        | {"teacher": str(tmp_path / "strided.json"), "iterations": 1, "rollouts": 1, "lookahead": False}
        | {"constraint": (limit,)},
    )
    assert {row["reason"] for row in rows(settings["out"]) if row["stage"] == "1"} == {"not smaller than the teacher"}
    assert not (Path(settings["out"]) / "stage1.json").exists()
    assert result["student"]["violates"] == [limit]


def test_a_limit_that_is_not_kept_is_said_whenever_the_result_is(settings, capsys, tmp_path):
    """With final trainings and without, when the run ends and when it is asked for again."""
    np.savez(tmp_path / "hard.npz", **toy_arrays(brightness=5))
    for constraint in ("accuracy>=1", "class_accuracy[0]>=1"):
        for finalists in (0, 1):
            out = f"{settings['out']}-{constraint[0]}{finalists}"
            words = ["--iterations", "1", "--rollouts", "2", "--workers", "0", "--device", "cpu", "--constraint", constraint]
            words += ["--teacher", settings["teacher"], "--dataset", str(tmp_path / "hard.npz"), "--final-epochs", "1"]
            words += ["--final-trainings", "1", "--finalists", str(finalists), "--out", out, "--no-speed"]
            for asked in (words, ["--resume", out]):
                assert main(["compress", *asked]) == 0
                said = " ".join(capsys.readouterr().out.split())
                assert f"the student does not keep {constraint}: try more --students and --iterations" in said


def test_what_stage_1_alone_cannot_keep_needs_more_headroom(settings, tmp_path):
    wide = Architecture.chain([conv(40, stride=2), relu(), conv(40), relu(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "wide.json", wide.to_json())
    least, removed = (student_ranges(wide, shrinkage=shrinkage)["parameters"][0] for shrinkage in (True, False))
    assert least < removed
    limit = {"teacher": str(tmp_path / "wide.json"), "constraint": f"parameters<={least}"}
    said = "^in stage 1, where limits on sizes are 1 times as wide, no student can keep .*; or give more --headroom$"
    with pytest.raises(InputError, match=said):
        Search(**settings | limit, headroom=1).check()
    Search(**settings | limit, headroom=removed / least).check()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"students": "many"}, "compress: students must be a whole number or None, not 'many'"),
        ({"seed": "a"}, "compress: seed must be a whole number, not 'a'"),
        ({"speed": "no"}, "compress: speed must be True or False, not 'no'"),
        ({"workers": 1.5}, "compress: workers must be a whole number or text or None, not 1.5"),
        ({"constraint": 3}, "constraint must be text, or several of them, not 3"),
        ({"stages": 3}, "unknown stages '3'"),
    ],
)
def test_arguments_of_another_type_are_refused_in_a_line(settings, wrong, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        compress(**settings | wrong)


def test_numbers_of_numpy_are_as_good_as_pythons(settings):
    compress(**settings | {"iterations": np.int64(1), "seed": np.int32(3), "width": np.float32(1), "finalists": np.uint8(0)})
    env = gym.make("N2N/LayerRemoval-v0", teacher="conv4", evaluator="table", width=np.float32(1), train_size=None)
    assert json.loads(env.spec.to_json())["kwargs"]["width"] == 1


def test_a_search_is_given_as_one_or_as_its_fields(settings):
    for search, more in ((Search(**settings), {"rollouts": 7}), ("conv4", {})):
        with pytest.raises(TypeError, match="compress takes a Search, or the fields of one"):
            compress(search, **more)


def test_what_has_no_network_to_export_says_why(settings, tmp_path):
    compress(**settings | {"stages": 1, "finalists": 0, "iterations": 1})
    with pytest.raises(InputError, match=r"keeps no network: .* or had no final trainings \(finalists 0\)"):
        network_folder(settings["out"])


def test_bad_limits_are_said_before_anything_is_trained(untrained, settings, tmp_path):
    for constraint, message in (
        (("parameters<=3",), "no student can keep"),
        (("paramters<=99",), "Did you mean 'parameters'"),
    ):
        with pytest.raises(InputError, match=message):
            compress(**settings, constraint=constraint)
    with pytest.raises(InputError, match="headroom must be at least 1, not 0.5"):
        compress(**settings, headroom=0.5)
    with pytest.raises(InputError, match="unknown relaxation 'relxed'"):
        compress(**settings, relaxation="relxed")
    with pytest.raises(InputError, match="Did you mean 'ppo'"):
        compress(**settings, agent="poo")
    assert not Path(settings["out"]).exists()
    assert not (tmp_path / "home" / "teachers").exists()


def test_a_file_of_limits_that_changed_since_the_start_is_refused(settings, tmp_path):
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"constraints": ["parameters<=5000"]}))
    compress(**settings, constraint=(str(path),))
    path.write_text(json.dumps({"constraints": ["parameters<=4000"]}))
    with pytest.raises(InputError, match="^the file of limits changed since the run"):
        compress(resume=settings["out"], workers=0)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("agent", ["reinforce", "actor-critic", "recurrent-ppo"])
def test_a_saved_policy_starts_on_another_teacher(settings, tmp_path, toy_data, agent):
    deeper = Architecture.chain([conv(12), relu(), conv(12), relu(), conv(12), relu(), max_pool(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "deepest.json", deeper.to_json())
    settings |= {"finalists": 0}
    compress(**{**settings, "iterations": 12}, agent=agent)
    policies = tuple(str(Path(settings["out"]) / f"stage{stage}.policy") for stage in (1, 2))
    trained, _ = read_agent(Path(policies[0]))
    other = {**settings, "teacher": str(tmp_path / "deepest.json"), "out": str(tmp_path / "other"), "iterations": 1}
    result = compress(**other, agent=agent, policy=policies)
    assert result["configuration"]["policy"] == list(policies)
    continued, facts = read_agent(tmp_path / "other" / "stage1.policy")
    fresh = compress(**{**other, "out": str(tmp_path / "fresh")}, agent=agent)
    assert fresh["search"] != result["search"] or rows(tmp_path / "fresh") != rows(tmp_path / "other")
    for name in (n for n in trained if n.startswith("policy.")):
        assert (trained[name] - continued[name]).abs().max() < 0.05  # one update away
    assert facts["n_updates"] in (1, 10)  # of its own: PPO counts its ten epochs


def test_a_policy_that_does_not_fit_is_refused(settings, tmp_path):
    compress(**settings, agent="ppo")
    first = str(Path(settings["out"]) / "stage1.policy")
    other = {**settings, "out": str(tmp_path / "other")}
    with pytest.raises(InputError, match="was saved by PPO, not by Dyna"):
        compress(**other, policy=(first,))
    with pytest.raises(InputError, match="random learns no policy that could start from"):
        compress(**other, policy=(first,), agent="random")
    assert not (tmp_path / "other").exists()
    with pytest.raises(InputError, match="holds a policy for stage 1, which is not run"):
        compress(**{**other, "stages": "2"}, policy=(first,), agent="ppo")
    with pytest.raises(InputError, match="both hold a policy for stage 1"):
        compress(**other, policy=(first, first), agent="ppo")
    with pytest.raises(InputError, match="no saved agent at"):
        compress(**other, policy=("nowhere.policy",))
    wider = Architecture.chain([conv(12), relu(), conv(12), relu(), conv(9), max_pool(), linear(3)], (1, 8, 8), 3)
    write_json(tmp_path / "deepest.json", wider.to_json())
    deeper = {**other, "teacher": str(tmp_path / "deepest.json"), "out": str(tmp_path / "third")}
    with pytest.raises(InputError, match="sees a fixed number of decisions"):
        compress(**deeper, policy=(first,), agent="ppo")


def distinct(folder, stage):
    """Fingerprints that a stage had trained and the stage before had not, in order."""
    history = [row for row in rows(folder) if not row["reason"]]
    before = {row["fingerprint"] for row in history if int(row["stage"]) < stage}
    return list(
        dict.fromkeys(r["fingerprint"] for r in history if int(r["stage"]) == stage and r["fingerprint"] not in before)
    )


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("agent", ["reinforce", "random", "ppo"])
def test_a_budget_counts_students_not_looks(settings, tmp_path, agent):
    body = [conv(8), relu(), conv(8), relu(), conv(8), relu(), conv(8), max_pool(), linear(3)]
    write_json(tmp_path / "body.json", Architecture.chain(body, (1, 8, 8), 3).to_json())
    settings |= {"teacher": str(tmp_path / "body.json"), "iterations": 60, "finalists": 0, "agent": agent}
    compress(**settings, students=4)
    history = rows(settings["out"])
    for stage in (1, 2):
        found = distinct(settings["out"], stage)
        assert 4 <= len(found) <= 5  # an update has two
        last = max(int(row["iteration"]) for row in history if int(row["stage"]) == stage)
        before = [r for r in history if int(r["stage"]) < stage or int(r["iteration"]) < last]
        known = {row["fingerprint"] for row in before if not row["reason"]}
        assert len([each for each in found if each in known]) < 4  # it ended as soon as it could
    assert len(history) > 8  # there were repeats and degenerate ones, which cost nothing
    # one that finds all its students in the store may look at no more of them for that
    compress(**{**settings, "out": str(tmp_path / "second")}, students=4, store=f"{settings['out']}/evaluations.sqlite")
    assert [row["fingerprint"] for row in rows(tmp_path / "second")] == [row["fingerprint"] for row in history]


@pytest.mark.usefixtures("undrawn")
def test_a_budget_survives_a_kill(settings, tmp_path, monkeypatch):
    settings |= {"iterations": 12, "finalists": 1, "students": 5}
    straight = compress(**settings)
    finish, calls = Judge.finish, []

    def dies(self, episodes, rng):
        calls.append(episodes)
        if len(calls) == 3:
            raise Killed
        return finish(self, episodes, rng)

    killed = {**settings, "out": str(tmp_path / "killed")}
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "finish", dies)
        with pytest.raises(Killed):
            compress(**killed)
    assert timeless(compress(resume=killed["out"], workers=0)) == timeless(straight)
    for name in ("result.json", "stage2.json"):  # killed when the last student was trained
        (tmp_path / "killed" / name).unlink()
    assert timeless(compress(resume=killed["out"], workers=0)) == timeless(straight)


def test_iterations_remain_a_limit(settings):
    result = compress(**settings | {"finalists": 0}, students=1_000)
    assert result["search"]["evaluations"] == 12
    with pytest.raises(InputError, match="students must be at least 1, not 0"):
        compress(**{**settings, "students": 0})
