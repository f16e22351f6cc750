"""Where things are in a run's state folder, and what they are called."""

from __future__ import annotations

from pathlib import Path

MODEL = "wine"


def artifact_in(state: Path) -> Path:
    """The document that serves, or is to serve at the next load."""
    return state / "models" / MODEL / "model.pmml"
