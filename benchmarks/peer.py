"""What the suite asks of a system that it measures, ours and the others: the contract between a peer and the harness.

A peer lives in `benchmarks/peers/<name>/` with `peer.py` (its `Peer`, named `PEER`, or several in `PEERS`), its program,
and `TUNING.md`: what was set and why, by the book of its own documentation. It is installed into a folder of its own.

The work is the same for all. Read `wine.v1.WineRecord` messages from `INPUT` (from the group's committed offsets, at first
from the beginning), score each with the model, and write one `modelserving.v1.ScoreResult` to `OUTPUT` with the same key and
these fields: `model`, `model_version`, `sha256` (32 bytes), `data_type`, `topic`, `partition`, `offset`, `control_offset`,
`worker`, `record_timestamp_ms`, `prediction` (`scores` for a model with several outputs). All acknowledgements
(`acks=all`), an idempotent producer where the system lets one have it, offsets committed after what they cover was
acknowledged, about once a second. A `modelserving.v1.ModelDescriptor` on `CONTROL` replaces the model at once. The first
descriptor there is that of `MODEL` itself and was written before the start, so that all results have the same provenance:
version 1, control offset 0. Where records have several data types, each has a model of its own name, and the log begins with a
descriptor of each; only peers that route by data type are asked for that.

The environment of the process:

    BOOTSTRAP   host:port of Kafka
    INPUT       topic of records             OUTPUT   topic of results
    CONTROL     topic of model descriptors, one partition; read from the beginning, the newest one serves
    GROUP       consumer group               DELIVERY `at_least_once` or `exactly_once`
    MODEL       path of the artifact to begin with; empty: relay the bytes and score nothing
    MODEL_KIND  `linear`, `tree`, `forest`, `graph` or ``
    STATE       an empty folder of its own, kept over a restart in one run
    HTTP_PORT   a free port, for systems that cannot do without one
    PROCESSES   how many processes are to share the work (1 but for the scaling table)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ModelKind = Literal["", "linear", "tree", "forest", "graph"]


class NotRunnableError(Exception):
    """A peer cannot be installed or run here; the message says why, for the table."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One system.

    Attributes:
        name: Of its folder and in the tables, `java-loop`.
        title: In words, with versions: `Java loop, kafka-clients 4.3.1, PMML4S 1.5.8`.
        models: What it runs.
        install: Brings all that it needs into a folder; quick if it is there already. Raises `NotRunnableError`.
        command: The command line, given that folder.
        deliveries: What it promises.
        swaps: It follows `CONTROL`.
        swap: How it is given another model where it does not follow `CONTROL`: (environment of the run, artifact).
        wire: `v2-json`: it has no other format than the V2 inference protocol as JSON, both ways.
        is_slow: More than 100 microseconds a record, so it is measured over fewer records.
        environment: Extra variables.
    """

    name: str
    title: str
    models: tuple[ModelKind, ...]
    install: Callable[[Path], None]
    command: Callable[[Path], Sequence[str]]
    deliveries: tuple[str, ...] = ("at_least_once",)
    swaps: bool = True
    swap: Callable[[Mapping[str, str], Path], None] | None = None
    wire: Literal["protobuf", "v2-json"] = "protobuf"
    is_slow: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
