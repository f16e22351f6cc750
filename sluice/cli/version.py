"""`sluice version`."""

from __future__ import annotations

from importlib.metadata import version as installed_version


def version() -> None:
    """Print the version."""
    print(f"sluice {installed_version('sluice')}")
