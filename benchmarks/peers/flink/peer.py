"""Flink: a DataStream job in a mini-cluster in one process, the model in broadcast state, PMML4S scores."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer import Peer
from benchmarks.peers.jvm.program import Program

PROGRAM = Program(
    main="peers.FlinkJob",
    folder=Path(__file__).parent,
    options=(
        "-Xms768m",
        "-Xmx768m",
        "-XX:+UseSerialGC",
        "-XX:+UseCompactObjectHeaders",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ),
)

PEER = Peer(
    name="flink",
    title="Flink 2.2.1 DataStream, connector 5.0.0-2.2, PMML4S 1.5.8",
    models=("linear", "tree", "forest"),
    install=PROGRAM.install,
    command=PROGRAM.command,
    deliveries=("at_least_once", "exactly_once"),
)
