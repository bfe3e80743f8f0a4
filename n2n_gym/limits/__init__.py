"""Limits on what a student may cost or must achieve (section 3.3.1)."""

from n2n_gym.limits.constraints import Constraint, Constraints, Limits
from n2n_gym.limits.quantities import Quantity
from n2n_gym.limits.relaxation import Relaxation, Schedule, relaxation

__all__ = ["Constraint", "Constraints", "Limits", "Quantity", "Relaxation", "Schedule", "relaxation"]
