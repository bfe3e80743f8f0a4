"""Finished tables: every student of a space, really trained, to look up instead of training."""

from n2n_gym.tables.definitions import benchmark_tables
from n2n_gym.tables.files import table_names
from n2n_gym.tables.table import MEAN, SEARCH, TRUTH, Entry, Table, table_of

__all__ = ["MEAN", "SEARCH", "TRUTH", "Entry", "Table", "benchmark_tables", "table_names", "table_of"]
