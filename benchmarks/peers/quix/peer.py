"""Quix Streams: see `TUNING.md`."""

from __future__ import annotations

from functools import partial

from benchmarks.peer import Peer
from benchmarks.peers.python import environment

PEER = Peer(
    name="quix",
    title="Quix Streams 3.28.1, PMML4S 1.5.8 through JPype",
    models=("linear", "tree", "forest"),
    install=partial(environment.install, requirements="quix/requirements.txt"),
    command=partial(environment.program, module="benchmarks.peers.quix.program"),
    deliveries=("at_least_once", "exactly_once"),
)
