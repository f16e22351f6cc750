"""A bare confluent-kafka relay: consume, produce the same bytes, commit after a flush. The floor of any Python worker."""

from __future__ import annotations

import os
import time

from confluent_kafka import Consumer, Producer


def clients() -> tuple[Consumer, Producer, str]:
    """A consumer and a producer as a careful user sets them, and the output topic.

    `fetch.queue.backoff.ms` is lowered: at its default of 1,000 the consumer idles half of the time.
    """
    env = os.environ
    consumer = Consumer(
        {
            "bootstrap.servers": env["BOOTSTRAP"],
            "group.id": env["GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": env["BOOTSTRAP"],
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
        }
    )
    consumer.subscribe([env["INPUT"]])
    return consumer, producer, env["OUTPUT"]


def send(producer: Producer, topic: str, messages: list[dict[str, bytes | None]]) -> None:
    """All of them, waiting while the queue is full."""
    while messages and producer.produce_batch(topic, messages) < len(messages):
        messages = [message for message in messages if message.pop("_error", None) is not None]
        producer.poll(0.05)


def commit(consumer: Consumer, producer: Producer) -> None:
    """Offsets after the broker has everything that came of them."""
    if producer.flush(30):
        raise SystemExit("the broker did not take everything")
    if consumer.assignment():
        consumer.commit(asynchronous=True)


def main() -> None:
    consumer, producer, output = clients()
    committed = time.monotonic()
    while True:
        records = consumer.consume(1_000, 0.05)
        if records:
            send(producer, output, [{"key": record.key(), "value": record.value()} for record in records])
        producer.poll(0)
        if time.monotonic() - committed > 1:
            commit(consumer, producer)
            committed = time.monotonic()


if __name__ == "__main__":
    main()
