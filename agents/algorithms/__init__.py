"""Algorithms that play the environments, and the same by name."""
