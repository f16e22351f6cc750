"""The worker as a peer, installed with the project: as it is by default, and with all PMML left to the engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import Peer


def _install(_folder: Path) -> None:
    """Nothing: the worker runs from the environment that runs the suite."""


def _command(_folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "benchmarks.peers.worker.start"]


PEERS = (
    Peer(
        name="worker",
        title="Sluice worker: plain PMML in its own process, other PMML in a Java child, TensorFlow by its C library",
        models=("linear", "tree", "forest", "graph"),
        install=_install,
        command=_command,
        deliveries=("at_least_once", "exactly_once"),
    ),
    Peer(
        name="worker-engine",
        title="Sluice worker with `engines.fast_pmml: off`: all PMML in a Java child, by PMML4S",
        models=("linear", "tree", "forest"),
        install=_install,
        command=_command,
        environment={"SERVING_ENGINES__FAST_PMML": "off"},
    ),
)
