"""Tasks by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agents.benchmark.exhaustive import TableTask
from agents.benchmark.large import LargeTask
from agents.benchmark.tasks import TRACKS, Task, Track
from n2n_gym.errors import InputError, by_name
from n2n_gym.tables import TRUTH, benchmark_tables
from n2n_gym.tables.sample import large_samples

KINDS = ("test", "large", "development")
"""The package's spaces: tables to compare on, spaces that are too large for a table, tables to choose settings on."""


def task_of(source: str, track: str) -> Task:
    """A question about a table or a sample.

    Raises:
        InputError: If there is no such track.
    """
    return LargeTask(source, track) if by_name("track", track, TRACKS).large else TableTask(source, track)


def tasks_by_name(names: Sequence[str] = (), tracks: Sequence[str] = ()) -> list[Task]:
    """Tasks on the spaces of these names, one for each track of their kind.

    Args:
        names: Tables of the package, `.npz` files, samples of the package, `.json` files, and `KINDS` for the package's of the
            kind; by default all that is there to compare on.
        tracks: Of `TRACKS`; all by default.

    Raises:
        InputError: If there is none, spaces and tracks that were named do not go together, two spaces have the same name, or
            one cannot keep search and truth apart.
    """
    sources: list[str] = []
    for name in names or KINDS[:2]:
        sources += _of_kind(name) if name in KINDS else [name]
    samples = set(large_samples()) | {source for source in sources if source.endswith(".json")}
    asked = {track: by_name("track", track, TRACKS) for track in tracks or TRACKS}
    tasks = []
    for track, question in asked.items():
        tasks += [task_of(source, track) for source in sources if (source in samples) == question.large]
    if not tasks:
        raise InputError(
            "there is no space of these tracks to compare algorithms on; build a table (n2n table build), or for the track "
            "large a sample (n2n table sample), and name its file: --tasks"
        )
    if asked.keys() != TRACKS.keys():  # all are what is asked of any space
        _check_partners(names, samples, asked)
    called = [task.name for task in tasks]
    if len(set(called)) != len(called):
        raise InputError(f"the tables must have different names, not {', '.join(called)}")
    for task in tasks:
        if isinstance(task, TableTask):
            _ = task.table.trainings(TRUTH)
    return tasks


def _check_partners(names: Sequence[str], samples: Collection[str], asked: Mapping[str, Track]) -> None:
    """Refuse spaces that were named one by one, and tracks, of which nothing would be run."""
    single = [name for name in names if name not in KINDS]
    alone = [name for name in single if all((name in samples) != question.large for question in asked.values())]
    if len(single) == len(names) > 0:
        alone += [track for track, question in asked.items() if all((name in samples) != question.large for name in single)]
    if alone:
        small = ", ".join(track for track, question in TRACKS.items() if not question.large)
        raise InputError(
            f"nothing would be run of {', '.join(alone)}: tables go with the tracks {small}; samples (.json) with the track "
            "large"
        )


def _of_kind(kind: str) -> list[str]:
    return list(large_samples()) if kind == "large" else benchmark_tables(kind)
