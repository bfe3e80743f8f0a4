"""Networks to set beside a found student: what one has without any search."""

from __future__ import annotations

from pathlib import Path

from n2n_gym.architecture import Architecture, scaled_in_width
from n2n_gym.errors import InputError, unknown
from n2n_gym.networks.hand_designed import HAND_DESIGNED, hand_designed
from n2n_gym.networks.sources import ArchitectureFile

WIDTH_SCALED = "width-scaled"
"""The teacher with fewer filters everywhere, as small as the student."""

BESIDE = (WIDTH_SCALED, *HAND_DESIGNED)
"""What may be set beside a student, by name."""

FILE = ArchitectureFile()


def label_beside(name: str) -> str:
    """What such a network is called: its name, or its file's."""
    return Path(name).stem if FILE.knows(name) else name


def network_beside(name: str, teacher: Architecture, parameters: int) -> Architecture:
    """One of `BESIDE` for a teacher's images and classes.

    Args:
        name: Its name, or an architecture's .json file.
        teacher: The student's teacher.
        parameters: The student's; the scaled teacher has at least as many. The others have what their designers gave them.

    Raises:
        InputError: If the name is unknown, the file is no architecture for the teacher's images and classes, or nothing would
            be left of images as small as those.
    """
    if FILE.knows(name):
        return FILE.architecture(name, teacher.input_shape, teacher.classes, 1.0)
    if name not in BESIDE:
        raise unknown("network beside the student", name, (*BESIDE, *FILE.spellings))
    if name == WIDTH_SCALED:
        return scaled_in_width(teacher, parameters)
    network = hand_designed(name, teacher.input_shape, teacher.classes)
    if not (verdict := network.verdict()).feasible:
        height, width = teacher.input_shape[1:]
        raise InputError(f"{name} cannot stand beside the student: {verdict} with images of {height} x {width}")
    return network
