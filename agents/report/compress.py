"""Algorithm 1 with the page that shows what came of it."""

from __future__ import annotations

import logging
from typing import Any

from agents.display import Display
from agents.search.compress import asked, carried_out
from agents.search.options import Search
from n2n_gym.errors import InputError

_log = logging.getLogger("n2n_gym")


def compress(
    search: Search | None = None, *, display: Display | None = None, command: str = "", **settings: Any
) -> dict[str, Any]:
    """Compress a teacher: Algorithm 1, the final training of its best student, and the run's page, `report.html`.

    Args:
        search: What to do; or give the fields of `Search` as keyword arguments.
        display: Shows progress.
        command: The command line, for the record.
        **settings: Fields of `Search`.

    Returns:
        What `result.json` holds.

    Raises:
        InputError: If an argument is wrong, or the run's folder cannot be used.
        TypeError: If there is no such argument.
    """
    search = asked(search, settings)
    result = carried_out(search, display=display, command=command)
    from agents.report.page import write_report  # it is for who looks at a result: not before there is one

    try:
        write_report([search.folder])
    except (InputError, OSError) as error:  # what the run took hours for is there all the same
        _log.warning("the run in %s has no page: %s", search.folder, error)
    return result
