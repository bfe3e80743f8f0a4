"""Data flows one way, and importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    "n2n_gym": (
        {"errors"},
        {"system", "layers", "registry", "settings"},
        {"architecture"},
        {"student", "evaluation", "networks"},
        {"data", "limits", "rewards", "stages"},
        {"problem", "models"},
        {"tracing", "training"},
        {"teachers"},
        {"evaluators"},
        {"tables"},
        {"envs"},
        {"testing"},
    ),
    "agents": (
        {"interval", "pictures", "display", "console"},
        {"algorithms"},
        {"search"},
        {"benchmark", "report", "reproduce"},
        {"commands"},
    ),
}
"""The folders and files of each package, the lowest floor first; each imports from its own floor and from lower ones."""

NO_TORCH = (
    "errors",
    "registry",
    "settings",
    "layers",
    "architecture",
    "student",
    "evaluation",
    "networks",
    "data",
    "rewards",
    "stages",
    "limits",
)
BUILT_LATER = "modules.py"
"""Of n2n_gym/layers: modules that torch lacks, imported inside a layer's `module` and nowhere else."""

LIBRARIES = {"torch", "torchvision", "gymnasium", "stable_baselines3", "sb3_contrib"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def at_import(path):
    """What a module imports when it is imported itself: not inside a function, not for type checkers."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def units(package):
    """Each unit, a folder or a file of a package, with all that its modules import."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        unit = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if unit != "__init__":
            found.setdefault(unit, set()).update(imports(path))
    return found


def neighbours(package):
    """Which other units of its package each unit imports from."""
    named = {}
    for unit, imported in units(package).items():
        theirs = {name.split(".")[1] for name in imported if name.startswith(f"{package}.")}
        named[unit] = theirs - {unit}
    return named


@pytest.mark.parametrize("package", FLOORS)
def test_every_unit_has_its_floor(package):
    assert set(units(package)) <= set().union(*FLOORS[package])


@pytest.mark.parametrize("package", FLOORS)
def test_imports_lead_down_or_stay(package):
    floor = {unit: height for height, floor in enumerate(FLOORS[package]) for unit in floor}
    wrong = [(unit, other) for unit, theirs in neighbours(package).items() for other in theirs if floor[other] > floor[unit]]
    assert wrong == []


@pytest.mark.parametrize("package", FLOORS)
def test_no_circle(package):
    left = neighbours(package)
    while left:
        free = [unit for unit, theirs in left.items() if not theirs & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for unit in free:
            del left[unit]


def test_the_environments_know_nothing_of_agents():
    for unit, imported in units("n2n_gym").items():
        assert not [name for name in imported if name.split(".")[0] == "agents"], unit


def test_plain_data_knows_no_library():
    for unit in NO_TORCH:
        folder = ROOT / "n2n_gym" / unit
        for path in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
            assert not set(at_import(path)) & {"n2n_gym.layers.modules"}, path
            if path.name != BUILT_LATER:
                assert not {name.split(".")[0] for name in at_import(path)} & LIBRARIES, path


def test_environments_reach_training_through_the_evaluators_alone():
    reached = neighbours("n2n_gym")["envs"] | {name.split(".")[0] for name in units("n2n_gym")["envs"]}
    assert not reached & {"models", "teachers", "torch"}


def test_importing_the_package_imports_no_torch():
    program = "import sys, n2n_gym; assert not {'torch', 'torchvision', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
