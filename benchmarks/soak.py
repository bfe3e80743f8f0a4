"""Two runs that share a store, for thousands of students: is memory bounded, are handles, is anything lost or trained twice?

One takes the students from the first on, the other from the last, so that each finds what the other has done where they meet,
and from there on only asks the store.

python benchmarks/soak.py [--students 2000] [--out FILE]
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from report import Report
from students import distinct_students

from n2n_gym.evaluators import make_evaluator
from n2n_gym.evaluators.store import StoredEvaluator
from n2n_gym.problem import Problem
from n2n_gym.stages import ShrinkStage
from n2n_gym.student import Student
from n2n_gym.teachers.saved import ready_teacher

BATCH = 5
"""Students that are asked for at a time, as a search asks for those of a policy update."""

RUNS = ("forwards", "backwards")


def drawn_students(problem: Problem, count: int, seed: int = 0) -> list[Student]:
    """Distinct students from random shrinkages of the teacher."""
    stage, rng = ShrinkStage(Student(problem.architecture)), np.random.default_rng(seed)
    return distinct_students(lambda: stage.student(stage.random_actions(rng)), count)


def held(process: int) -> tuple[float, int]:
    """Resident memory of a process, in MiB, and its open handles."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208


def run(name: str, problem: Problem, students: Sequence[Student], store: Path, workers: int, tell: Connection) -> None:
    """Have all students evaluated, and tell after each batch how many were trained here and what is held."""
    trained = 0
    with make_evaluator(problem, run=name, device="cpu", workers=workers, store=store, recipe="fast") as evaluator:
        assert isinstance(evaluator, StoredEvaluator)
        for start in range(0, len(students), BATCH):
            batch = students[start : start + BATCH]
            answers = evaluator.evaluate(batch)
            failed = [answer.reason for answer in answers if answer.reason]
            trained += sum(answer.run == name for answer in answers)
            processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]
            tell.send((name, start + len(batch), trained, failed, [held(each) for each in processes]))
    tell.send(None)


def main(
    problem: tyro.conf.OmitArgPrefixes[Problem] = Problem(width=0.15, train_size=100),  # noqa: B008  it cannot be changed
    students: int = 2_000,
    workers: int = 1,
    every: int = 100,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        problem: Teacher and data.
        students: How many are evaluated, all different.
        workers: Processes of each of the two runs.
        every: After how many students of a run a row is written.
        out: The JSON file.
    """
    report = Report(f"soak-{problem.name}", ("trained", "resident_mib", "handles"), out)
    drawn = drawn_students(problem, students)
    ready_teacher(problem, device=torch.device("cpu"))
    begun = time.monotonic()
    memory: dict[str, list[float]] = {name: [] for name in RUNS}
    handles: dict[str, list[int]] = {name: [] for name in RUNS}
    trained, failures = dict.fromkeys(RUNS, 0), 0
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        context = multiprocessing.get_context("spawn")
        pipes: set[Connection] = set()
        for name, order in zip(RUNS, (drawn, drawn[::-1]), strict=True):
            here, there = context.Pipe(duplex=False)
            pipes.add(here)
            context.Process(target=run, args=(name, problem, order, store, workers, there)).start()
            there.close()
        while pipes:
            for pipe in multiprocessing.connection.wait(list(pipes)):
                assert isinstance(pipe, Connection)
                told: Any = pipe.recv()
                if told is None:
                    pipes.remove(pipe)
                    continue
                name, done, trained[name], failed, processes = told
                failures += len(failed)
                memory[name].append(sum(mib for mib, _ in processes))
                handles[name].append(sum(count for _, count in processes))
                if done % every < BATCH:
                    now = {"resident_mib": memory[name][-1], "handles": float(handles[name][-1])}
                    report.add(f"{name}, after {done}", trained=trained[name], **now)
        with sqlite3.connect(store) as file:
            [(kept,)] = file.execute("SELECT COUNT(*) FROM evaluations").fetchall()
    report.facts |= {"seconds": time.monotonic() - begun, "resident_mib": memory, "handles": handles}
    for name in RUNS:
        half = len(memory[name]) // 2
        grown = float(np.median(memory[name][-3:])) / float(np.median(memory[name][half : half + 3]))
        report.claim(f"{name}: resident memory at the end against half-way", grown, at_most=1.05)
        report.claim(f"{name}: handles at the end more than half-way", handles[name][-1] - handles[name][half], at_most=0)
    report.claim("students in the store", kept, at_least=students, at_most=students)
    report.claim("students that failed", failures, at_most=0)
    report.claim("trained twice, where the runs met", sum(trained.values()) - students, at_least=0, at_most=0)
    report.finish()


if __name__ == "__main__":
    tyro.cli(main)
