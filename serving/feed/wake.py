"""Sleeping until something happens: a record, a callback of the client, something on the event loop, or nothing for a while."""

from __future__ import annotations

import asyncio
import os


class Wake:
    """Belongs to the event loop's thread. librdkafka writes to its `descriptor` from threads of its own."""

    def __init__(self) -> None:
        """Take the running loop."""
        self._loop = asyncio.get_running_loop()
        self._reading, self.descriptor = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self.descriptor, False)  # a full pipe wakes as well
        self._loop.add_reader(self._reading, self._drain)
        self._is_set = False
        self._sleeper: asyncio.Future[None] | None = None

    def set(self) -> None:
        """End the sleep; the next one, if nobody sleeps."""
        self._is_set = True
        self.rouse()

    def rouse(self) -> None:
        """End the sleep, if somebody sleeps."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def take(self) -> bool:
        """Whether the next sleep would end at once; it will not any more."""
        was_set, self._is_set = self._is_set, False
        return was_set

    async def sleep(self, seconds: float) -> None:
        """Sleep until `set`, or something is written, at most so long."""
        if not self._is_set:
            self._sleeper = self._loop.create_future()
            timer = self._loop.call_later(seconds, self.rouse)
            try:
                await self._sleeper
            finally:
                timer.cancel()
                self._sleeper = None
        self._is_set = False

    def close(self) -> None:
        """Nobody sleeps or writes any more."""
        self._loop.remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.descriptor)

    def _drain(self) -> None:
        os.read(self._reading, 4_096)
        self.set()
