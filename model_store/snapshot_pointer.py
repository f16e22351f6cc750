"""Where the newest snapshot is on the control log, so that a reader need not look for it.

The place is the committed offset of a consumer group that has no members, `<control topic>.snapshot`, with the snapshot's
schema as its metadata: Kafka keeps it as long as the topic, without a topic or a store of its own. (A group without
members loses its offsets after the broker's `offsets.retention.minutes`, a week by default; the next snapshot sets them
again.)

All of it is best effort. Whoever finds nothing, or nothing that it can read, reads the log from its beginning, and comes to
the same state. Blocking; call from a thread. Several writers may publish at once: the later commit wins, and either
snapshot is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

TIMEOUT_SECONDS: Final = 5.0
_PARTITION: Final = 0


class SnapshotPlace(NamedTuple):
    """Where a snapshot is.

    Attributes:
        offset: Of its record on the control log.
        schema: What it was written by (`core.snapshots.SCHEMA`).
    """

    offset: int
    schema: str


def find_snapshot(
    bootstrap: str, properties: Mapping[str, Any], topic: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> SnapshotPlace | None:
    """Where the newest snapshot is; `None` if nobody published one, or Kafka did not say so in time.

    Args:
        bootstrap: `host:port,...` of the brokers.
        properties: Further properties of the client, such as those for TLS and SASL.
        topic: The control topic; it has one partition.
        timeout_seconds: After so long it is `None`.
    """
    consumer = _consumer(bootstrap, properties, topic)
    try:
        found = consumer.committed([TopicPartition(topic, _PARTITION)], timeout=timeout_seconds)[0]
    except KafkaException:
        return None
    finally:
        consumer.close()
    if found.error is not None or found.offset < 0:
        return None
    return SnapshotPlace(found.offset, found.metadata or "")


def publish_snapshot(
    bootstrap: str,
    properties: Mapping[str, Any],
    topic: str,
    place: SnapshotPlace,
) -> bool:
    """Say where the newest snapshot is; `False` if Kafka did not take it. Never moves the pointer back.

    Args:
        bootstrap: See `find_snapshot`.
        properties: See `find_snapshot`.
        topic: See `find_snapshot`.
        place: Of a snapshot whose record was acknowledged.
    """
    before = find_snapshot(bootstrap, properties, topic)
    if before is not None and before.schema == place.schema and before.offset >= place.offset:
        return True
    consumer = _consumer(bootstrap, properties, topic)
    try:
        entry = TopicPartition(topic, _PARTITION, place.offset, metadata=place.schema)
        answered = consumer.commit(offsets=[entry], asynchronous=False)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return all(entry.error is None for entry in answered or ())


def _consumer(bootstrap: str, properties: Mapping[str, Any], topic: str) -> Consumer:
    """A client of the group that never joins it: it subscribes to nothing."""
    return Consumer(
        {
            **properties,
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}.snapshot",
            "enable.auto.commit": False,
            "socket.timeout.ms": 10_000,
        }
    )
