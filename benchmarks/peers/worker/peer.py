"""The worker as a peer: installed with the project; `worker-fast` computes PMML in its own process (`engines.fast_pmml`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import Peer


def _install(_folder: Path) -> None:
    """Nothing: the worker runs from the environment that runs the suite."""


def _command(_folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "benchmarks.peers.worker.start"]


def _peer(name: str, title: str, fast_pmml: bool) -> Peer:
    return Peer(
        name=name,
        title=title,
        models=("linear", "tree", "forest") if fast_pmml else ("linear", "tree", "forest", "graph"),
        install=_install,
        command=_command,
        deliveries=("at_least_once", "exactly_once"),
        environment={"SERVING_ENGINES__FAST_PMML": "true" if fast_pmml else "false"},
    )


PEERS = (
    _peer("worker", "Sluice worker, PMML in a Java child, TensorFlow by its C library", False),
    _peer("worker-fast", "Sluice worker, plain PMML in its own process (`engines.fast_pmml`)", True),
)
