"""Bytewax: see `TUNING.md`."""

from __future__ import annotations

from functools import partial

from benchmarks.peer import Peer
from benchmarks.peers.python import environment

PEER = Peer(
    name="bytewax",
    title="Bytewax 0.21.1, PMML4S 1.5.8 through JPype, a batch a call",
    models=("linear", "tree", "forest"),
    install=partial(environment.install, requirements="bytewax/requirements.txt"),
    command=partial(environment.program, module="benchmarks.peers.bytewax.start"),
)
