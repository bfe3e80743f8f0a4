"""An option is spelled once, is explained everywhere, and arrives where it is used."""

import dataclasses
import inspect
import re

import gymnasium as gym
import pytest

import agents
import n2n_gym  # noqa: F401  registers the environments
from agents.commands.reproduce import Reproduce
from agents.commands.table import TableBuild, TableCheck
from agents.commands.teacher import TeacherImport, TeacherTrain
from agents.search.options import Search
from envs_tests.agents.conftest import rows
from envs_tests.conftest import DEEPER_TOY, TOY, FormulaEvaluator
from n2n_gym.data import DATASETS
from n2n_gym.envs.both_stages import BothSettings, BothStagesEnv, BothStagesVectorEnv
from n2n_gym.envs.layer_removal import LayerRemovalEnv, LayerRemovalVectorEnv
from n2n_gym.envs.layer_shrink import LayerShrinkEnv, LayerShrinkVectorEnv, ShrinkSettings
from n2n_gym.envs.settings import Settings
from n2n_gym.errors import InputError
from n2n_gym.evaluators import EVALUATORS, EvaluationSettings, make_evaluator
from n2n_gym.networks.zoo import ZOO
from n2n_gym.problem import Problem, ProblemSettings
from n2n_gym.rewards import REWARDS
from n2n_gym.settings import explained, values_of
from n2n_gym.training.recipes import SEARCH_RECIPES

IDS = ("N2N/LayerRemoval-v0", "N2N/LayerShrink-v0", "N2N/BothStages-v0")
ENVS = {
    LayerRemovalEnv: ("render_mode", Settings),
    LayerRemovalVectorEnv: ("num_envs", Settings),
    LayerShrinkEnv: ("render_mode", ShrinkSettings),
    LayerShrinkVectorEnv: ("num_envs", ShrinkSettings),
    BothStagesEnv: ("render_mode", BothSettings),
    BothStagesVectorEnv: ("num_envs", BothSettings),
}


@pytest.mark.parametrize("env", ENVS)
def test_signatures_show_every_argument_with_its_default(env):
    own, settings = ENVS[env]
    shown = inspect.signature(env).parameters
    assert own in shown
    for field in dataclasses.fields(settings):
        assert shown[field.name].default == field.default
    assert inspect.Parameter.VAR_KEYWORD not in {each.kind for each in shown.values()}
    assert ("architecture" in shown) == (settings is ShrinkSettings)


@pytest.mark.parametrize(
    ("env", "settings"), [(LayerRemovalEnv, Settings), (LayerShrinkEnv, ShrinkSettings), (BothStagesEnv, BothSettings)]
)
def test_pages_are_whole(env, settings):
    page = inspect.getdoc(env)
    headings = re.findall("^## (.*)$", page, re.MULTILINE)
    first = ["Description", "Action Space", "Observation Space", "Starting State", "Rewards", "Episode End", "Information"]
    assert headings == [*first, "Arguments", "Version History"]
    assert not re.search(r"\{\w+\}", page)
    for field in dataclasses.fields(settings):
        [row] = re.findall(rf"^\| `{field.name}` \| `(.*?)` \| (.+) \|$", page.split("## Arguments")[1], re.MULTILINE)
        assert row[0].strip('"') == str(field.default)
    for name in (*ZOO, *DATASETS):
        assert re.search(rf"\b{name}\b", page)


@pytest.mark.parametrize(
    "options", [Settings, ShrinkSettings, Search, TableBuild, TableCheck, TeacherTrain, TeacherImport, Reproduce]
)
def test_every_option_is_explained(options):
    meanings = explained(options)
    for field in dataclasses.fields(options):
        assert len(meanings[field.name]) > 5, field.name


def test_the_lists_in_explanations_are_the_registries():
    meanings = explained(Settings)
    listed = re.search(r"\((.*?)\)", meanings["teacher"]).group(1)
    assert listed.split(", ") == list(ZOO)
    assert meanings["dataset"].split(", or ")[0].split(", ") == list(DATASETS)
    for name in SEARCH_RECIPES:
        assert f"{name} (" in meanings["recipe"]
    for name in REWARDS:
        assert re.search(rf"\b{name}, [CA] ", meanings["reward"])
    for name in EVALUATORS.spellings:
        assert re.search(rf"\b{name}\b", meanings["evaluator"])


def test_the_nearest_explanation_counts():
    assert "Seed of policies" in explained(Search)["seed"]
    assert explained(Search)["recipe"] == explained(EvaluationSettings)["recipe"]  # overridden without one


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("make", [gym.make, lambda env_id, **given: gym.make_vec(env_id, num_envs=2, **given)])
def test_an_unknown_argument_is_a_type_error(env_id, make):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'widht'\. Did you mean 'width'"):
        make(env_id, widht=1)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'"):
        make(env_id, frameskip=1)


def test_arguments_of_the_other_stage_are_unknown():
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'architecture'"):
        gym.make(IDS[0], architecture="nowhere.json")


def test_an_unknown_argument_of_functions_is_a_type_error():
    with pytest.raises(TypeError, match=r"compress\(\) got an unexpected keyword argument 'widht'\. Did you mean 'width'"):
        agents.compress(widht=1)
    with pytest.raises(TypeError, match=r"make_evaluator\(\) got an unexpected keyword argument 'train_syze'"):
        make_evaluator(Problem(), train_syze=3)


def test_a_problem_is_the_problem_of_settings(toy_teacher, toy_data):
    settings = Settings(teacher=toy_teacher, dataset=toy_data, train_size=50)
    assert settings.problem == Problem(toy_teacher, toy_data, 1.0, 50)
    assert values_of(settings, ProblemSettings) == dataclasses.asdict(settings.problem)


def test_every_setting_arrives_at_the_evaluator(toy_teacher, toy_data, tmp_path):
    wanted = {"recipe": "fast", "seed": 3, "device": "cpu", "timeout": 7.0}
    problem = {"teacher": toy_teacher, "dataset": toy_data, "train_size": 50}
    env = gym.make(IDS[0], **problem, **wanted, workers=2, store=tmp_path / "s.sqlite", constraints="latency_ms<=9")
    made = env.unwrapped.judge.evaluator
    assert made.inner.batch_size == 1
    workers = made.inner.inner.inner
    assert workers.workers == 2
    assert {name: getattr(workers.inner, name) for name in wanted} == wanted
    assert workers.inner.problem == Problem(**problem)


@pytest.fixture
def formula(monkeypatch):
    """A registered evaluator; what it was made from."""
    for part in ("_things", "_arguments"):
        monkeypatch.setattr(EVALUATORS, part, dict(getattr(EVALUATORS, part)))
    orders = []

    def make(settings, order):
        orders.append((settings, order))
        return FormulaEvaluator(settings.problem.architecture)

    EVALUATORS.register("formula", make, argument="WORD")
    return orders


def test_a_registered_evaluator_serves_environments_and_searches(formula, deeper_toy_teacher, toy_data, tmp_path):
    problem = {"teacher": deeper_toy_teacher, "dataset": toy_data}
    env = gym.make(IDS[0], **problem, evaluator="formula:x", seed=5)
    env.reset()
    for action in (0, 0, 1, 0, 0, 0):
        *_, info = env.step(action)
    assert info["accuracy"] == 0.5 + 0.04
    settings, order = formula[-1]
    assert (order.argument, order.stage, settings.seed) == ("x", env.unwrapped.stage, 5)
    out = tmp_path / "run"
    run = {"iterations": 2, "rollouts": 2, "device": "cpu", "finalists": 0, "out": str(out)}
    result = agents.compress(**problem, **run, evaluator="formula")
    assert result["search"]["evaluations"] == 8
    assert {order.stage.name for _, order in formula} == {"removal", "shrink"}
    assert {float(row["seconds"]) for row in rows(out) if not row["reason"]} == {0.5}


def test_an_evaluator_of_ones_own_is_of_the_same_teacher(toy_problem):
    evaluator = FormulaEvaluator(TOY)
    assert make_evaluator(toy_problem, evaluator=evaluator) is evaluator
    with pytest.raises(InputError, match="another teacher"):
        make_evaluator(toy_problem, evaluator=FormulaEvaluator(DEEPER_TOY))


@pytest.mark.parametrize("finalists", [0, 1])
def test_a_search_looks_students_up(toy_tables, tmp_path, monkeypatch, finalists):
    monkeypatch.setenv("N2N_HOME", str(toy_tables / "home"))
    search = {
        "teacher": str(toy_tables / "removal.json"),
        "dataset": str(toy_tables / "toy.npz"),
        "recipe": "paper",
        "evaluator": f"table:{toy_tables / 'removal.npz'}",
        "iterations": 2,
        "rollouts": 3,
        "device": "cpu",
        "agent": "evolution",
        "seed": 9,  # no student was trained with it: means count
        "finalists": finalists,
        "final_trainings": 1,
        "beside": (),
    }
    result = agents.compress(**search, out=str(tmp_path / "run"))
    assert result["search"]["trained"] == 0
    assert result["search"]["evaluations"] == 6  # stage 2 starts from a network that the table knows nothing of
    assert (result["student"]["val_accuracy"] is None) == (finalists == 0)
    assert agents.compress(resume=str(tmp_path / "run"), workers=0) == result
    with pytest.raises(InputError, match="tables say nothing of latency_ms"):
        agents.compress(**search, out=str(tmp_path / "other"), constraint="latency_ms<=9")
    with pytest.raises(InputError, match="is of stage removal"):
        agents.compress(**search, out=str(tmp_path / "other"), stages="2")
    assert not (tmp_path / "other").exists()
