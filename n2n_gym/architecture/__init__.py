"""What a network is and what an edit does to it: plain data, without torch and without gymnasium."""

from n2n_gym.architecture.blocks import IMAGE, Block, Node
from n2n_gym.architecture.bounds import Range, student_ranges
from n2n_gym.architecture.channels import output_groups
from n2n_gym.architecture.graph import FC_GROWTH, FC_INPUTS, SIZES, Architecture
from n2n_gym.architecture.removal import (
    KEEP,
    REMOVE,
    Cut,
    RemovalDecision,
    apply_removals,
    cut,
    removal_decisions,
    remove,
    removed_layers,
)
from n2n_gym.architecture.shrinkage import (
    FACTORS,
    ShrinkDecision,
    apply_shrinkages,
    scaled_in_width,
    shrink,
    shrink_decisions,
    size_of,
)
from n2n_gym.layers import Variable

__all__ = [
    "FACTORS",
    "FC_GROWTH",
    "FC_INPUTS",
    "IMAGE",
    "KEEP",
    "REMOVE",
    "SIZES",
    "Architecture",
    "Block",
    "Cut",
    "Node",
    "Range",
    "RemovalDecision",
    "ShrinkDecision",
    "Variable",
    "apply_removals",
    "apply_shrinkages",
    "cut",
    "output_groups",
    "removal_decisions",
    "remove",
    "removed_layers",
    "scaled_in_width",
    "shrink",
    "shrink_decisions",
    "size_of",
    "student_ranges",
]
