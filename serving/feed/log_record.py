"""One record of the control log, by its offset: how a model that came inline is had again after its cached copy went."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from serving.feed.retrying import is_passing
from serving.feed.settings import Properties

_TIMEOUT_SECONDS = 30.0


def read_record(bootstrap: str, topic: str, offset: int, properties: Properties) -> Message | None:
    """Read the record at `offset` of partition 0. Blocks, at most half a minute; any thread but the loop's.

    Returns:
        The record, or `None` if the topic no longer has it.

    Raises:
        KafkaException: Kafka did not give it in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            **properties,
        }
    )
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        while time.monotonic() < deadline:
            record = consumer.poll(0.5)
            if record is None:
                continue
            error = record.error()
            if error is None:
                return record if record.offset() == offset else None
            if error.code() in (
                KafkaError._PARTITION_EOF,
                KafkaError._AUTO_OFFSET_RESET,
                KafkaError.OFFSET_OUT_OF_RANGE,
            ):
                return None
            if not is_passing(error):
                raise KafkaException(error)
        raise KafkaException(
            KafkaError(KafkaError._TIMED_OUT, f"{topic} at {offset}: no answer in {_TIMEOUT_SECONDS:g} s")
        )
    finally:
        consumer.close()
