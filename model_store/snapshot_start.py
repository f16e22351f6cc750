"""Where a new reader of the control log begins: at the newest snapshot that it can read, or at the first record.

Best effort, like the pointer: whatever is wrong on the way (no pointer, another schema, damage, no broker for the moment)
means the whole log, which gives the same state. Blocks for a few seconds at most; call from a thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from model_store.core.control_records import Snapshot
from model_store.core.snapshots import SCHEMA, decode_snapshot
from model_store.core.state import Catalogue
from model_store.core.wire import decode_record
from model_store.snapshot_pointer import find_snapshot

log = structlog.get_logger(__name__)

_READ_SECONDS: Final = 15.0


def read_start(bootstrap: str, properties: Mapping[str, Any], topic: str) -> Catalogue | None:
    """The state to begin with; reading goes on after its `offset`. `None`: begin at the first record of the log."""
    place = find_snapshot(bootstrap, properties, topic)
    if place is None:
        return None
    if place.schema != SCHEMA:
        log.info("snapshot.of_another_version", topic=topic, offset=place.offset)
        return None
    try:
        message = _read(bootstrap, properties, topic, place.offset)
    except KafkaException as error:
        log.warning("snapshot.not_read", topic=topic, offset=place.offset, reason=str(error))
        return None
    record = decode_record(message.headers(), message.key(), message.value()) if message is not None else None
    found = decode_snapshot(record, place.offset) if isinstance(record, Snapshot) else None
    if found is None:
        log.warning(
            "snapshot.unusable", topic=topic, offset=place.offset, consequence="the log is read from its beginning"
        )
        return None
    log.info("snapshot.read", topic=topic, offset=place.offset, state_of=found.offset)
    return found


def _read(bootstrap: str, properties: Mapping[str, Any], topic: str, offset: int) -> Message | None:
    consumer = Consumer(
        {
            "group.id": "unused",
            "fetch.wait.max.ms": 100,
            **properties,
            "bootstrap.servers": bootstrap,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    deadline = time.monotonic() + _READ_SECONDS
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            return message if message.offset() == offset else None
        return None
    finally:
        consumer.close()
