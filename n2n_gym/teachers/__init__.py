"""Trained teachers: trained here, or imported with the weights that they have."""

from n2n_gym.teachers.imported import add, keep

__all__ = ["add", "keep"]
