"""Whether a student can be trained at all (appendix 11.2)."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Whether a student can be trained at all, and if not, why (appendix 11.2). The value is the reason in words."""

    FEASIBLE = "feasible"
    EMPTY = "empty: no trainable layer is left"
    SHAPES_DO_NOT_FIT = "shapes do not fit: the branches that meet in a block have different shapes"
    CLASSES_DO_NOT_FIT = "classes do not fit: the network does not put out one number for each class"
    SPATIAL_COLLAPSE = "spatial collapse: a feature map is smaller than the kernel that reads it"
    FC_TOO_LARGE = "FC too large: a linear layer reads many times more numbers than any of the teacher's"
    NOT_SMALLER = "not smaller than the teacher"

    @property
    def feasible(self) -> bool:
        """True for a student that can be built and is worth training."""
        return self is Verdict.FEASIBLE
