"""How the driver tells the Python workers which model serves: Spark has no stream that all tasks read, so by a file."""

from __future__ import annotations

import os
import pickle
from dataclasses import astuple
from pathlib import Path

from benchmarks.peers.python.arithmetic import Arithmetic, read_arithmetic
from benchmarks.peers.python.run import Run
from benchmarks.peers.python.served import Served


def write(run: Run, served: Served[bytes]) -> None:
    """Put the artifact and where it came from in the place of those that serve."""
    place = _place(run)
    new = place.with_suffix(".new")
    new.write_bytes(pickle.dumps(astuple(served)))
    new.replace(place)


class Reader:
    """The model of the file, read again when the file was replaced; one in each worker process."""

    def __init__(self, run: Run) -> None:
        self._place = _place(run)
        self._changed = -1
        self._served: Served[Arithmetic]

    def served(self) -> Served[Arithmetic]:
        """What serves now."""
        changed = os.stat(self._place).st_mtime_ns
        if changed != self._changed:
            *origin, artifact = pickle.loads(self._place.read_bytes())
            self._served, self._changed = Served(*origin, read_arithmetic(artifact)), changed
        return self._served


def _place(run: Run) -> Path:
    return run.state / "served"
