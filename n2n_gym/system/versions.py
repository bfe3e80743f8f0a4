"""Versions of what results depend on."""

from __future__ import annotations

from importlib.metadata import version

from n2n_gym import __version__


def library_versions(*others: str) -> dict[str, str]:
    """Versions of the libraries that a student's training depends on, and of others by their names on PyPI."""
    return {"n2n-gym": __version__, **{name: version(name) for name in ("torch", *others)}}
