"""Pages of runs: one file each, that holds all it needs and loads nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from agents.display import duration
from agents.interval import has_width
from agents.report.charts import QUANTITIES, curves, fronts, pareto
from agents.report.heading import dataset_of, moment, state_of, teacher_of
from agents.report.run import Run, check_profiles, read_run
from agents.report.students import Explained, Pair, layer_texts, side_by_side
from agents.search.history import front, last_trainings
from n2n_gym.system.files import write_text

REPORT = "report.html"
"""The name of a page in its run's folder."""


@dataclass(frozen=True)
class Row:
    """A network in the table of what a run ended with.

    Attributes:
        title: What it is.
        part: What `result.json` says of it.
        ahead: By how much the student is ahead of it on test images, with its interval; None for the student itself.
    """

    title: str
    part: Mapping[str, Any]
    ahead: Mapping[str, Any] | None = None

    @property
    def accuracy(self) -> Mapping[str, Any]:
        """On test images: mean, low, high and values, as far as they are known."""
        alone = {"mean": self.part["test_accuracy"], "low": None, "high": None, "values": []}
        found: Mapping[str, Any] = self.part.get("test_accuracies") or alone
        return found


@dataclass(frozen=True)
class Spent:
    """What a stage's students took.

    Attributes:
        stage: 1 or 2.
        tried: Students that were looked at.
        trained: Those of them that were trained in this run.
        degenerate: Those of them that could not be trained, or failed.
        seconds: Of all trainings, added up.
        each: The median of one.
    """

    stage: int
    tried: int
    trained: int
    degenerate: int
    seconds: float
    each: float | None


@dataclass(frozen=True)
class Shown:
    """All that a page shows of one run, in the order in which it is shown."""

    run: Run
    state: str
    rows: Sequence[Row]
    front: Sequence[tuple[int, Any]]
    pairs: Sequence[Pair]
    removed: Sequence[tuple[Pair, Mapping[str, Any] | None]]
    spent: Sequence[Spent]
    wall: str
    data: Mapping[str, Any]


def _shown(run: Run) -> Shown:
    student = run.students.get("student")
    pairs = side_by_side(run.teacher, student) if run.teacher is not None and student is not None else []
    explained = Explained(run)
    data = {
        "students": explained.rows,
        "texts": explained.texts,
        "layers": run.teacher.layers if run.teacher is not None else (),
        "teacher": layer_texts(run.teacher) if run.teacher is not None else (),
        "pareto": pareto(run),
        "curves": curves(run.history),
    }
    numbers = {episode.fingerprint: number for number, episode in enumerate(run.students_tried)}
    best = [(numbers[episode.fingerprint], episode) for episode in front(run.students_tried, "parameters")]
    state = state_of(run.path, run.result)
    return Shown(run, state, _rows(run.result), best, pairs, _removed(run, pairs), _spent(run), _wall(run), data)


def _rows(result: Mapping[str, Any] | None) -> list[Row]:
    if result is None or result["student"] is None:
        return []
    rows = [Row("student", result["student"]), Row("teacher", result["teacher"])]
    if "stage1" in result:
        rows.append(Row("stage 1's best", result["stage1"]))
    rows += [Row(name, part, part["student_ahead_by"]) for name, part in result.get("beside", {}).items()]
    if baseline := result.get("baseline"):
        rows.append(Row(f"found by {baseline['agent']}", baseline, baseline["student_ahead_by"]))
    return rows


def _removed(run: Run, pairs: Sequence[Pair]) -> list[tuple[Pair, Mapping[str, Any] | None]]:
    """The layers that the student lacks, each with its row of the profile."""
    known = {row["layer"]: row for row in (run.profile or {}).get("layers", [])}
    return [(pair, known.get(index)) for index, pair in enumerate(pairs) if pair.student is None]


def _spent(run: Run) -> list[Spent]:
    found = []
    for stage, episodes in groupby(run.history, key=lambda episode: episode.stage):
        each = list(episodes)
        seconds = [episode.seconds for episode in last_trainings(each).values()]
        degenerate = sum(bool(episode.reason) for episode in each)
        found.append(Spent(stage, len(each), len(seconds), degenerate, sum(seconds), median(seconds) if seconds else None))
    return found


def _wall(run: Run) -> str:
    """How long the run took from its start to its end, whatever interrupted it; "" where that is not known."""
    finished = (run.result or {}).get("finished")
    if not (run.start.started and finished):
        return ""
    try:
        taken = datetime.fromisoformat(finished) - datetime.fromisoformat(run.start.started)
    except (ValueError, TypeError):  # no time, or one without its zone
        return ""
    return duration(taken.total_seconds())


def percent(share: float | None, places: int = 2) -> str:
    """A share in percent; "" for none."""
    return "" if share is None else f"{share:.{places}%}"


def quoted(word: object) -> str:
    """A word of a command line that may be copied into a shell, whatever is in it."""
    return shlex.quote(str(word))


def points(difference: float | None) -> str:
    """A difference of shares in points, with its sign."""
    return "" if difference is None else f"{100 * difference:+.2f}"


@cache
def environment() -> Environment:
    """Where the pages' templates are; all that is put into them is escaped."""
    found = Environment(
        loader=PackageLoader("agents.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "points": points, "duration": duration, "moment": moment}
    found.filters |= {"teacher_of": teacher_of, "dataset_of": dataset_of, "quoted": quoted}
    found.tests["wide"] = has_width
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return found


def report_page(runs: Sequence[Run]) -> str:
    """The page of one run, or of several beside each other."""
    shown = [_shown(run) for run in runs]
    data = {"runs": [each.data for each in shown], "fronts": fronts(runs) if len(runs) > 1 else {}}
    template = environment().get_template("report.html")
    return template.render(runs=shown, data=data, quantities=QUANTITIES, plotly=get_plotlyjs())


def write_report(folders: Iterable[Path], out: Path | None = None, profiles: Iterable[Path] = ()) -> Path:
    """Write the page of one run into its folder, or that of several where it is asked for.

    Args:
        folders: The runs'.
        out: The page's file; by default `report.html` in the one run's folder, or here for several.
        profiles: Files of `n2n teacher profile`.

    Returns:
        The file.

    Raises:
        InputError: If a folder holds no run, or a damaged one, or a profile is of no run's teacher.
    """
    given = list(profiles)
    runs = [read_run(folder, given) for folder in folders]
    check_profiles(given, runs)
    path = out or (runs[0].path / REPORT if len(runs) == 1 else Path(REPORT))
    write_text(path, report_page(runs))
    return path
