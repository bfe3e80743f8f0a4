"""Algorithms compared on tables, where the best student is known: `n2n benchmark`."""
