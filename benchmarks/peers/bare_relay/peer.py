"""The bare relay: see `TUNING.md`."""

from __future__ import annotations

from functools import partial

from benchmarks.peer import Peer
from benchmarks.peers.python import environment

PEER = Peer(
    name="bare-relay",
    title="Bare relay, confluent-kafka 2.16.1, no scoring",
    models=("",),
    install=partial(environment.install, requirements="bare_relay/requirements.txt"),
    command=partial(environment.program, module="benchmarks.peers.bare_relay.program"),
    deliveries=("at_least_once", "exactly_once"),
    swaps=False,
)
