"""Kafka Streams: the control log is a global store, the model a volatile reference, PMML4S scores."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer import Peer
from benchmarks.peers.jvm.program import Program
from sluice.stack.jars import KAFKA_VERSION

PROGRAM = Program(
    main="peers.Streams",
    folder=Path(__file__).parent,
    options=(
        "-Xms512m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:+UseCompactObjectHeaders",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ),
)

PEER = Peer(
    name="kafka-streams",
    title=f"Kafka Streams {KAFKA_VERSION}, PMML4S 1.5.8",
    models=("linear", "tree", "forest"),
    install=PROGRAM.install,
    command=PROGRAM.command,
    deliveries=("at_least_once", "exactly_once"),
)
