"""The paper's tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.interval import Interval
from agents.reproduce.baselines import best_pruned, distilled
from agents.reproduce.document import Document, percent, times
from agents.reproduce.lab import Lab, Run
from agents.reproduce.paper import TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, Compression, Reported
from agents.reproduce.pruning import Limits, check_installed
from n2n_gym.problem import Problem

COMPARISON = ("network", "accuracy", "parameters", "ratio", "paper: accuracy", "parameters", "ratio")
ONE_RUN = "One run of each search, seed 0."


def compression_run(lab: Lab, row: Compression) -> Run:
    """The run behind a row of table 1 and its figure."""
    return lab.compress(f"{row.teacher}-{row.dataset}", row.teacher, row.dataset)


def _cells(name: str, part: dict[str, Any], reported: Reported | None) -> tuple[str, ...]:
    measured = (percent(part["test_accuracy"]), f"{part['parameters']:,}", times(part.get("ratio")))
    if reported is None:
        return (name, *measured, "-", "-", "-")
    accuracy = "-" if reported.accuracy is None else f"{reported.accuracy:.2f}%"
    return (name, *measured, accuracy, reported.parameters or "-", times(reported.ratio))


def table1(lab: Lab) -> Document:
    """Summary of compression results."""
    document = Document("Table 1: summary of compression results", COMPARISON, notes=[ONE_RUN])
    titles = {"teacher": "teacher", "stage1": "stage 1", "student": "stage 1 + 2"}
    for row in TABLE_1:
        name = f"{row.dataset}, {row.teacher}"
        if not lab.available(row.dataset, name, document):
            continue
        result = compression_run(lab, row).result
        document.data[name] = {**result, "paper": {part: asdict(reported) for part, reported in row.reported.items()}}
        for part, reported in row.reported.items():
            if part in result:
                document.rows.append(_cells(f"{name}, {titles[part]}", result[part], reported))
    return document


def table2(lab: Lab) -> Document:
    """Pruning as a baseline."""
    check_installed()
    document = Document("Table 2: pruning", COMPARISON, notes=[ONE_RUN])
    for (dataset, teacher_name), reported in TABLE_2.items():
        name = f"{dataset}, {teacher_name}"
        if not lab.available(dataset, name, document):
            continue
        row = next(row for row in TABLE_1 if (row.dataset, row.teacher) == (dataset, teacher_name))
        ours = compression_run(lab, row).result
        # a student may be more accurate than its teacher, and then no pruning of the teacher could ever begin
        accuracy = min(ours[part]["val_accuracy"] for part in ("teacher", "stage1")) - 0.01
        limits = Limits(accuracy, ours["stage1"]["parameters"])
        pruned = best_pruned(lab, Problem(**lab.problem(teacher_name, dataset)), limits)
        document.data[name] = {
            "teacher": ours["teacher"],
            "pruning": pruned,
            "ours": ours["stage1"],
            "paper": asdict(reported),
        }
        document.rows += [
            _cells(f"{name}, teacher", ours["teacher"], row.reported["teacher"]),
            _cells(f"{name}, pruning", pruned, reported),
            _cells(f"{name}, ours", ours["stage1"], row.reported["stage1"]),
        ]
    document.notes.append(
        f"Pruning stops 1 point below the validation accuracy of our student, or of the teacher if that is lower, or at our "
        f"student's size; the best of {lab.scale.prunings} by reward on validation images is reported, after fine-tuning."
    )
    return document


def table3(lab: Lab) -> Document:
    """Knowledge distillation into hand-designed networks."""
    document = Document("Table 3: knowledge distillation with hand-designed models", COMPARISON, notes=[ONE_RUN])
    for dataset in dict.fromkeys(dataset for dataset, _ in TABLE_3):
        if not lab.available(dataset, dataset, document):
            continue
        row = next(row for row in TABLE_1 if (row.dataset, row.teacher) == (dataset, "resnet18"))
        ours = compression_run(lab, row).result
        students = {
            name: distilled(lab, Problem(**lab.problem("resnet18", dataset)), name)
            for theirs, name in TABLE_3
            if theirs == dataset
        }
        paper = {name: asdict(reported) for (theirs, name), reported in TABLE_3.items() if theirs == dataset}
        document.data[dataset] = {"teacher": ours["teacher"], **students, "ours": ours["student"], "paper": paper}
        document.rows.append(_cells(f"{dataset}, teacher", ours["teacher"], row.reported["teacher"]))
        document.rows += [_cells(f"{dataset}, {n}", part, TABLE_3[dataset, n]) for n, part in students.items()]
        document.rows.append(_cells(f"{dataset}, ours", ours["student"], row.reported["student"]))
    document.notes.append("Hand-designed networks have their filters scaled by the same factor as the teacher.")
    return document


def table4(lab: Lab) -> Document:
    """Compression under a limit on the parameters."""
    document = Document("Table 4: compression with size constraints", ("limit", *COMPARISON), notes=[ONE_RUN])
    for (dataset, teacher_name), reported in TABLE_4.items():
        name = f"{dataset}, {teacher_name}"
        limited = lab.scale.limited[teacher_name]
        if not lab.available(dataset, name, document):
            continue
        iterations = lab.scale.limited_iterations
        run = lab.compress(
            f"{teacher_name}-{dataset}-limited",
            teacher_name,
            dataset,
            width=limited.width,
            iterations=iterations,
            constraint=(f"parameters<={limited.parameters}",),
        )
        last = [episode for episode in run.history if episode.iteration >= iterations - 20]
        feasible = {stage: [not e.reason and e.excess == 0 for e in last if e.stage == stage] for stage in (1, 2)}
        kept = {stage: sum(each) / len(each) for stage, each in feasible.items() if each}
        document.data[name] = {
            **run.result,
            "limit": limited.parameters,
            "feasible_in_the_last_20_updates": {f"stage{stage}": share for stage, share in kept.items()},
            "paper": asdict(reported),
        }
        teacher, student = run.result["teacher"], run.result["student"]
        document.rows.append(("-", *_cells(f"{name}, teacher", teacher, None)))
        document.rows.append((f"{limited.parameters:,}", *_cells(f"{name}, student", student, reported)))
        headroom = run.result["configuration"]["headroom"]
        limits = {1: f"of stage 1 keep its limit, {headroom:g} times as large", 2: "of stage 2 keep the limit"}
        said = ", ".join(f"{share:.0%} {limits[stage]}" for stage, share in kept.items())
        document.notes.append(
            f"{name}: filters x {limited.width:g}, {iterations} policy updates a stage. Of the students of the last 20 "
            f"updates, {said}."
        )
    return document


TRANSFER = ("transfer", "quantity", "pre-trained", "scratch", "difference", "paper: pre-trained, scratch")


def transfer(lab: Lab, source: str, target: str, dataset: str) -> dict[str, Any]:
    """One transfer of table 5: what a policy that learned on one teacher is worth at the start on another.

    Args:
        lab: Where to run.
        source: The teacher that the policy learns on.
        target: The teacher that it starts on.
        dataset: Their data set.

    Returns:
        Intervals over the seeds of `reward`, `compression` and `accuracy` over the first policy updates (the last two of the
        students that are not degenerate), `pretrained`, `scratch` and their paired `difference`; and the `curves` of
        figure 10.
    """
    updates = lab.scale.first_updates
    runs: dict[str, list[Run]] = {"pretrained": [], "scratch": []}
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
    summary: dict[str, Any] = {}
    for quantity in ("reward", "compression", "accuracy"):
        means = {kind: [run.mean(quantity) for run in each] for kind, each in runs.items()}
        differences = [a - b for a, b in zip(means["pretrained"], means["scratch"], strict=True)]
        intervals = {kind: Interval.of(values) for kind, values in means.items()}
        summary[quantity] = {**intervals, "difference": Interval.of(differences)}
    summary["curves"] = {kind: [run.curve("reward").tolist() for run in each] for kind, each in runs.items()}
    return summary


def table5(lab: Lab) -> Document:
    """Transfer of policies between teachers."""
    document = Document(f"Table 5: transfer, first {lab.scale.first_updates} policy updates", TRANSFER)
    for (source, target), reported in TABLE_5.items():
        if not lab.available("cifar10", f"{source} to {target}", document):
            continue
        summary = transfer(lab, source, target, "cifar10")
        document.data[f"{source} to {target}"] = {**jsonable(summary), "paper": reported}
        for quantity in ("reward", "compression", "accuracy"):
            measured = summary[quantity]
            paper = ", ".join(f"{value:g}{'%' * (quantity != 'reward')}" for value in reported.get(quantity, ())) or "-"
            cells = (str(measured[kind]) for kind in ("pretrained", "scratch", "difference"))
            document.rows.append((f"{source} to {target}", quantity, *cells, paper))
    document.notes += transfer_notes(lab)
    return document


def transfer_notes(lab: Lab) -> list[str]:
    """What there is to say of transfers at this scale."""
    scale = lab.scale
    images = "all" if scale.transfer_train_size is None else f"{scale.transfer_train_size:,}"
    return [
        f"Students were trained on {images} images; policies learned for {scale.source_iterations} updates on the first "
        f"network. Means over {scale.seeds} seeds, 95% intervals in parentheses; differences are paired by seed.",
        "A degenerate student counts with its reward of -1; compression and accuracy are the others' means.",
    ]


def jsonable(summary: dict[str, Any]) -> dict[str, Any]:
    """What `transfer` returns, as JSON data."""
    return {
        name: {kind: value.to_json() if isinstance(value, Interval) else value for kind, value in part.items()}
        for name, part in summary.items()
    }
