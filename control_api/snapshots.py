"""Writes snapshots of the fold to the control log, so that a new worker or replica need not read the whole of it.

Every replica does so by itself, when more records came since the newest snapshot than the settings say: it puts its state
on the log as a record and then moves the pointer to it. Two replicas that do it at once leave one snapshot too many, and a
replica that dies between the two leaves one that nobody finds; both are harmless. All of it is best effort: without a
snapshot the log is read from its beginning, to the same state.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import anyio.to_thread
import structlog

from control_api.errors import ApiError
from control_api.parts import Parts
from model_store.core.snapshots import SCHEMA, encode_snapshot
from model_store.core.wire import EncodedRecord, encode_worker_record
from model_store.snapshot_pointer import SnapshotPlace, find_snapshot, publish_snapshot

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10.0
APART_SECONDS: Final = 2.0
"""A replica waits up to so long before it writes one, and looks again: another may have done it."""


class Snapshots:
    """See the module. On the event loop of `parts`, the work in threads."""

    def __init__(self, parts: Parts) -> None:
        """Nothing happens before `run`."""
        self._parts = parts
        settings = parts.settings
        self._place = (settings.kafka.bootstrap, settings.kafka.properties, settings.control_topic.name)

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if self._parts.is_ready and await self._is_due():
                    await asyncio.sleep(random.uniform(0, APART_SECONDS))
                    if await self._is_due():
                        await self.write()
            except ApiError as error:
                log.warning("snapshot.not_written", reason=error.detail)
            except Exception as error:  # it is tried again, and nothing depends on it
                log.warning("snapshot.not_written", reason=f"{type(error).__name__}: {error}")

    async def write(self) -> int | None:
        """Write one now; where it is on the log, or `None` if it is too large to be there.

        Raises:
            ApiError: The brokers do not answer.
        """
        catalogue = self._parts.follower.state
        record = await anyio.to_thread.run_sync(_encoded, catalogue)
        limit = self._parts.settings.limits.snapshot_bytes
        if len(record.value) > limit:
            log.warning("snapshot.too_large", bytes=len(record.value), limit=limit)
            return None
        offset = await self._parts.publisher.publish(b"snapshot", record.value, dict(record.headers))
        place = SnapshotPlace(offset, SCHEMA)
        is_found = await anyio.to_thread.run_sync(publish_snapshot, *self._place, place)
        log.info("snapshot.written", offset=offset, state_of=catalogue.offset, bytes=len(record.value), found=is_found)
        return offset

    async def _is_due(self) -> bool:
        every = self._parts.settings.limits.snapshot_records
        if every == 0 or self._parts.follower.applied_offset < every:
            return False
        place = await anyio.to_thread.run_sync(find_snapshot, *self._place)
        newest = place.offset if place is not None and place.schema == SCHEMA else -1
        return self._parts.follower.applied_offset - newest >= every


def _encoded(catalogue: Any) -> EncodedRecord:
    return encode_worker_record(encode_snapshot(catalogue))
