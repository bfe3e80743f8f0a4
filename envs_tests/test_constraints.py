import functools
import json
import math
import re
from fractions import Fraction
from itertools import combinations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import n2n_gym  # noqa: F401
from envs_tests.conftest import FormulaEvaluator
from envs_tests.families import FAMILIES, Builder
from n2n_gym.architecture import (
    IMAGE,
    Architecture,
    apply_removals,
    apply_shrinkages,
    removal_decisions,
    shrink_decisions,
    student_ranges,
)
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.layers import Shuffle, Sigmoid, avg_pool, batch_norm, conv, linear, multiply, relu
from n2n_gym.limits import Constraint, Constraints, Relaxation, relaxation
from n2n_gym.limits.feasibility import contradictory
from n2n_gym.limits.quantities import QUANTITIES, Measure
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
    assert Constraints.parse(np.array(["macs<=1e6", "parameters<=5"])) == Constraints.parse("macs<=1e6; parameters<=5")
    for wrong in (3, None, [3], ["macs<=5", None], [["macs<=5"]]):
        with pytest.raises(InputError, match="must be text"):
            Constraints.parse(wrong)
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
        ("parameters<5000", "quantities go left of <= or >= (not < or >), a number without unit and comma right of it"),
        ("5000>=parameters", "quantities go left of"),
        ("parameters<=5k", "without unit and comma"),
        ("parameters<=5,000", "without unit and comma"),
        ("parameters<=1__000", "cannot read the constraint"),
        ("parameters<=1_000_", "cannot read the constraint"),
        ("1__0*parameters<=5", "cannot read"),
    ],
)
def test_a_misspelt_limit_is_said(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Constraints.parse(text)


@pytest.mark.parametrize("number", ["1_000", "1_000.5", "1_0.", ".5", "1_0e10"])
def test_numbers_are_read_as_python_reads_them(number):
    assert Constraint.parse(f"{number}*parameters<={number}").bound == float(number)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("0159_.eE+-*<>=k, ٣²[]parmetscuy;", max_size=24) | st.from_regex(r"[0-9_.e+-]{0,9}\*?macs[<>]=[0-9_.e+-]{1,9}"))
def test_any_text_is_a_limit_or_refused_in_one_line(text):
    said = "none"
    try:
        Constraints.parse(text)
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


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
        (
            ["parameters<=5000", "10*parameters + macs >= 1e6", "macs<=20000"],
            "no student can keep 10*parameters + macs >= 1e6 beside macs<=20000; parameters<=5000: loosen",
        ),
        ("accuracy<=0.5; accuracy>=0.6", "no student can keep accuracy<=0.5 beside accuracy>=0.6: loosen or drop one"),
        (
            ["accuracy + class_accuracy[1] >= 1.5", "accuracy - class_accuracy[1] >= 0.6"],
            "no student can keep all of accuracy + class_accuracy[1] >= 1.5; accuracy - class_accuracy[1] >= 0.6: loosen",
        ),
    ],
)
def test_what_no_student_can_keep_is_said_when_the_environment_is_made(texts, message):
    with pytest.raises(InputError, match=re.escape(message) if "|" not in message else message):
        gym.make("N2N/LayerRemoval-v0", constraints=texts)


def has_a_point(weights, bounds, highs):
    """Brute force: whether one of the points where as many sides meet as there are variables, each at least 0, keeps all."""
    ended = np.isfinite(highs)
    unit = np.eye(len(highs))
    sides = np.vstack([weights, -unit, unit[ended]])
    ends = np.concatenate([bounds, np.zeros(len(highs)), highs[ended]])
    chosen = np.array(list(combinations(range(len(sides)), len(highs))))
    meeting = chosen[np.abs(np.linalg.det(sides[chosen])) > 0.5]  # whole numbers: all others are 0
    points = np.linalg.solve(sides[meeting], ends[meeting][..., None])[..., 0]
    return bool((points @ sides.T <= ends + 1e-9).all(1).any())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.lists(st.integers(-3, 3), min_size=3, max_size=3), st.integers(-6, 6)), min_size=1, max_size=5),
    highs=st.lists(st.sampled_from([1.0, 2.0, math.inf]), min_size=3, max_size=3),
    row_units=st.lists(st.integers(-20, 40), min_size=5, max_size=5),
    units=st.lists(st.integers(-20, 40), min_size=3, max_size=3),
)
def test_whether_limits_can_be_kept_together_is_what_brute_force_finds_in_whatever_units(rows, highs, row_units, units):
    weights, bounds = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    highs, units = np.array(highs), np.exp2(units)
    row_units = np.exp2(row_units[: len(rows)])
    found = not contradictory(weights * row_units[:, None] / units, bounds * row_units, np.zeros(3), highs * units)
    assert found == has_a_point(weights, bounds, highs)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_limits_that_a_student_keeps_are_never_refused(data):
    """Whatever their magnitudes, and be there nothing to spare on either side."""
    exponents = st.floats(-6, 12)
    student = 10.0 ** np.array(data.draw(st.lists(exponents, min_size=4, max_size=4)))
    lows = student * data.draw(st.lists(st.sampled_from([0.0, 1e-9, 0.5, 1.0]), min_size=4, max_size=4))
    highs = student * data.draw(st.lists(st.sampled_from([1.0, 2.0, 1e9, math.inf]), min_size=4, max_size=4))
    weight = st.builds(lambda sign, exponent: sign * 10.0**exponent, st.sampled_from([-1, 0, 1]), st.floats(-9, 9))
    rows = data.draw(st.lists(st.lists(weight, min_size=4, max_size=4).filter(any), min_size=1, max_size=6))
    weights = np.array([sign * np.array(row) for row in rows for sign in (1, -1)])
    bounds = []
    for row in weights:
        total = sum(Fraction(a) * Fraction(x) for a, x in zip(row, student, strict=True))
        bounds.append(float(total) if Fraction(float(total)) >= total else math.nextafter(float(total), math.inf))
    assert not contradictory(weights, np.array(bounds), lows, highs)


def test_what_cannot_be_computed_refuses_nothing():
    assert not contradictory(np.array([[1e308, -1.0]]), np.array([-1.0]), np.array([1e3, 0.0]), np.array([math.inf, math.inf]))


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


@pytest.mark.parametrize(
    ("text", "alone", "kept"),
    [
        ("parameters<=999", True, False),
        ("parameters>=1001", True, False),
        ("activation_bytes<=799", True, False),
        ("activation_bytes<=800", True, True),
        ("parameters + activation_bytes<=1799", True, False),
        ("macs - 2*parameters<=47_999", True, False),
        ("latency_ms<=1", False, True),
        ("parameters + accuracy<=5", False, True),
        ("class_accuracy[1]>=0.9", False, True),
    ],
)
def test_limits_that_an_architecture_decides_are_told_from_others(text, alone, kept):
    limits = Constraints.parse(["accuracy>=0.99", text])
    assert limits.of_sizes.rows == limits.rows[1:] * alone
    assert (not limits.of_sizes.violated(STUDENT)) is kept


@pytest.mark.parametrize(
    ("limit", "violated"),
    [
        ("activation_bytes<=3000", True),
        ("activation_bytes<=4096", False),
        ("parameters>=6400", True),
        ("parameters + activation_bytes<=10_000", True),
        ("macs - 2*parameters<=15_000", True),
        ("accuracy>=1; latency_ms<=1", False),
    ],
)
def test_a_preview_knows_all_limits_on_sizes(limit, violated):
    env = gym.make("N2N/LayerRemoval-v0", width=0.25, constraints=limit).unwrapped
    student = env.preview([0, 0, 0, 0, 1, *[0] * 11])
    assert student.violated == (limit if violated else "")
    assert student.allowed is not violated


def test_from_a_file(tmp_path):
    path = tmp_path / "limits.json"
    items = ["parameters<=20000", {"coefficients": {"macs": 0.5, "parameters": -1}, "at_most": 30_000}]
    path.write_text(json.dumps({"constraints": items}))
    first, second = Constraints.parse(f"{path}; accuracy>=0.5").rows[:2]
    assert str(first) == "parameters<=20000"
    assert second.excess(STUDENT) == pytest.approx((25_000 - 1000 - 30_000) / 30_000)
    for content, message in (
        ("[]", "Expected `object`, got `array`; expected"),
        ("{}", "missing required field `constraints`; expected"),
        ('{"constraints": [3]}', r"Expected `str \| object`, got `int` - at `\$.constraints\[0\]`; expected"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            Constraints.parse(str(path))


def shuffled():
    """Groups and shuffles whose multiples go with the layers that need them."""
    block = [conv(32, groups=8), batch_norm(), relu(), Shuffle(4)]
    layers = [conv(32), relu(), *block, *block, conv(40, 1), relu(), avg_pool(), linear(5)]
    return Architecture.chain(layers, (3, 12, 12), 5)


def gated_by_pixels():
    """A block whose convolutions, without padding, need the same kernel as long as one scales the other."""
    b = Builder()
    x = b(IMAGE, conv(16), relu())
    x = b((b(x, conv(16, padding=0)), b(x, conv(16, padding=0), Sigmoid())), multiply())
    return b.done(x)


BOUNDED = {name: functools.partial(network, name, (3, 32, 32), 10, width=0.5) for name in ("conv4", "vgg11", "resnet18")}
BOUNDED |= {made.__name__: made for made in (shuffled, gated_by_pixels)} | FAMILIES


@pytest.mark.parametrize("name", BOUNDED)
def test_no_student_is_smaller_than_the_smallest(name):
    teacher = BOUNDED[name]()
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9, 1.0) * 5:
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


def test_a_student_of_fewer_parameters_may_take_more_bytes():
    teacher = FAMILIES["shufflenet_v1"]()
    removed = {0, 5, 12, 17, 18, 20}  # statistics of wider maps are left
    student = apply_removals(teacher, [int(index in removed) for index in range(len(removal_decisions(teacher)))])
    assert student.verdict(teacher).feasible
    assert student.model_bytes > teacher.model_bytes
    assert student.model_bytes <= student_ranges(teacher, shrinkage=False)["model_bytes"][1]


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


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ("accuracy>=0.9", 0.9),
        ("parameters<=10; accuracy>=0.5; 2*accuracy>=1.2", 0.6),
        ("parameters - 1000*accuracy<=0", 0.5),
        ("accuracy<=0.9", 0.0),  # it has a highest accuracy, and no least one
        ("latency_ms - 10*accuracy<=0; class_accuracy[1] + accuracy>=1.9", 0.0),  # what else they are on is not known either
    ],
)
def test_what_accuracy_limits_ask_for(limits, needed):
    student = Evaluation(0.0, 0.9, 500, 1000, 7)
    assert Constraints.parse(limits).needed_accuracy(student) == pytest.approx(needed)


def test_a_quantity_of_ones_own_is_treated_as_those_of_the_package(monkeypatch):
    monkeypatch.setitem(QUANTITIES, "kb2", Measure(lambda each: each.model_bytes / 1_000, of_architecture=True, shrinks=True))
    own, known = (Constraints.parse([text]) for text in ("kb2<=40", "model_bytes<=40000"))
    assert [bool(limits.of_sizes) for limits in (own, known)] == [True, True]
    assert [str(limits.loosened(4.0)) for limits in (own, known)] == ["kb2<=40, 4 times", "model_bytes<=40000, 4 times"]
    monkeypatch.setitem(QUANTITIES, "noise", Measure(lambda _: 0.5))
    other = Constraints.parse(["noise<=1"])
    assert not other.of_sizes
    assert str(other.loosened(4.0)) == "noise<=1"
