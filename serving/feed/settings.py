"""What the two Kafka clients are told. Figures without a source were measured on one machine with Kafka 4.3.1."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from serving.core.errors import SettingsError

Properties = Mapping[str, Any]
"""Properties of librdkafka by name."""


class Delivery(enum.StrEnum):
    """What a crash may do to results."""

    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"


DEFAULT_RECORD_BYTES = 1_000_000
"""Size limit of a record where a topic has none of its own (librdkafka's `message.max.bytes`)."""

OVERHEAD_BYTES = 256
"""Allowed for what the protocol adds to one record with its batch header."""

_RECONNECT = {"reconnect.backoff.max.ms": 1_000}  # the default of 10 s adds its own length to every outage

_OURS = {
    "auto.offset.reset": "starts are chosen by the feed",
    "enable.auto.commit": "offsets follow acknowledgements",
    "enable.auto.offset.store": "offsets follow acknowledgements",
    "enable.idempotence": "retries would duplicate or reorder results",
    "acks": "an acknowledgement must mean that the record is safe",
    "isolation.level": "aborted records must not be scored",
    "transactional.id": "it is made of the group and the worker id",
    "group.id": "it is a setting of its own",
    "group.instance.id": "it is made of the worker id",
    "bootstrap.servers": "it is a setting of its own",
    "delivery.report.only.error": "every acknowledgement is counted",
}


def check_properties(*given: Properties) -> None:
    """Raises `SettingsError` for properties that would break what the feed promises."""
    for properties in given:
        for name in properties:
            if name in _OURS:
                raise SettingsError(f"the Kafka property {name!r} cannot be set: {_OURS[name]}")


def consumer_properties(
    *, bootstrap: str, group: str, worker_id: str, is_static: bool, extra: Properties
) -> dict[str, Any]:
    """The data consumer's properties."""
    properties: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "client.id": worker_id,
        "group.id": group,
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 6_000,  # the least that brokers allow by default; a killed worker's partitions rest so long
        "heartbeat.interval.ms": 1_000,
        "socket.timeout.ms": 10_000,  # bounds a commit inside a revocation
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 5,  # the default of 1,000 makes a backlog 3 to 6 times slower
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 65_536,
        "topic.metadata.refresh.interval.ms": 60_000,  # so soon is a partition that was added seen
        **_RECONNECT,
        **extra,
    }
    if is_static:
        properties["group.instance.id"] = worker_id
    if properties.get("group.protocol") == "consumer":
        for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
            if name not in extra:
                del properties[name]
    return properties


def is_cooperative(properties: Properties) -> bool:
    """Whether partitions come and go one by one (else all are revoked at every rebalance)."""
    return properties.get("group.protocol") == "consumer" or "cooperative" in str(
        properties.get("partition.assignment.strategy", "")
    )


def producer_properties(
    *, bootstrap: str, worker_id: str, limits: Mapping[str, int], transactional_id: str | None, extra: Properties
) -> dict[str, Any]:
    """The result producer's properties.

    A topic's size limit is a limit on the *batch*, so batches stay below the smallest of them: a hundred small
    records in one batch over the limit would all be refused.
    """
    largest = max(limits.values(), default=DEFAULT_RECORD_BYTES)
    smallest = min(limits.values(), default=DEFAULT_RECORD_BYTES)
    properties: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "client.id": worker_id,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,  # what a read brings is queued before the thread that sends it has woken; any more, each record waits for
        "batch.num.messages": 10_000,
        "batch.size": max(1, min(1_000_000, smallest - OVERHEAD_BYTES)),
        "message.max.bytes": max(1_000, largest),
        "queue.buffering.max.messages": 500_000,
        **_RECONNECT,
    }
    if transactional_id is None:
        properties["message.timeout.ms"] = 0  # an outage is waited out, however long
        properties["enable.gapless.guarantee"] = True  # an acknowledgement speaks for all before it, see `writer`
    else:
        properties["transactional.id"] = transactional_id
        # A dead worker's open transaction hides later results from readers, and its offsets from the next owner, so long.
        properties["transaction.timeout.ms"] = 10_000
    return properties | dict(extra)


def transactional_id(group: str, worker_id: str) -> str:
    """The name under which a new process fences its predecessor."""
    return f"{group}-{worker_id}"
