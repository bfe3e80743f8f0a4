"""What a network is and what an edit does to it: plain data, without torch and without gymnasium."""

from n2n_gym.architecture.bounds import SIZES, Range, student_ranges
from n2n_gym.architecture.edits import (
    FACTORS,
    KEEP,
    REMOVE,
    RemovalDecision,
    ShrinkDecision,
    Variable,
    apply_removals,
    apply_shrinkages,
    removal_decisions,
    remove,
    shrink,
    shrink_decisions,
)
from n2n_gym.architecture.graph import IMAGE, Architecture, Block, Node
from n2n_gym.layers import Layer, LayerKind, Shape, Verdict

__all__ = [
    "FACTORS",
    "IMAGE",
    "KEEP",
    "REMOVE",
    "SIZES",
    "Architecture",
    "Block",
    "Layer",
    "LayerKind",
    "Node",
    "Range",
    "RemovalDecision",
    "Shape",
    "ShrinkDecision",
    "Variable",
    "Verdict",
    "apply_removals",
    "apply_shrinkages",
    "removal_decisions",
    "remove",
    "shrink",
    "shrink_decisions",
    "student_ranges",
]
