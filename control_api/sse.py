"""Server-sent events that cannot fill memory and that end when the process is asked to stop.

Theory of operation: an event stream pulls. The next events are read from their source only when the transport took the
last ones (`await send` waits while the socket's buffer is full), so a slow client slows its own reading and nothing
piles up for it. A source that has nothing to give returns empty from time to time, which is when a comment is sent to
keep proxies from closing the connection. The number of open streams is bounded, because each may hold a thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from control_api.errors import BUSY, ApiError
from control_api.telemetry import Metrics

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
RETRY_MS = 2000


def encode_event(kind: str, data: Any, event_id: str | None) -> bytes:
    """One event in the wire format of the HTML standard, section 9.2; `data` is one line of JSON."""
    lines = [] if event_id is None else [f"id: {event_id}"]
    lines += [f"event: {kind}", f"data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}", "", ""]
    return "\n".join(lines).encode()


class EventStreams:
    """The open event streams of one process."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._open = 0
        self._metrics = metrics
        self.is_stopping = False

    def stop(self) -> None:
        """End every stream at its next wake-up, at most a second later; thread-safe."""
        self.is_stopping = True

    def admit(self) -> None:
        """Check that one more may open.

        Raises:
            ApiError: `BUSY` if not.
        """
        if self._open >= self._limit:
            raise ApiError(
                BUSY, f"{self._open} event streams are open, {self._limit} are allowed", retry_after_seconds=5
            )

    def response(
        self, read: Callable[[], Awaitable[Iterable[bytes]]], close: Callable[[], Awaitable[None]] | None = None
    ) -> StreamingResponse:
        """Stream what `read` returns, encoded events, until the client leaves or the process stops.

        `read` returns within about a second, empty if there is nothing. `close` is awaited at the end in any case.

        Raises:
            ApiError: `BUSY` if too many are open.
        """
        self.admit()
        return _EventStreamResponse(self, read, close)

    async def events(self, read: Callable[[], Awaitable[Iterable[bytes]]]) -> AsyncIterator[bytes]:
        """The bytes of one stream."""
        quiet_since = time.monotonic()
        yield f"retry: {RETRY_MS}\n\n".encode()
        while not self.is_stopping:
            chunk = b"".join(await read())
            if chunk:
                yield chunk
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > KEEP_ALIVE_SECONDS:
                yield b": keep-alive\n\n"
                quiet_since = time.monotonic()

    def count(self, change: int) -> None:
        """Note that a stream opened (1) or ended (-1)."""
        self._open += change
        self._metrics.followers.set(self._open)


class _EventStreamResponse(StreamingResponse):
    """Closes its source however the response ends, even when the client left before the first byte."""

    media_type = EVENT_STREAM

    def __init__(
        self,
        streams: EventStreams,
        read: Callable[[], Awaitable[Iterable[bytes]]],
        close: Callable[[], Awaitable[None]] | None,
    ) -> None:
        super().__init__(streams.events(read), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._streams = streams
        self._close = close
        streams.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.count(-1)
            if self._close is not None:
                with anyio.CancelScope(shield=True):
                    await self._close()
