"""`n2n report` and `n2n browse`: runs as pages, and a list of them in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.commands.parsing import Command, parse
from agents.console import console


@dataclass(frozen=True)
class Report:
    """Write a page of a run, or of several beside each other: one file that needs no internet.

    A finished run has its own already; this one shows a run that is going on, too, and what a teacher's profile adds.
    """

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Folders of runs."""
    out: str | None = None
    """The page's file; by default report.html in the run's folder, or here for several runs."""
    profile: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A profile.json that n2n teacher profile wrote elsewhere than in profiles/; may be given again."""


def _report(words: list[str]) -> None:
    options = parse(Report, "report", words)
    from agents.report.page import write_report
    from n2n_gym.errors import InputError

    if not options.runs:
        raise InputError("which runs? give their folders; see n2n report --help")
    folders, profiles = ([Path(text).expanduser() for text in given] for given in (options.runs, options.profile))
    path = write_report(folders, None if options.out is None else Path(options.out).expanduser(), profiles)
    console().print(str(path), soft_wrap=True)


@dataclass(frozen=True)
class Browse:
    """List the runs below a folder in the browser, each with its page, until Ctrl-C. Only this machine can see it."""

    folder: tyro.conf.Positional[str] = "runs"
    """Where the runs are."""
    port: int = 8765
    """Where the browser finds it; 0 for any port that is free."""


def _browse(words: list[str]) -> None:
    options = parse(Browse, "browse", words)
    from agents.report.server import RunServer

    screen = console()
    with RunServer(Path(options.folder).expanduser(), options.port) as server:
        screen.print(f"{server.address} has the runs in {server.root}; Ctrl-C ends it", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            screen.print()


COMMANDS = {
    "report": Command(_report, "write a page of a run, or of several beside each other", lambda: Report),
    "browse": Command(_browse, "list the runs in a folder in the browser", lambda: Browse),
}
