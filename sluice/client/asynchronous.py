"""`AsyncClient`: performs calls by awaiting them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self, TypeVar, Unpack, overload

import httpx

from sluice.client import answers, calls
from sluice.client.calls import GIVE_UP_SECONDS, PublishOptions
from sluice.client.errors import ModelRefusedError, OperationPendingError
from sluice.client.server_events import EventReader, Followed

Answer = TypeVar("Answer")


class AsyncClient:
    """A connection to the control API. For one event loop; close it, or use it in an `async with`.

    Every method raises `UnreachableError` if nothing answers and `ApiError` if the API answers with a problem.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        timeout_seconds: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            url: Base URL of the API.
            token: Its write token, if it has one.
            timeout_seconds: Longest silence of the API that is not asked for.
            transport: How bytes travel; `None` is the network.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_seconds, transport=transport)

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return str(self._http.base_url).rstrip("/")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def publish(
        self,
        model: str | os.PathLike[str] | bytes | None = None,
        *,
        for_: str,
        name: str | None = None,
        wait: None = None,
        **options: Unpack[PublishOptions],
    ) -> answers.Published: ...

    @overload
    async def publish(
        self,
        model: str | os.PathLike[str] | bytes | None = None,
        *,
        for_: str,
        name: str | None = None,
        wait: float,
        **options: Unpack[PublishOptions],
    ) -> answers.Operation: ...

    async def publish(
        self,
        model: str | os.PathLike[str] | bytes | None = None,
        *,
        for_: str,
        name: str | None = None,
        wait: float | None = None,
        **options: Unpack[PublishOptions],
    ) -> answers.Published | answers.Operation:
        """Publish a model: from now on it is the model of the data type `for_`.

        Args:
            model: Path of a file or of a SavedModel directory, or bytes; left out with `source`.
            for_: Data type (route key).
            name: Registered name; left out, it is made of the file's.
            wait: Seconds to wait until each live worker has said what became of it; left out, this returns at once.
            **options: See `PublishOptions`.

        Raises:
            ArtifactError: The model cannot be read.
            ModelRefusedError: With `wait`: a worker refused it; the version before serves on.
            OperationPendingError: With `wait`: time is over.
        """
        published = await self._perform(calls.publish(model, for_, name, options))
        return published if wait is None else await self.wait(published.operation, wait)

    async def operation(self, id: str, *, held_seconds: float = 0.0) -> answers.Operation:
        """An operation as it is now; with `held_seconds` (at most 60) as it is when it is done, if that is sooner."""
        return await self._perform(calls.operation(id, held_seconds))

    async def wait(
        self, operation: str, seconds: float = 60.0, on_progress: Callable[[answers.Operation], None] | None = None
    ) -> answers.Operation:
        """Wait until each live worker has said what became of a publication.

        Args:
            operation: Its id.
            seconds: Longest wait.
            on_progress: Called with the operation whenever another worker has spoken.

        Raises:
            ModelRefusedError: A worker refused the model; the version before serves on.
            OperationPendingError: It is not done after `seconds`. It may still become so.
        """
        deadline = time.monotonic() + seconds
        known = -1
        while True:
            held = min(deadline - time.monotonic(), calls.HELD_SECONDS if on_progress is None else 1.0)
            found = await self.operation(operation, held_seconds=max(held, 0.0))
            if on_progress is not None and found.done != known:
                known = found.done
                on_progress(found)
            if found.state == "succeeded":
                return found
            if found.state == "failed":
                raise ModelRefusedError(found)
            if time.monotonic() >= deadline:
                raise OperationPendingError(found)

    async def models(self) -> list[answers.RegisteredModel]:
        """All registered models, by name."""
        return await self._perform_all(calls.models())

    async def versions(self, name: str) -> list[answers.ModelVersion]:
        """All versions of a model, newest first."""
        return await self._perform_all(calls.versions(name))

    async def version(self, name: str, number: str | int) -> answers.ModelVersion:
        """One version of a model."""
        return await self._perform(calls.version(name, str(number)))

    async def routes(self) -> list[answers.Route]:
        """Which version serves which data type, by data type."""
        return await self._perform_all(calls.routes())

    async def workers(self) -> list[answers.Worker]:
        """All workers that have started, and whether they live."""
        return await self._perform_all(calls.workers())

    async def stats(
        self, window: str | None = None, *, data_type: str | None = None, model: str | None = None
    ) -> answers.Statistics:
        """How models do: of one data type, of one model, or of all.

        Args:
            window: `30s`, `5m`, `24h` at most; left out, since ever.
            data_type: Only of this data type.
            model: Only of this model, where no data type is given.
        """
        return await self._perform(calls.stats(window, data_type, model))

    async def streams(self) -> list[answers.Stream]:
        """The streams that live workers serve."""
        return await self._perform(calls.streams())

    async def results(self, stream: str, count: int = 20) -> list[answers.ResultRecord]:
        """The newest results of a stream, oldest first; at most 1000."""
        return await self._perform(calls.results_of(stream, count))

    async def dead_letters(self, count: int = 20) -> list[answers.DeadLetterRecord]:
        """The newest records that could not be scored, oldest first; at most 1000."""
        return await self._perform(calls.dead_letters(count))

    def tail(self, stream: str, *, after: str | None = None) -> AsyncGenerator[Followed[answers.ResultRecord], None]:
        """Results as they come, for ever; `aclose` it to leave. A broken connection is resumed behind the last one.

        Args:
            stream: Name of the stream; see `streams`.
            after: Cursor behind which to begin; left out, now.

        Raises:
            UnreachableError: The API has been away for half a minute.
        """
        return self._follow(calls.tail(stream), after)

    def follow_dead_letters(
        self, *, after: str | None = None
    ) -> AsyncGenerator[Followed[answers.DeadLetterRecord], None]:
        """Dead letters as they come. See `tail`."""
        return self._follow(calls.follow_dead_letters(), after)

    def events(self, *, after: str | None = None) -> AsyncGenerator[Followed[answers.ServerEvent], None]:
        """What happens in the control log, as it happens: models published, live, refused. See `tail`."""
        return self._follow(calls.events(), after)

    async def _follow(
        self, stream: calls.StreamCall[Answer], after: str | None
    ) -> AsyncGenerator[Followed[Answer], None]:
        reader = EventReader(after)
        heard = time.monotonic()
        while True:
            try:
                async with self._http.stream(**stream.arguments(reader.last_id)) as response:
                    if response.is_error:
                        await response.aread()
                        raise calls.problem(response)
                    reader.reconnected()
                    async for chunk in response.aiter_bytes():
                        heard = time.monotonic()
                        for event in reader.feed(chunk):
                            yield stream.read(event)
            except httpx.TransportError as error:
                if time.monotonic() - heard > GIVE_UP_SECONDS:
                    raise calls.unreachable(self._http.base_url, error) from error
            await asyncio.sleep(reader.retry_seconds)

    async def _perform(self, call: calls.Call[Answer]) -> Answer:
        try:
            return call.read(await self._http.send(call.request(self._http)))
        except httpx.TransportError as error:
            raise calls.unreachable(self._http.base_url, error) from error

    async def _perform_all(self, paged: calls.PagedCall[Answer]) -> list[Answer]:
        found: list[Answer] = []
        call: calls.Call[list[Answer]] | None = paged.first
        while call is not None:
            try:
                items, call = paged.read(await self._http.send(call.request(self._http)))
            except httpx.TransportError as error:
                raise calls.unreachable(self._http.base_url, error) from error
            found += items
        return found
