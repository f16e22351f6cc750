"""Where the stack keeps what every data folder shares: jars and the Java start-up cache."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder of Sluice: `SLUICE_CACHE`, else `XDG_CACHE_HOME/sluice`, else `~/.cache/sluice`."""
    if own := os.environ.get("SLUICE_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sluice"
