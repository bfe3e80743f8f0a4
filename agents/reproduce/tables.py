"""The paper's tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.interval import Interval
from agents.reproduce.baselines import best_pruned, distilled
from agents.reproduce.control import constant_rate
from agents.reproduce.document import Document, percent, times
from agents.reproduce.lab import PAPER, Lab, Run
from agents.reproduce.paper import ALSO_BY_HAND, TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, Compression, Reported
from agents.reproduce.pruning import Limits, check_installed
from n2n_gym.problem import Problem

COMPARISON = ("network", "accuracy", "parameters", "ratio", "paper: accuracy", "parameters", "ratio")
ONE_RUN = "One run of each search, seed 0."


def compression_runs(lab: Lab, row: Compression) -> dict[str, Run]:
    """The runs behind a row of table 1 and its figure, by their methods."""
    return lab.searches(f"{row.teacher}-{row.dataset}", row.teacher, row.dataset)


def network_name(lab: Lab, teacher: str, dataset: str) -> str:
    """What rows call a teacher and its data, as they really are at this scale."""
    return f"{lab.data(dataset)}, {width_name(lab, teacher)}"


def width_name(lab: Lab, teacher: str, width: float | None = None) -> str:
    """A teacher's name with the factor on its filters."""
    factor = lab.problem(teacher, "")["width"] if width is None else width
    return teacher if factor == 1 else f"{teacher} x {factor:g}"


def _cells(name: str, part: dict[str, Any], reported: Reported | None) -> tuple[str, ...]:
    measured = (percent(part["test_accuracy"]), f"{part['parameters']:,}", times(part.get("ratio")))
    if reported is None:
        return (name, *measured, "-", "-", "-")
    accuracy = "-" if reported.accuracy is None else f"{reported.accuracy:.2f}%"
    return (name, *measured, accuracy, reported.parameters or "-", times(reported.ratio))


def table1(lab: Lab) -> Document:
    """Summary of compression results."""
    document = Document("Table 1: summary of compression results", COMPARISON, notes=[ONE_RUN])
    titles = {"stage1": "stage 1", "student": "stage 1 + 2"}
    for row in TABLE_1:
        name = network_name(lab, row.teacher, row.dataset)
        if not lab.available(row.dataset, name, document):
            continue
        results = {method: run.result for method, run in compression_runs(lab, row).items()}
        paper = {part: asdict(reported) for part, reported in row.reported.items()}
        document.data[name] = {**results, "paper": paper}
        document.rows.append(_cells(f"{name}, teacher", results[PAPER]["teacher"], row.reported["teacher"]))
        for part in (each for each in titles if each in row.reported):
            for method, result in results.items():
                if part in result:
                    document.rows.append(_cells(f"{name}, {titles[part]}, {method}", result[part], row.reported[part]))
    return document


def table2(lab: Lab) -> Document:
    """Pruning as a baseline."""
    check_installed()
    document = Document("Table 2: pruning", COMPARISON, notes=[ONE_RUN])
    for (dataset, teacher_name), reported in TABLE_2.items():
        name = network_name(lab, teacher_name, dataset)
        if not lab.available(dataset, name, document):
            continue
        row = next(row for row in TABLE_1 if (row.dataset, row.teacher) == (dataset, teacher_name))
        results = {method: run.result for method, run in compression_runs(lab, row).items()}
        ours = results[PAPER]
        # a student may be more accurate than its teacher, and then no pruning of the teacher could ever begin
        accuracy = min(ours[part]["val_accuracy"] for part in ("teacher", "stage1")) - 0.01
        limits = Limits(accuracy, ours["stage1"]["parameters"])
        pruned = best_pruned(lab, Problem(**lab.problem(teacher_name, dataset)), limits)
        document.data[name] = {
            "teacher": ours["teacher"],
            "pruning": pruned,
            **{method: result["stage1"] for method, result in results.items()},
            "paper": asdict(reported),
        }
        document.rows += [
            _cells(f"{name}, teacher", ours["teacher"], row.reported["teacher"]),
            _cells(f"{name}, pruning", pruned, reported),
            *(_cells(f"{name}, {method}", result["stage1"], row.reported["stage1"]) for method, result in results.items()),
        ]
    document.notes.append(
        "Pruning stops 1 point below the validation accuracy of the student that the paper's method found, or of the teacher "
        f"if that is lower, or at that student's size; the best of {lab.scale.prunings} by reward on validation images is "
        "reported, after fine-tuning."
    )
    return document


def table3(lab: Lab) -> Document:
    """Knowledge distillation into hand-designed networks, the paper's and those that are better known today."""
    document = Document("Table 3: knowledge distillation with hand-designed models", COMPARISON, notes=[ONE_RUN])
    for dataset in dict.fromkeys(dataset for dataset, _ in TABLE_3):
        data = lab.data(dataset)
        if not lab.available(dataset, data, document):
            continue
        row = next(row for row in TABLE_1 if (row.dataset, row.teacher) == (dataset, "resnet18"))
        results = {method: run.result for method, run in compression_runs(lab, row).items()}
        problem = Problem(**lab.problem("resnet18", dataset))
        names = (*(name for theirs, name in TABLE_3 if theirs == dataset), *ALSO_BY_HAND)
        students = {name: distilled(lab, problem, name) for name in names}
        paper = {name: asdict(reported) for (theirs, name), reported in TABLE_3.items() if theirs == dataset}
        found = {method: result["student"] for method, result in results.items()}
        document.data[data] = {"teacher": results[PAPER]["teacher"], **students, **found, "paper": paper}
        teacher = width_name(lab, "resnet18")
        document.rows.append(_cells(f"{data}, teacher: {teacher}", results[PAPER]["teacher"], row.reported["teacher"]))
        for name, part in students.items():
            document.rows.append(_cells(f"{data}, {width_name(lab, name)}", part, TABLE_3.get((dataset, name))))
        document.rows += [_cells(f"{data}, {method}", part, row.reported["student"]) for method, part in found.items()]
    document.notes.append(
        "Hand-designed networks have their filters scaled by the same factor as the teacher; "
        f"{', '.join(ALSO_BY_HAND)} are not in the paper."
    )
    return document


def table4(lab: Lab) -> Document:
    """Compression under a limit on the parameters."""
    document = Document("Table 4: compression with size constraints", ("limit", *COMPARISON), notes=[ONE_RUN])
    for (dataset, teacher_name), reported in TABLE_4.items():
        limited = lab.scale.limited[teacher_name]
        name = f"{lab.data(dataset)}, {width_name(lab, teacher_name, limited.width)}"
        if not lab.available(dataset, name, document):
            continue
        iterations = lab.scale.limited_iterations
        runs = lab.searches(
            f"{teacher_name}-{dataset}-limited",
            teacher_name,
            dataset,
            width=limited.width,
            iterations=iterations,
            constraint=(f"parameters<={limited.parameters}",),
        )
        document.data[name] = {"limit": limited.parameters, "paper": asdict(reported)}
        document.rows.append(("-", *_cells(f"{name}, teacher", runs[PAPER].result["teacher"], None)))
        for method, run in runs.items():
            kept = _kept_at_the_end(run, iterations)
            shares = {f"stage{stage}": share for stage, share in kept.items()}
            document.data[name][method] = {**run.result, "feasible_in_the_last_20_updates": shares}
            student = _cells(f"{name}, {method}", run.result["student"], reported)
            document.rows.append((f"{limited.parameters:,}", *student))
            headroom = run.result["configuration"]["headroom"]
            limits = {1: f"of stage 1 keep its limit, {headroom:g} times as large", 2: "of stage 2 keep the limit"}
            said = ", ".join(f"{share:.0%} {limits[stage]}" for stage, share in kept.items())
            document.notes.append(
                f"{name}, {method}: {iterations} policy updates a stage. Of the students of the last 20 updates, {said}."
            )
    return document


def _kept_at_the_end(run: Run, iterations: int) -> dict[int, float]:
    """For each stage, the share of its last students that keep the limit."""
    last = [episode for episode in run.history if episode.iteration >= iterations - 20]
    feasible = {stage: [not e.reason and e.excess == 0 for e in last if e.stage == stage] for stage in (1, 2)}
    return {stage: sum(each) / len(each) for stage, each in feasible.items() if each}


RATE = "constant_rate"
KINDS = ("pretrained", "scratch", RATE, "above_scratch", "above_rate")
TRANSFER = (
    "transfer",
    "quantity",
    "pre-trained",
    "scratch",
    "constant rate",
    "pre-trained above scratch",
    "pre-trained above constant rate",
    "paper: pre-trained, scratch",
)


def transfer_name(lab: Lab, source: str, target: str, dataset: str) -> str:
    """What rows and pictures call a transfer."""
    return f"{lab.data(dataset, lab.scale.transfer_train_size)}, {width_name(lab, source)} to {width_name(lab, target)}"


def transfer(lab: Lab, source: str, target: str, dataset: str) -> dict[str, Any]:
    """One transfer of table 5: what a policy that learned on one teacher is worth at the start on another.

    Args:
        lab: Where to run.
        source: The teacher that the policy learns on.
        target: The teacher that it starts on.
        dataset: Their data set.

    Returns:
        Intervals over the seeds of `reward`, `compression` and `accuracy` over the first policy updates (the last two of the
        students that are not degenerate): `pretrained`, `scratch`, `constant_rate`, which removes as many layers as the
        pre-trained policy had learned to remove and does not look at them, and by how much the first is above the others,
        paired by seed, in intervals that hold for all of the table's transfers at once; and the `curves` of figure 10.
    """
    updates = lab.scale.first_updates
    runs: dict[str, list[Run]] = {"pretrained": [], "scratch": [], RATE: []}
    for seed in range(lab.scale.seeds):
        common: dict[str, Any] = {"stages": "1", "finalists": 0, "seed": seed, "train_size": lab.scale.transfer_train_size}
        longer = {"iterations": lab.scale.source_iterations}
        first = lab.compress(f"{source}-{dataset}-s{seed}-source", source, dataset, **common, **longer)
        policy = str(first.folder / "stage1.policy")
        name = f"{source}-to-{target}-{dataset}-s{seed}"
        again = lab.compress(name, target, dataset, **common, iterations=updates, policy=(policy,))
        runs["pretrained"].append(again)
        runs["scratch"].append(
            lab.compress(f"{target}-{dataset}-s{seed}-scratch", target, dataset, **common, iterations=updates)
        )
        runs[RATE].append(constant_rate(lab, first, (source, target), dataset, updates=updates, **common))
    summary: dict[str, Any] = {}
    for quantity in ("reward", "compression", "accuracy"):
        means = {kind: [run.mean(quantity) for run in each] for kind, each in runs.items()}
        summary[quantity] = {kind: Interval.of(values) for kind, values in means.items()}
        for above, kind in (("above_scratch", "scratch"), ("above_rate", RATE)):
            differences = [a - b for a, b in zip(means["pretrained"], means[kind], strict=True)]
            summary[quantity][above] = Interval.of(differences, together=len(TABLE_5))
    summary["curves"] = {kind: [run.curve("reward").tolist() for run in each] for kind, each in runs.items()}
    summary["rates"] = {"removed": [run.result["rate"] for run in runs[RATE]]}
    return summary


def table5(lab: Lab) -> Document:
    """Transfer of policies between teachers."""
    data = lab.data("cifar10", lab.scale.transfer_train_size)
    document = Document(f"Table 5: transfer on {data}, first {lab.scale.first_updates} policy updates", TRANSFER)
    for (source, target), reported in TABLE_5.items():
        name = transfer_name(lab, source, target, "cifar10")
        if not lab.available("cifar10", name, document):
            continue
        summary = transfer(lab, source, target, "cifar10")
        document.data[name] = {**jsonable(summary), "paper": reported}
        for quantity in ("reward", "compression", "accuracy"):
            paper = ", ".join(f"{value:g}{'%' * (quantity != 'reward')}" for value in reported.get(quantity, ())) or "-"
            document.rows.append((name, quantity, *(str(summary[quantity][kind]) for kind in KINDS), paper))
    document.notes += transfer_notes(lab)
    return document


def transfer_notes(lab: Lab) -> list[str]:
    """What there is to say of transfers at this scale."""
    scale = lab.scale
    images = "all" if scale.transfer_train_size is None else f"{scale.transfer_train_size:,}"
    return [
        f"Students were trained on {images} images; policies learned for {scale.source_iterations} updates on the first "
        f"network. Means over {scale.seeds} seeds, 95% intervals in parentheses; differences are paired by seed, and their "
        f"intervals hold for all {len(TABLE_5)} transfers at once (Student's t, Bonferroni's correction).",
        "The constant rate removes each layer with the probability with which the pre-trained policy removed layers at the "
        "end of its learning, and learns nothing: what is above it was transferred beyond how much to remove.",
        "A degenerate student counts with its reward of -1; compression and accuracy are the others' means.",
    ]


def jsonable(summary: dict[str, Any]) -> dict[str, Any]:
    """What `transfer` returns, as JSON data."""
    return {
        name: {kind: value.to_json() if isinstance(value, Interval) else value for kind, value in part.items()}
        for name, part in summary.items()
    }
