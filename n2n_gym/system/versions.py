"""Versions of what results depend on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from n2n_gym import __version__


def library_versions(*others: str) -> dict[str, str]:
    """Versions of the libraries that a student's training depends on, and of others by their names on PyPI."""
    return {"n2n-gym": __version__, **{name: found for name in ("torch", *others) if (found := _version(name))}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
