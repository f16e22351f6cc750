"""A worker's own records on the control topic: few, small, and not to be lost.

`send` only queues; librdkafka retries for ever in its own threads, so an outage of the broker delays a record and costs
the worker nothing. What may wait is bounded: a worker that cannot report for very long stops reporting, not scoring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer
from mode import Service

from serving.feed.control_log import MAX_RECORD_BYTES
from serving.feed.runs import Header
from serving.feed.settings import Properties

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1


class ControlWriter(Service):  # type: ignore[misc]  # mode has no type information
    """Writes to the control topic in the order of the calls; `acks=all`, without duplicates.

    Attributes:
        sent: Records that the broker acknowledged.
        failed: Records that it refused for good, or that found the queue full; each is logged.
    """

    def __init__(
        self,
        topic: str,
        *,
        bootstrap: str,
        worker_id: str,
        most_queued: int = 10_000,
        flush_seconds: float = 5.0,
        properties: Properties | None = None,
        **service: Any,
    ) -> None:
        """Nothing is connected to before the service starts.

        Args:
            most_queued: Records that may wait for the broker.
            flush_seconds: How long the stop waits for them.
            properties: Extra librdkafka properties (security, say).
        """
        super().__init__(**service)
        self.topic = topic
        self.sent = 0
        self.failed = 0
        self._flush_seconds = flush_seconds
        self._config = {
            "bootstrap.servers": bootstrap,
            "client.id": worker_id,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 1,
            "message.timeout.ms": 0,
            "message.max.bytes": MAX_RECORD_BYTES,
            "queue.buffering.max.messages": most_queued,
            "reconnect.backoff.max.ms": 1_000,
            **(properties or {}),
        }

    def __len__(self) -> int:
        """Records that are not acknowledged yet."""
        return len(self._producer) if hasattr(self, "_producer") else 0

    def __bool__(self) -> bool:
        return True

    async def on_start(self) -> None:
        """Make the producer; does not wait for the broker."""
        self._producer = Producer(self._config)
        self._polling = asyncio.create_task(self._poll())

    async def on_stop(self) -> None:
        """Wait a little for what is queued."""
        if not hasattr(self, "_producer"):
            return
        self._polling.cancel()
        left = await asyncio.get_running_loop().run_in_executor(None, self._producer.flush, self._flush_seconds)
        if left:
            log.warning("control_records.abandoned", topic=self.topic, records=left)

    def send(self, key: bytes | None, value: bytes, headers: Sequence[Header] = ()) -> bool:
        """Queue a record; never waits. Called on the event loop's thread, after the start.

        Returns:
            Whether it was queued; if not, the queue is full or the record too large, and that is logged and counted.
        """
        try:
            self._producer.produce(self.topic, value, key, headers=list(headers), on_delivery=self._delivered)
        except (BufferError, KafkaException) as error:
            self.failed += 1
            log.error("control_record.refused", topic=self.topic, error=str(error))
            return False
        self._producer.poll(0)
        return True

    async def flush(self, seconds: float) -> bool:
        """Wait for the acknowledgement of everything queued; whether all came in time."""
        end = asyncio.get_running_loop().time() + seconds
        while len(self._producer):
            if asyncio.get_running_loop().time() >= end:
                return False
            self._producer.poll(0)
            await asyncio.sleep(0.005)
        return True

    async def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(_POLL_SECONDS)

    def _delivered(self, error: Any, _record: Any) -> None:
        if error is None:
            self.sent += 1
            return
        self.failed += 1
        log.error("control_record.failed", topic=self.topic, error=error.str())
