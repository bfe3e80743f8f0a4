"""Data flows one way, and importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "n2n_gym.architecture": set(),
    "n2n_gym.files": {"n2n_gym.errors"},
    "n2n_gym.datasets": {"n2n_gym.errors", "n2n_gym.files", "n2n_gym.architecture"},
    "n2n_gym.candidate": {"n2n_gym.errors", "n2n_gym.files", "n2n_gym.architecture"},
    "n2n_gym.evaluators.base": {"n2n_gym.architecture"},
    "n2n_gym.rewards": {"n2n_gym.errors", "n2n_gym.evaluators.base"},
    "n2n_gym.constraints": {
        "n2n_gym.errors",
        "n2n_gym.files",
        "n2n_gym.architecture",
        "n2n_gym.problem",
        "n2n_gym.evaluators.base",
    },
}
"""Which of our modules each may import; what is not listed is held by the rules below."""


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def modules(package):
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), set(imports(path))


def within(name, package):
    return name == package or name.startswith(package + ".")


def test_the_environments_know_nothing_of_agents():
    for module, imported in modules("n2n_gym"):
        assert not [name for name in imported if within(name, "agents")], module


def test_architectures_are_plain_data():
    for module, imported in modules("n2n_gym/architecture"):
        foreign = {
            name for name in imported if name.split(".")[0] in ("torch", "torchvision", "gymnasium", "stable_baselines3")
        }
        assert not foreign, module


def test_each_module_imports_only_what_lies_behind_it():
    for module, imported in modules("n2n_gym"):
        for package, allowed in MAY_IMPORT.items():
            if within(module, package):
                ours = {name for name in imported if name.startswith("n2n_gym.")}
                wrong = {name for name in ours if not any(within(name, other) for other in allowed | {package})}
                assert not wrong, module


def test_environments_reach_training_through_the_evaluators_name_alone():
    for module, imported in modules("n2n_gym/envs"):
        wrong = [
            name
            for name in imported
            if within(name, "n2n_gym.models") or name in ("n2n_gym.training", "n2n_gym.evaluators.distillation", "torch")
        ]
        assert not wrong, module


def test_training_knows_nothing_of_environments():
    for module, imported in modules("n2n_gym"):
        if module != "n2n_gym" and not within(module, "n2n_gym.envs") and module != "n2n_gym.tabulate":
            assert not [name for name in imported if within(name, "n2n_gym.envs")], module


def test_importing_the_package_imports_no_torch():
    program = "import sys, n2n_gym; assert not {'torch', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
