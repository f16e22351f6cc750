"""Processes that score windows when told to. One works at a time; the others wait and cost nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.heavy.models import place
from benchmarks.peer import NotRunnableError
from benchmarks.peers.python import environment
from sluice.stack.caches import cache_folder

_PROJECT = Path(__file__).parents[2]


@dataclass(slots=True)
class Contender:
    """One way to score one model.

    Attributes:
        way: As `contender` names it, or `mlserver`.
        model: `one` or `ten`.
        cpu_ms: CPU milliseconds of each window so far; of MLServer, of each round's mean.
        wall_ms: Wall milliseconds of each window so far.
        difference: The largest from what Keras `predict` said.
    """

    way: str
    model: str
    _process: subprocess.Popen[str]
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    difference: float = 0.0

    def work(self, windows: int) -> None:
        """Score `windows` windows."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{windows}\n")
        self._process.stdin.flush()
        said = json.loads(self._line())
        self.cpu_ms += said["cpu_ms"]
        self.wall_ms += said["wall_ms"]
        self.difference = max(self.difference, said["difference"])

    def wait_until_ready(self) -> None:
        """Until it has scored its first windows."""
        while self._line() != "ready\n":
            pass

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.way}:{self.model} ended with status {self._process.wait()}; see its log")
        return line


@contextmanager
def contender(way: str, model: str, log: IO[str]) -> Iterator[Contender]:
    """A contender that is ready; ended with the block."""
    variables = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        _command(way, model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=_PROJECT,
        env={**os.environ, **variables, **place()},
    )
    try:
        made = Contender(way, model, process)
        made.wait_until_ready()
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(way: str, model: str) -> Sequence[str]:
    if way != "mlserver":
        return [sys.executable, "-m", "benchmarks.heavy.contender", way, model]
    folder = cache_folder() / "benchmarks" / "heavy"
    environment.install(folder, "../heavy/requirements.txt")
    return [*environment.program(folder, "benchmarks.heavy.served"), model]


def try_contender(way: str, model: str, log: IO[str]) -> str | None:
    """Why it cannot run here; `None` if it can."""
    try:
        _command(way, model)
    except NotRunnableError as error:
        return str(error)
    return None
