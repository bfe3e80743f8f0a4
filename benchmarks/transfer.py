"""What learning across networks is worth on a new one: a policy is trained on 32 tasks, and chooses on 16 others.

    n2n table transfer --out runs/transfer-tasks --students 100
    python benchmarks/transfer.py [--samples runs/transfer-tasks] [--seeds 3] [--trainings 2] [--out FILE]

Both stages' policies are learned on models of the tasks to learn on (`Surrogate`), nothing is chosen on the others. There,
contenders choose a student after 0, 5, 10 and 25 were trained, as a model of the search's trainings says, with noise; what the
choice is worth is told by a model of other trainings on test images, and by fresh trainings of the chosen students. A program
that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import tyro
from fresh import Fresh
from report import Report

from agents.algorithms.pretraining import SampledSpace, learned_prior, pretrain
from agents.algorithms.prior import FILE
from agents.benchmark.transfer import BUDGETS, AcrossSpaces, Choice, ConstantRate, Contender, Searching, compete
from agents.interval import Interval
from n2n_gym.errors import by_name
from n2n_gym.system.documents import read_document
from n2n_gym.system.files import write_json
from n2n_gym.tables.sample import shipped_samples

PRETRAINED = "pretrained"

RIVALS = ("constant-rate", "gaussian-process")
"""What the policy that learned must beat, after at most `EARLY` students."""

EARLY = 10


def main(
    samples: Path | None = None,
    seeds: int = 3,
    updates: int = 3_000,
    trainings: int = 2,
    contenders: tuple[str, ...] = (),
    develop: bool = False,
    runs: Path = Path("runs/transfer"),
    out: Path | None = None,
) -> None:
    """Learn, compete and judge.

    Args:
        samples: Folder of the tasks' samples; by default those that the package has.
        seeds: Runs of each contender on each task.
        updates: Of each policy.
        trainings: Fresh ones of each chosen student; 0 for none.
        contenders: Some of them; all by default.
        develop: Hold every fourth of the tasks to learn on out instead, to choose settings by.
        runs: What is done is kept here, policies, too.
        out: The JSON file.
    """
    torch.set_num_threads(1)
    files = shipped_samples() if samples is None else sorted(samples.glob("*.json"))
    spaces = [SampledSpace(path) for path in files if not path.stem.endswith("-teacher")]
    learn = [space for space in spaces if not space.sample.held_out]
    held_out = [space for space in spaces if space.sample.held_out]
    if develop:
        learn, held_out = [s for i, s in enumerate(learn) if i % 4], learn[::4]
    report = Report("transfer", ("worth", "low", "high"), out)
    report.facts["tasks"] = {"learned_on": len(learn), "held_out": len(held_out)}
    report.facts["surrogates"] = {space.sample.name: asdict(space.truth.agreement) for space in held_out}
    stages = dict.fromkeys(space.sample.stage for space in learn)
    policies = {stage: _policy(stage, learn, updates, runs) for stage in stages}
    learned_prior(learn).save(runs / FILE)
    constant = ConstantRate.chosen_on(learn)
    report.facts["constant_rates"] = constant.rates
    there: dict[str, Contender] = {
        PRETRAINED: Searching("dyna", policies),
        "policy-alone": Searching("dyna", policies, knows=False),
        "constant-rate": constant,
        "across-spaces": AcrossSpaces(learn),
        "random": Searching("random"),
        "gaussian-process": Searching("gaussian-process"),
        "dyna": Searching("dyna"),
    }
    chosen = {name: by_name("contender", name, there) for name in contenders or there}
    choices = [choice for space in held_out for choice in _choices(space, chosen, seeds, runs)]
    _tell(report, "by the models", choices, lambda choice: choice.worth)
    if trainings:
        store = runs / "fresh.sqlite"
        fresh = {space.sample.name: Fresh(space.sample, space.path, trainings, store) for space in held_out}
        for space in held_out:
            fresh[space.sample.name].train(plan for c in choices if c.space == space.sample.name for plan in c.plans)
        _tell(report, "by fresh trainings", choices, lambda choice: fresh[choice.space].worth(choice.plans))
    report.finish()


def _policy(stage: str, spaces: Sequence[SampledSpace], updates: int, runs: Path) -> Path:
    path = runs / f"{stage}.policy"
    if not path.exists():
        there = [space for space in spaces if space.sample.stage == stage]
        print(f"learning {stage} on {len(there)} tasks", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        pretrain(there, updates=updates).save(path)
    return path


def _choices(space: SampledSpace, contenders: dict[str, Contender], seeds: int, runs: Path) -> list[Choice]:
    path = runs / f"{space.sample.name}-choices.json"
    if not path.exists():
        print(space.sample.name, flush=True)
        write_json(path, {"choices": [asdict(choice) for choice in compete(contenders, space, range(seeds))]})
    return read_document(path, dict[str, list[Choice]], "list of choices", remedy="remove it")["choices"]


def _tell(report: Report, judged: str, choices: Sequence[Choice], worth: Callable[[Choice], float]) -> None:
    """A row for each contender and budget: the mean over tasks of the mean over seeds, and what is ahead of what."""
    means: dict[tuple[str, int], dict[str, float]] = {}
    for name in dict.fromkeys(choice.contender for choice in choices):
        for budget in BUDGETS:
            by_space: dict[str, list[float]] = {}
            for choice in choices:
                if (choice.contender, choice.budget) == (name, budget):
                    by_space.setdefault(choice.space, []).append(worth(choice))
            means[name, budget] = {space: float(np.mean(values)) for space, values in by_space.items()}
            interval = Interval.of(list(means[name, budget].values()))
            label = f"{name}, {budget} students, {judged}"
            report.add(label, worth=list(interval.values), mean=interval.mean, low=interval.low, high=interval.high)
    for rival in RIVALS:
        for budget in BUDGETS:
            if budget <= EARLY and {(PRETRAINED, budget), (rival, budget)} <= means.keys():
                ours, theirs = means[PRETRAINED, budget], means[rival, budget]
                ahead = Interval.of([ours[space] - theirs[space] for space in ours])
                report.facts[f"ahead of {rival}, {budget} students, {judged}"] = ahead.to_json()
                report.claim(f"ahead of {rival} after {budget} students, low end, {judged}", ahead.low, at_least=0.0)


if __name__ == "__main__":
    tyro.cli(main)
