import json
import math
import re

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import n2n_gym  # noqa: F401
from envs_tests.conftest import FormulaEvaluator
from n2n_gym.architecture import apply_removals, apply_shrinkages, removal_decisions, shrink_decisions, student_ranges
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.limits.constraints import Constraint, Constraints, Quantity, Relaxation, _compatible, relaxation
from n2n_gym.networks.zoo import network
from n2n_gym.rewards import paper_reward, relaxed

STUDENT = Evaluation(
    accuracy=0.9,
    teacher_accuracy=1.0,
    parameters=1000,
    teacher_parameters=10_000,
    macs=50_000,
    model_bytes=4100,
    activation_bytes=800,
    class_accuracy=(1.0, 0.8, 0.9),
    latency_ms=2.5,
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("parameters<=1000", True),
        ("parameters <= 999", False),
        ("parameters >= 1e3", True),
        ("macs<=4.9e4", False),
        ("model_bytes<=4100", True),
        ("activation_bytes<=799", False),
        ("latency_ms<=2.5", True),
        ("accuracy>=0.91", False),
        ("class_accuracy[1]>=0.8", True),
        ("class_accuracy[1] >= 0.81", False),
        ("2*parameters + 0.1*macs <= 7000", True),
        ("2*parameters + 0.1*macs <= 6999", False),
        ("accuracy - class_accuracy[1] <= 0.11", True),
        ("accuracy - class_accuracy[1] <= 0.09", False),
        ("-parameters<=-1001", False),
        ("1e-3*macs <= 50", True),
        ("1e+1*parameters <= 9999", False),
    ],
)
def test_limits_as_text(text, kept):
    constraint = Constraint.parse(text)
    assert (constraint.excess(STUDENT) <= 1e-12) is kept
    assert str(constraint) == text


@given(st.lists(st.floats(-10, 10).filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=2), st.floats(-1e5, 1e5))
def test_linear_combinations_from_python_say_what_they_mean(weights, bound):
    constraint = Constraint.of(dict(zip(("parameters", "macs"), weights, strict=True)), at_most=bound)
    total = weights[0] * 1000 + weights[1] * 50_000
    assert (constraint.excess(STUDENT) > 0) == (total > bound)


def test_limits_from_python_go_wherever_text_goes():
    sizes = Constraint.of({"parameters": 1, "class_accuracy[2]": -500}, at_most=600)
    assert str(sizes) == "1.0*parameters - 500.0*class_accuracy[2] <= 600.0"
    assert Constraint.parse(str(sizes)).coefficients == sizes.coefficients
    both = Constraints.parse([sizes, "macs<=1e6"])
    assert [row.excess(STUDENT) <= 0 for row in both.rows] == [True, True]
    assert gym.make("N2N/LayerRemoval-v0", constraints=Constraint.of({"parameters": 1}, at_most=1e5))
    for wrong in ({"parametrs": 1}, {"parameters+macs": 2}, {"parameters": float("nan")}, {"parameters": 0}):
        with pytest.raises(InputError):
            Constraint.of(wrong, at_most=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parametrs<=5000", "Did you mean 'parameters'"),
        ("parameters<5000", "cannot read the constraint"),
        ("parameters<=", "cannot read the constraint"),
        ("parameters<=1.2.3", "cannot read the constraint"),
        ("0*parameters<=1", "limits nothing"),
        ("parameters<=1e999", "too large"),
        ("parameters**2<=4", "cannot read"),
        ("class_accuracy>=0.5", "the number of a class"),
        ("accuracy[2]>=0.5", "the number of a class"),
        ("<=3", "cannot read the constraint"),
    ],
)
def test_a_misspelt_limit_is_said(text, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        Constraints.parse(text)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("parameters<=649", "no student can keep parameters<=649: parameters is always at least 650"),
        ("accuracy>=1.01", "accuracy is always at most 1"),
        ("activation_bytes<=255", "activation_bytes is always at least"),
        ("macs<=600", "macs is always at least"),
        ("parameters>=1e12", "parameters is always at most 131,465"),
        ("latency_ms<=0", "latency_ms is always at least"),
        ("class_accuracy[10]>=0.5", "there are classes 0 to 9"),
        ("latency_ms<=0; parameters<=100", "no student can keep"),
        (
            ["parameters<=5000", "parameters>=6000"],
            "no student can keep parameters>=6000|no student can keep parameters<=5000",
        ),
        (["parameters<=5000", "10*parameters + macs >= 1e6", "macs<=1000"], "no student can keep"),
        (
            ["accuracy + class_accuracy[1] >= 1.5", "accuracy - class_accuracy[1] >= 0.6"],
            "no student can keep all of accuracy + class_accuracy[1] >= 1.5; accuracy - class_accuracy[1] >= 0.6: loosen",
        ),
    ],
)
def test_what_no_student_can_keep_is_said_when_the_environment_is_made(texts, message):
    with pytest.raises(InputError, match=re.escape(message) if "|" not in message else message):
        gym.make("N2N/LayerRemoval-v0", constraints=texts)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.integers(-6, 6)), max_size=6),
    highs=st.lists(st.sampled_from([1.0, 2.0, math.inf]), min_size=4, max_size=4),
)
def test_limits_are_compatible_where_a_linear_programme_says_so(rows, highs):
    quantities = [Quantity("accuracy"), *(Quantity("class_accuracy", index) for index in range(3))]
    rows = [(weights, bound) for weights, bound in rows if any(weights)]
    constraints = [Constraint(tuple(zip(quantities, map(float, weights), strict=True)), bound, "") for weights, bound in rows]
    ranges = {quantity: (0.0, high) for quantity, high in zip(quantities, highs, strict=True)}
    programme = linprog(
        [0] * 4,
        A_ub=[weights for weights, _ in rows] or None,
        b_ub=[bound for _, bound in rows] or None,
        bounds=[(0, None if high == math.inf else high) for high in highs],
    )
    assert _compatible(constraints, ranges) == (programme.status == 0)


def test_many_limits_take_no_time_to_check():
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j]
    near = [Constraint.of({f"class_accuracy[{i}]": 1, f"class_accuracy[{j}]": -1}, at_most=0.1) for i, j in pairs]
    gym.make("N2N/LayerRemoval-v0", constraints=near)
    far = Constraint.of({"class_accuracy[0]": -1, "class_accuracy[9]": 1}, at_most=-0.2)
    with pytest.raises(InputError, match="no student can keep all of"):
        gym.make("N2N/LayerRemoval-v0", constraints=[*near, far])


@pytest.mark.parametrize(
    ("limit", "possible", "impossible"),
    [
        ("macs<=10000", "N2N/LayerShrink-v0", "N2N/LayerRemoval-v0"),
        ("parameters<=640", "N2N/LayerShrink-v0", "N2N/LayerRemoval-v0"),
    ],
)
def test_what_one_stage_cannot_reach_the_other_may(limit, possible, impossible):
    gym.make(possible, constraints=limit)
    with pytest.raises(InputError, match=f"no student can keep {limit}"):
        gym.make(impossible, constraints=limit)
    with pytest.raises(InputError, match="no student can keep parameters<=600"):
        gym.make(possible, constraints="parameters<=600")  # only both stages together reach so few


def test_only_what_shrinking_makes_smaller_is_loosened():
    texts = ["parameters<=1000", "parameters + 0.1*macs<=5000", "accuracy>=0.5", "latency_ms<=2", "parameters>=10"]
    limits = Constraints.parse(texts)
    loose = limits.loosened(4)
    assert [row.bound for row in loose.rows] == [4000, 20_000, -0.5, 2, -10]
    assert list(map(str, loose.rows)) == ["parameters<=1000, 4 times", "parameters + 0.1*macs<=5000, 4 times", *texts[2:]]
    assert limits.loosened(1) == limits


def test_from_a_file(tmp_path):
    path = tmp_path / "limits.json"
    items = ["parameters<=20000", {"coefficients": {"macs": 0.5, "parameters": -1}, "at_most": 30_000}]
    path.write_text(json.dumps({"constraints": items}))
    first, second = Constraints.parse(f"{path}; accuracy>=0.5").rows[:2]
    assert str(first) == "parameters<=20000"
    assert second.excess(STUDENT) == pytest.approx((25_000 - 1000 - 30_000) / 30_000)
    for content, message in (
        ("[]", "not an object"),
        ("{}", "holds no constraints"),
        ('{"constraints": [3]}', "holds no con"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            Constraints.parse(str(path))


@pytest.mark.parametrize("name", ["conv4", "vgg11", "resnet18"])
def test_no_student_is_smaller_than_the_smallest(name):
    teacher = network(name, (3, 32, 32), 10, width=0.5)
    rng = np.random.default_rng(0)
    for share in (0.5, 0.9, 1.0) * 5:
        removed = apply_removals(teacher, (rng.random(len(removal_decisions(teacher))) < share).astype(int).tolist())
        both = apply_shrinkages(removed, [0] * len(shrink_decisions(removed)))
        shrunk = apply_shrinkages(teacher, rng.integers(0, 10, len(shrink_decisions(teacher))).tolist())
        for student, stages in (
            (removed, {"shrinkage": False}),
            (both, {}),
            (shrunk, {"removal": False}),
        ):
            if student.verdict(teacher).feasible:
                for quantity, (low, high) in student_ranges(teacher, **stages).items():
                    assert low <= getattr(student, quantity) <= high


def test_epsilon_is_the_authors_by_default():
    epsilon = Relaxation()
    assert [epsilon(t) for t in (0, 5, 15, 40)] == pytest.approx([1.0, (2 / 3) ** 4, 0.0, 0.0])
    assert relaxation("relaxed") == relaxation(str(epsilon)) == epsilon
    assert relaxation(str(Relaxation(updates=0)))(0) == 0
    assert relaxation("relaxed:30:2")(15) == pytest.approx(0.25)
    assert relaxation("hard")(0) == 0
    with pytest.raises(InputError, match="at least 0 updates and a power above 0, not -1"):
        relaxation("relaxed:-1")
    for wrong in ("soft", "relaxed:x", "relaxed:1:2:3", "hard:3"):
        with pytest.raises(InputError):
            relaxation(wrong)


@given(st.floats(0, 1), st.floats(-1, 1))
def test_relaxed_reward_lies_between_minus_one_and_the_reward(epsilon, reward):
    assert -1 <= relaxed(reward, epsilon) <= reward + 1e-12
    assert relaxed(reward, 1.0) == pytest.approx(reward)
    assert relaxed(reward, 0.0) == -1


@pytest.mark.parametrize("vector", [False, True])
def test_epsilon_follows_policy_updates_and_not_episodes(vector):
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    settings = {"evaluator": evaluator, "constraints": "parameters<=2000", "relaxation": "relaxed:4:1"}
    if vector:
        env = gym.make_vec("N2N/LayerRemoval-v0", num_envs=2, **settings)
        keep = np.zeros(2, dtype=np.int64)
    else:
        env = gym.make("N2N/LayerRemoval-v0", **settings)
        keep = 0

    def episode():
        env.reset()
        for position in range(16):  # without the last block's layers, but with many more than 2,000 parameters
            _, reward, _, _, info = env.step(keep + (position in (11, 12, 13)))
        return np.max(reward), np.atleast_1d(info["violated"])[0]

    plain = episode()[0]
    finished = env.unwrapped.finished[0] if vector else env.unwrapped.finished
    assert plain == paper_reward(finished.evaluation)
    assert episode() == (plain, "parameters<=2000")
    for update, epsilon in ((1, 0.75), (2, 0.5), (4, 0.0), (9, 0.0)):
        env.unwrapped.set_update(update)
        assert episode()[0] == episode()[0] == pytest.approx(epsilon * (plain + 1) - 1)


def test_hard_limits_give_minus_one_and_kept_limits_the_plain_reward():
    evaluator = FormulaEvaluator(network("conv4", (1, 8, 8)))
    env = gym.make("N2N/LayerRemoval-v0", evaluator=evaluator, constraints="parameters<=100000")
    for removals, expected in (((), -1.0), ((11, 12, 13), None)):
        env.reset()
        for position in range(16):
            _, reward, terminated, _, info = env.step(int(position in removals))
        assert terminated
        if not removals:
            assert (reward, info["reason"]) == (expected, "not smaller than the teacher")
        else:
            assert reward == paper_reward(env.unwrapped.finished.evaluation)
            assert info["violated"] == ""


def test_what_latency_has_no_part_in():
    limits = Constraints.parse("accuracy>=0.9; latency_ms<=2; parameters + 3*latency_ms <= 100; macs<=5")
    assert [str(row) for row in limits.untimed.rows] == ["accuracy>=0.9", "macs<=5"]
    assert limits.need_latency
    assert not limits.untimed.need_latency
