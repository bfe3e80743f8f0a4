"""Writes docs/paper.md: each number and equation of the paper, and the file and line of this package that has it.

python docs/site/paper.py [file]

Lines are looked up from symbols, values are read from the code: what moves is found again, what is gone ends the program, and
envs_tests/test_paper_map.py fails where the committed page is another than the one that would be written now.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from agents.algorithms.policies import AutoregressiveLstmPolicy, BidirectionalLstmPolicy
from agents.algorithms.registry import STAGES
from agents.algorithms.reinforce import Reinforce
from agents.reproduce.lab import SCALES
from agents.reproduce.paper import FIGURES, TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, Reported
from agents.search.options import Search
from n2n_gym.architecture import FACTORS, removal_decisions
from n2n_gym.architecture.graph import FC_GROWTH, FC_INPUTS
from n2n_gym.data.known import DATASETS
from n2n_gym.layers import MIN_FILTERS
from n2n_gym.limits.relaxation import Relaxation
from n2n_gym.networks.hand_designed import hand_designed
from n2n_gym.networks.zoo import network
from n2n_gym.rewards import DEGENERATE
from n2n_gym.training.recipes import FULL_SIZE, SMALLEST_BATCH, final_recipe, search_recipe, teacher_recipe

ROOT = Path(__file__).parent.parent.parent

SYMBOL = re.compile(r"(?P<module>[\w.]+):(?P<path>[\w.]+)(?:\((?P<argument>\w+)\)|\[(?P<entry>.+)\])?")


class Place(NamedTuple):
    """Where a symbol stands.

    Attributes:
        file: From the project's folder.
        line: From 1.
    """

    file: str
    line: int


def place(symbol: str) -> Place:
    """Where a symbol of the package stands.

    Args:
        symbol: `module:name`, `module:Class.name`; `module:function(argument)` for one of its arguments,
            `module:TABLE[entry]` for the entry of a dictionary (its key as a Python literal) or of a tuple (its number).

    Raises:
        LookupError: If there is no such symbol.
    """
    match = SYMBOL.fullmatch(symbol)
    if match is None:
        raise LookupError(f"{symbol} is no symbol")
    file = Path(*match["module"].split(".")).with_suffix(".py")
    file = file if (ROOT / file).exists() else file.with_suffix("") / "__init__.py"
    if not (ROOT / file).exists():
        raise LookupError(f"{symbol}: there is no {file}")
    node: ast.AST = _tree(file)
    for name in match["path"].split("."):
        node = _child(node, name, symbol)
    if match["argument"]:
        node = _argument(node, match["argument"], symbol)
    elif match["entry"]:
        node = _entry(node, match["entry"], symbol)
    return Place(file.as_posix(), node.lineno)  # type: ignore[attr-defined]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _child(node: ast.AST, name: str, symbol: str) -> ast.AST:
    for each in getattr(node, "body", []):
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == name:
            return each
        targets = each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            if any(isinstance(one, ast.Name) and one.id == name for one in names):
                return each
    raise LookupError(f"{symbol}: there is no {name}")


def _argument(node: ast.AST, name: str, symbol: str) -> ast.AST:
    if isinstance(node, ast.FunctionDef):
        for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if each.arg == name:
                return each
    raise LookupError(f"{symbol}: there is no argument {name}")


def _entry(node: ast.AST, entry: str, symbol: str) -> ast.AST:
    wanted = ast.literal_eval(entry)
    value = getattr(node, "value", None)
    if isinstance(value, ast.Dict):
        for key in value.keys:
            if key is not None and ast.literal_eval(key) == wanted:
                return key
    if isinstance(value, ast.Tuple) and isinstance(wanted, int) and wanted < len(value.elts):
        return value.elts[wanted]
    raise LookupError(f"{symbol}: there is no entry {entry}")


@dataclass(frozen=True)
class Row:
    """A number or an equation of the paper.

    Attributes:
        where: In the paper.
        says: What it says there.
        symbols: What has it here.
        here: What it is here, read from the code; nothing where the paper's words are all there is to say.
    """

    where: str
    says: str
    symbols: tuple[str, ...]
    here: str = ""

    def __str__(self) -> str:
        links = []
        for symbol in self.symbols:
            file, line = place(symbol)
            name = SYMBOL.fullmatch(symbol)
            assert name is not None
            shown = f"{name['path']}{'.' + name['argument'] if name['argument'] else ''}"
            links.append(f"[`{shown}`](../{file}#L{line}) {file}:{line}")
        return f"| {self.where} | {self.says} | {self.here or 'the same'} | {'<br>'.join(links)} |"


def row(where: str, says: str, *symbols: str, here: str = "") -> Row:
    """A row."""
    return Row(where, says, symbols, here)


def default(function: Callable[..., Any], name: str) -> Any:
    """An argument's default."""
    return inspect.signature(function).parameters[name].default


def decisions(name: str) -> int:
    """How many decisions stage 1 has on a network."""
    return len(removal_decisions(network(name)))


def equations() -> list[Row]:
    """Sections 3.1 to 3.5, appendices 6 and 11."""
    judge, gradient = "n2n_gym.envs.judge:Judge.finished", "agents.algorithms.reinforce:Reinforce._train"
    loss = "n2n_gym.training.gradients:PlainGradients._loss"
    return [
        row("3.1", "state s: a network that can be derived from the teacher", "n2n_gym.student:Student"),
        row("3.1", "transition T(s, a): certain", "n2n_gym.stages.base:Stage.student", here="built from all actions at once"),
        row("3.1", "discount factor 1", "agents.algorithms.registry:OnPolicy.make", here="1.0; REINFORCE sums the rewards"),
        row("3.1", "r = 0 before the last decision", "n2n_gym.envs.single:CompressionEnv.step"),
        row("3.2, Eq. 1", "R(s) = Σ r(s_i) = r(s_L)", judge),
        row("Alg. 1", "remove layers, take the best, shrink it, output it", "agents.search.compress:_Run.go"),
        row(
            "Alg. 1, line 11",
            "s_0 ← stage-1 candidate",
            "agents.search.compress:_Run._starts",
            here=f"the {Search().starts} best",
        ),
        row("3.2.1", "a_t: keep or remove; T = L", "n2n_gym.architecture.removal:removal_decisions"),
        row("3.2.1", "x_t = (l, k, s, p, n, s_start, s_end)", "n2n_gym.architecture.features:decision_rows"),
        row(
            "3.2.1, Fig. 2a",
            "π_remove(a_t, given h_{t-1}, h_{t+1}, x_t)",
            "agents.algorithms.policies:BidirectionalLstmPolicy",
        ),
        row("3.2.2", "T = Σ H_l over the configuration variables", "n2n_gym.architecture.shrinkage:shrink_decisions"),
        row(
            "3.2.2",
            "a_t ∈ [0.1, 0.2, …, 1]",
            "n2n_gym.architecture.shrinkage:FACTORS",
            here=", ".join(f"{factor:g}" for factor in FACTORS),
        ),
        row(
            "3.2.2, Fig. 2b",
            "π_shrink(a_t, given a_{t-1}, h_{t-1}, x_t)",
            "agents.algorithms.policies:AutoregressiveLstmPolicy",
        ),
        row("3.3", "R = R_c · R_a = C (2 - C) · A / A_teacher", "n2n_gym.rewards:paper_reward"),
        row("3.3", "C = 1 - #params(student) / #params(teacher)", "n2n_gym.evaluation:Evaluation.compression"),
        row("3.3", "R_a = A / A_teacher", "n2n_gym.evaluation:Evaluation.relative_accuracy"),
        row("3.3", "a degenerate student's reward: -1", "n2n_gym.rewards:DEGENERATE", here=f"{DEGENERATE:g}"),
        row("3.3.1", "subject to Ax ≤ b", "n2n_gym.limits.constraints:Constraint"),
        row("3.3.1", "R = -1 if Ax > b", judge, "n2n_gym.limits.relaxation:relaxation"),
        row("3.3.1", "R = ε_t (R_a · R_c + 1) - 1 if Ax > b", "n2n_gym.rewards:relaxed"),
        row(
            "3.3.1",
            "ε_0 = 1, falling with t",
            "n2n_gym.limits.relaxation:Relaxation.__call__",
            here=f"(1 - t/{Relaxation().updates})^{Relaxation().power:g}, t = policy update",
        ),
        row("3.4", "J(θ) = E[R]; its gradient by REINFORCE", gradient),
        row(
            "3.4, Eq. 2",
            "∇J ≈ 1/m Σ_k Σ_t ∇ log P(a_t, given h_t) (R_k - b)",
            gradient,
            "agents.algorithms.reinforce:Reinforce._advantages",
        ),
        row(
            "3.4",
            "b: exponential moving average of the rewards",
            "agents.algorithms.reinforce:Reinforce._averaged",
            "agents.algorithms.reinforce:Reinforce.__init__(baseline_decay)",
            here=f"{default(Reinforce, 'baseline_decay'):g} of it stays at each update",
        ),
        row("3.5", "L_KD = 1/N Σ ‖f(x) - z‖²", loss, here="the mean over classes, not the sum: see below"),
        row("3.5", "L = L_hard + λ L_KD", loss, "n2n_gym.training.recipes:Recipe"),
        row(
            "3.5",
            "λ (no value given)",
            "n2n_gym.training.recipes:final_recipe(distillation_weight)",
            here=f"{default(final_recipe, 'distillation_weight'):g} of the mean over classes",
        ),
        row(
            "6",
            "actor-critic: R_k - V(h_t), a linear layer on the hidden state",
            "agents.algorithms.reinforce:ActorCritic._advantages",
            "agents.algorithms.policies:SequencePolicy.evaluate",
        ),
        row("11.1", "naive reward R = A · C", "n2n_gym.rewards:naive_reward"),
        row(
            "11.1",
            "A = 1, C = .25: .25; A = .25, C = 1: .4375",
            "agents.reproduce.paper:REWARDS",
            here="the other way round, by the paper's own formula",
        ),
        row("11.2", "degenerate: empty", "n2n_gym.layers.verdict:Verdict.EMPTY"),
        row(
            "11.2",
            "degenerate: large FC layer",
            "n2n_gym.layers.verdict:Verdict.FC_TOO_LARGE",
            "n2n_gym.architecture.graph:FC_INPUTS",
            here=f"reads more than {FC_INPUTS:,} numbers and {FC_GROWTH} times the teacher's most",
        ),
        row(
            "11.2",
            "degenerate: block's ends do not fit",
            "n2n_gym.architecture.removal:cut",
            "n2n_gym.layers.verdict:Verdict.SHAPES_DO_NOT_FIT",
            here="mended where a convolution is left to mend it",
        ),
    ]


def settings() -> list[Row]:
    """Sections 4.1 to 4.4, appendices 7 and 10, and what only the authors' code says."""
    recipes = {name: teacher_recipe(DATASETS[name]) for name in ("mnist", "cifar10", "caltech256")}
    search = {name: search_recipe("paper", DATASETS[name], FULL_SIZE) for name in ("mnist", "cifar10")}
    fast = search_recipe("fast", DATASETS["cifar10"])
    removal, shrinkage = STAGES[1], STAGES[2]
    prunings = SCALES["paper"].prunings

    def taught(name: str) -> str:
        recipe = recipes[name]
        falls = " and ".join(map(str, recipe.milestones))
        rates = f"{recipe.learning_rate:g} ({recipe.optimizer}), a tenth after {falls}"
        return f"{recipe.epochs} epochs, {rates}, batches of {recipe.batch_size}"

    def flipped(name: str) -> str:
        spec = DATASETS[name]
        return f"flips: {'yes' if spec.flip else 'no'}, padding {spec.crop_padding}, mean {spec.mean}"

    return [
        row(
            "4.1",
            "MNIST 60,000; CIFAR 50,000; SVHN 73,257; Caltech-256 30,607 images",
            "n2n_gym.data.known:DATASETS",
            here=f"training and validation images: {DATASETS['mnist'].images:,}; {DATASETS['cifar10'].images:,}; "
            f"{DATASETS['svhn'].images:,}; of Caltech-256 {DATASETS['caltech256'].images:,}, test images among them",
        ),
        row(
            "3.3, 4.1",
            "A: validation accuracy",
            "n2n_gym.data.splits:drawn_split",
            here=f"{DATASETS['cifar10'].validation_share:.0%} of the training images are held out for it",
        ),
        row(
            "4.2",
            "5 epochs tell students apart",
            "n2n_gym.training.recipes:search_recipe",
            here=f"{search['cifar10'].epochs} by recipe `paper`, {fast.epochs} by `fast`",
        ),
        row(
            "4.2, 10.1",
            "removal policy: Adam, 0.003",
            "agents.algorithms.registry:STAGES[1]",
            here=f"{removal['learning_rate']:g}",
        ),
        row(
            "4.2, 10.1",
            "shrinkage policy: Adam, 0.01 (4.2) or 0.1 (10.1)",
            "agents.algorithms.registry:STAGES[2]",
            here=f"{shrinkage['learning_rate']:g}",
        ),
        row("4.2, 10.1", "5 rollouts an update", "agents.search.options:Search.rollouts", here=f"{Search().rollouts}"),
        row(
            "10.1",
            "at least 100 updates",
            "agents.search.options:Search.iterations",
            here=f"{Search().iterations} at most; `n2n compress` ends a stage after {Search().students} trained students",
        ),
        row(
            "10.1",
            "removal policy: 2 layers, 30 hidden units",
            "agents.algorithms.policies:BidirectionalLstmPolicy.__init__(hidden)",
            "agents.algorithms.policies:SequencePolicy.__init__(layers)",
            here=f"{default(_own_init(BidirectionalLstmPolicy), 'hidden')}, 2 layers",
        ),
        row(
            "10.1",
            "shrinkage policy: 2 layers, 50 hidden units",
            "agents.algorithms.policies:AutoregressiveLstmPolicy.__init__(hidden)",
            here=f"{default(_own_init(AutoregressiveLstmPolicy), 'hidden')}, 2 layers",
        ),
        row("7.1", "learning rates .03, .003, .0003", "agents.reproduce:TARGETS['figure8']"),
        row("7.2", "batch sizes 1, 5, 10", "agents.reproduce:TARGETS['figure9']"),
        row(
            "10.2",
            "MNIST: 50 epochs, 0.01, a tenth after 30, batches of 64",
            "n2n_gym.training.recipes:_TEACHERS['mnist']",
            here=taught("mnist"),
        ),
        row(
            "10.2",
            "CIFAR, SVHN: 150 epochs, 0.001, a tenth after 80 and 120, batches of 128",
            "n2n_gym.training.recipes:_TEACHERS['cifar']",
            here=taught("cifar10"),
        ),
        row(
            "10.2",
            "Caltech-256: 50 epochs, 0.01, 0.001 after 50",
            "n2n_gym.training.recipes:_TEACHERS['caltech']",
            here=taught("caltech256"),
        ),
        row("10.2", "CIFAR: mirrored, cropped with padding 4, mean .5", "n2n_gym.data.known:_cifar", here=flipped("cifar10")),
        row(
            "4.3",
            "Conv4: 4 convolutions",
            "n2n_gym.networks.zoo:_conv4",
            here="32, 64, 64, 128 filters, as in the authors' code",
        ),
        row("Table 1", "VGG-13: 9.4M parameters", "n2n_gym.networks.zoo:_vgg", here=f"{network('vgg13').parameters:,}"),
        row("Table 1", "VGG-19: 20.2M", "n2n_gym.networks.zoo:_vgg", here=f"{network('vgg19').parameters:,}"),
        row("Table 1", "ResNet-18: 11.17M", "n2n_gym.networks.zoo:_resnet", here=f"{network('resnet18').parameters:,}"),
        row("Table 1", "ResNet-34: 21.28M", "n2n_gym.networks.zoo:_resnet", here=f"{network('resnet34').parameters:,}"),
        row(
            "4.4.1",
            "pruning ends 1 point below, or at the student's size; the best of 5",
            "agents.reproduce.pruning:Limits",
            "agents.reproduce.lab:Scale.prunings",
            here=f"the best of {prunings}",
        ),
        row(
            "4.4.2",
            "FitNet-4: 1.2M",
            "n2n_gym.networks.hand_designed:_fitnet4",
            here=f"{hand_designed('fitnet4').parameters:,}",
        ),
        row(
            "4.4.2",
            "SqueezeNet 1.1: 727K",
            "n2n_gym.networks.hand_designed:_squeezenet",
            here=f"{hand_designed('squeezenet1.1').parameters:,}",
        ),
        row(
            "4.4.2",
            "VGG-small: 1.06M",
            "n2n_gym.networks.hand_designed:_vgg_small",
            here=f"{hand_designed('vgg-small').parameters:,}",
        ),
        row(
            "authors' code",
            "decisions of stage 1: ResNet-18 45, ResNet-34 85",
            "n2n_gym.architecture.removal:removal_decisions",
            here=f"{decisions('resnet18')}, {decisions('resnet34')}",
        ),
        row("authors' code", "at least 10 filters", "n2n_gym.layers.base:MIN_FILTERS", here=f"{MIN_FILTERS}"),
        row(
            "authors' code",
            "students: Adam 5e-4, weight decay 5e-4, batches of 200 (CIFAR), 64 (MNIST)",
            "n2n_gym.training.recipes:search_recipe",
            here=f"{search['cifar10'].learning_rate:g}, {search['cifar10'].weight_decay:g}, {search['cifar10'].batch_size}, "
            f"{search['mnist'].batch_size}; fewer than {FULL_SIZE:,} images: smaller batches, {SMALLEST_BATCH} at least",
        ),
    ]


def _own_init(kind: type) -> Callable[..., Any]:
    return vars(kind)["__init__"]  # type: ignore[no-any-return]


def _said(reported: Reported) -> str:
    accuracy = "-" if reported.accuracy is None else f"{reported.accuracy:.2f}%"
    ratio = "" if reported.ratio is None else f", {reported.ratio:g}x"
    return f"{accuracy}, {reported.parameters or '-'}{ratio}"


def tables() -> Iterator[str]:
    """A row for each row of the paper's tables, and for each figure."""
    titles = {"teacher": "teacher", "stage1": "stage 1", "student": "stage 1 + 2"}
    for number, each in enumerate(TABLE_1):
        said = "; ".join(f"{titles[part]} {_said(reported)}" for part, reported in each.reported.items())
        yield _table_row(1, f"{each.dataset}, {each.teacher}", said, f"TABLE_1[{number}]")
    for number, table in ((2, TABLE_2), (3, TABLE_3), (4, TABLE_4)):
        for key, reported in table.items():
            yield _table_row(number, ", ".join(key), _said(reported), f"TABLE_{number}[{key!r}]")
    for key, numbers in TABLE_5.items():
        said = "; ".join(f"{what} {a:g}, {b:g}" for what, (a, b) in numbers.items())
        yield _table_row(5, " to ".join(key), f"pre-trained, scratch: {said}", f"TABLE_5[{key!r}]")
    figures = {number: (said, f"agents.reproduce.paper:FIGURES[{number}]") for number, said in FIGURES.items()}
    figures[10] = ("pre-trained policies start with a high reward", "agents.reproduce.figures:figure10")
    figures[13] = ("both rewards' surfaces", "agents.reproduce.figures:figure13")
    for number in sorted(figures):
        yield _figure_row(number, *figures[number])


def _table_row(number: int, what: str, said: str, entry: str) -> str:
    return _measured_row(f"Table {number}", f": {what}", said, f"agents.reproduce.paper:{entry}")


def _figure_row(number: int, said: str, symbol: str) -> str:
    return _measured_row(f"Figure {number}", "", said, symbol)


def _measured_row(what: str, more: str, said: str, symbol: str) -> str:
    file, line = place(symbol)
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    heading = next((text for text in lines if text.startswith(f"## {what}: ")), None)
    measured = "not run: the data were not to be had" if heading is None else f"[results](results.md#{_anchor(heading)})"
    target = what.lower().replace(" ", "")
    return f"| {what}{more} | {said} | [{file}:{line}](../{file}#L{line}) | `n2n reproduce {target}` | {measured} |"


def _anchor(heading: str) -> str:
    """The address that a heading has on the page."""
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower())
    return re.sub(r"[ -]+", "-", words)


def page() -> str:
    """The whole page."""
    head = ("| in the paper | it says | here | file and line |", "|---|---|---|---|")
    template = (Path(__file__).parent / "paper.md").read_text(encoding="utf-8")
    measured = ("| in the paper | it says | file and line | made by | measured |", "|---|---|---|---|---|")
    parts = {
        "equations": [*head, *map(str, equations())],
        "settings": [*head, *map(str, settings())],
        "tables": [*measured, *tables()],
    }
    for name, lines in parts.items():
        template = template.replace(f"{{{name}}}", "\n".join(lines))
    return re.sub(r"\{(\w[\w.]*:[^}]+)\}", _linked, template)


def _linked(match: re.Match[str]) -> str:
    file, line = place(match[1])
    return f"[{file}:{line}](../{file}#L{line})"


def main(arguments: Sequence[str]) -> None:
    out = Path(arguments[0]) if arguments else ROOT / "docs" / "paper.md"
    out.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
