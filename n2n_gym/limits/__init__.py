"""Limits on what a student may cost or must achieve (section 3.3.1)."""

from n2n_gym.limits.constraints import Constraint, Constraints, Limits, Quantity, Relaxation, Schedule, relaxation

__all__ = ["Constraint", "Constraints", "Limits", "Quantity", "Relaxation", "Schedule", "relaxation"]
