"""Writes the tables of docs/reliability.md anew."""

from pathlib import Path

from envs_tests.faults.tables import shown
from n2n_gym.system.files import write_text

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MARK = "<!-- from here on: python -m envs_tests.faults -->\n"

if __name__ == "__main__":
    write_text(PAGE, PAGE.read_text().partition(MARK)[0] + MARK + "\n" + shown())
