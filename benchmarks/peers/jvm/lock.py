"""`python -m benchmarks.peers.jvm.lock`: writes the lock files of the JVM peers, with what jgo resolves now.

Apart from `program`, because it is run by whoever changes a version, never by a measurement.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jgo

from sluice.stack.jars import KAFKA_VERSION

_PEERS = Path(__file__).parents[1]

# slf4j-simple: without a logging back end Kafka's clients say nothing of what goes wrong.
_LOGGING = "org.slf4j:slf4j-simple:1.7.36"
_PROTOBUF = "com.google.protobuf:protobuf-java:4.36.2"

_FLINK = "2.2.1"
# Each by name: jgo takes some of them as 2.1.0 otherwise, the version that the connector was built with.
_FLINK_JARS = "+".join(
    f"org.apache.flink:flink-{name}:{_FLINK}"
    for name in (
        "streaming-java",
        "clients",
        "runtime",
        "core",
        "core-api",
        "annotations",
        "connector-base",
        "connector-datagen",
        "datastream",
        "datastream-api",
        "file-sink-common",
        "hadoop-fs",
        "metrics-core",
        "queryable-state-client-java",
        "rpc-core",
        "rpc-akka-loader",
    )
)
# The connector's transactions use internals of the clients that 4.3 changed (NoSuchMethodError); 4.2.0 is what it names.
_FLINK_KAFKA = "org.apache.flink:flink-connector-kafka:5.0.0-2.2+org.apache.kafka:kafka-clients:4.2.0"

_ENDPOINTS = {
    "jvm/compiler.lock": "org.eclipse.jdt:ecj:3.46.100",
    "java_loop/jars.lock": f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}+{_PROTOBUF}+{_LOGGING}",
    "flink/jars.lock": f"{_FLINK_JARS}+{_FLINK_KAFKA}+{_PROTOBUF}+{_LOGGING}",
    "kafka_streams/jars.lock": f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}+{_PROTOBUF}+{_LOGGING}",
}


def main() -> None:
    for name, endpoint in _ENDPOINTS.items():
        lines = [
            "# Coordinates, SHA-256, bytes.",
            "# Made by `python -m benchmarks.peers.jvm.lock`; not edited by hand.",
        ]
        for artifact in sorted(jgo.resolve(endpoint), key=lambda found: (found.groupId, found.artifactId)):
            content = artifact.resolve().read_bytes()
            coordinates = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            lines.append(f"{coordinates} {hashlib.sha256(content).hexdigest()} {len(content)}")
        (_PEERS / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
