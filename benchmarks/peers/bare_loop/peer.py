"""The bare decode-score-produce loop: see `TUNING.md`."""

from __future__ import annotations

from functools import partial

from benchmarks.peer import Peer
from benchmarks.peers.python import environment

PEER = Peer(
    name="bare-loop",
    title="Bare loop, confluent-kafka 2.16.1, protobuf 7.36.2, hand-made numpy 2.4.6 arithmetic",
    models=("linear", "tree", "forest"),
    install=partial(environment.install, requirements="bare_loop/requirements.txt"),
    command=partial(environment.program, module="benchmarks.peers.bare_loop.program"),
    deliveries=("at_least_once", "exactly_once"),
)
