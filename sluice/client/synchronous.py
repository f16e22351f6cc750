"""`Client`: performs calls by waiting for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

import httpx

from sluice.client import answers, calls, decider_calls, job_calls, registry_calls, route_calls
from sluice.client.calls import GIVE_UP_SECONDS, PublishOptions
from sluice.client.naming import named_after
from sluice.client.server_events import EventReader, Followed
from sluice.client.waiting import Waiting, operation_of

Answer = TypeVar("Answer")
Parameters = ParamSpec("Parameters")


def _does(make: Callable[Parameters, calls.Call[Answer]]) -> Callable[Concatenate[Client, Parameters], Answer]:
    """A method that performs the call that `make` makes."""

    def method(self: Client, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        return self._perform(make(*args, **kwargs))

    return named_after(make, method)


def _lists(
    make: Callable[Parameters, calls.PagedCall[Answer]],
) -> Callable[Concatenate[Client, Parameters], list[Answer]]:
    """A method that performs the calls for all pages."""

    def method(self: Client, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> list[Answer]:
        return self._perform_all(make(*args, **kwargs))

    return named_after(make, method)


class Client:
    """A connection to the control API. May be used by several threads; close it, or use it in a `with`.

    Writes are given the `revision` of what was read before (`StaleError` if somebody else was first). A read that follows a
    write sees it, whichever replica of the API answers.

    Every method raises `UnreachableError` if nothing answers and `ApiError` if the API answers with a problem.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        actor: str | None = None,
        timeout_seconds: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            url: Base URL of the API.
            token: Its write token, if it has one.
            actor: Who writes, for the record: printable ASCII, at most 128 characters.
            timeout_seconds: Longest silence of the API that is not asked for.
            transport: How bytes travel; `None` is the network.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"X-Sluice-Actor": actor} if actor else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, transport=transport)
        # The control offset of the newest write: later reads wait until their replica has it.
        self._written = -1

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return str(self._http.base_url).rstrip("/")

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def publish(
        self,
        model: str | os.PathLike[str] | bytes | None = None,
        *,
        for_: str,
        name: str | None = None,
        wait: None = None,
        **options: Unpack[PublishOptions],
    ) -> answers.Published: ...

    @overload
    def publish(
        self,
        model: str | os.PathLike[str] | bytes | None = None,
        *,
        for_: str,
        name: str | None = None,
        wait: float,
        **options: Unpack[PublishOptions],
    ) -> answers.Operation: ...

    def publish(
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
            wait: Seconds to wait until every partition has gone over to it (each worker has said what became of it, where
                the change is immediate); left out, this returns at once.
            **options: See `PublishOptions`.

        Raises:
            ArtifactError: The model cannot be read.
            ModelRefusedError: With `wait`: a worker refused it; the version before serves on.
            OperationFailedError: With `wait`: the change was given up; the version before serves on.
            OperationPendingError: With `wait`: time is over.
        """
        published = self._perform(calls.publish(model, for_, name, options))
        return published if wait is None else self.wait(operation_of(published), wait)

    def wait(
        self, operation: str, seconds: float = 60.0, on_progress: Callable[[answers.Operation], None] | None = None
    ) -> answers.Operation:
        """Wait until an operation is done: a publication, a change of a route, a rollout, a back-test, a correction.

        Args:
            operation: Its id.
            seconds: Longest wait.
            on_progress: Called with the operation whenever it has come further.

        Raises:
            ModelRefusedError: A worker refused the model; the version before serves on.
            OperationFailedError: It failed otherwise: the message says why, and what serves goes on serving.
            OperationPendingError: It is not done after `seconds`. It may still become so.
        """
        waiting = Waiting(seconds, on_progress)
        while True:
            found = self.operation(operation, held_seconds=waiting.held_seconds())
            if waiting.is_over(found):
                return found

    models = _lists(registry_calls.models)
    model = _does(registry_calls.model)
    create_model = _does(registry_calls.create_model)
    update_model = _does(registry_calls.update_model)
    delete_model = _does(registry_calls.delete_model)
    set_policy = _does(registry_calls.set_policy)
    versions = _lists(registry_calls.versions)
    version = _does(registry_calls.version)
    update_version = _does(registry_calls.update_version)
    set_stage = _does(registry_calls.set_stage)
    delete_version = _does(registry_calls.delete_version)
    approvals = _does(registry_calls.approvals)
    approve = _does(registry_calls.approve)
    alias = _does(registry_calls.alias)
    set_alias = _does(registry_calls.set_alias)
    delete_alias = _does(registry_calls.delete_alias)

    routes = _lists(route_calls.routes)
    route = _does(route_calls.route)
    put_route = _does(route_calls.put_route)
    plan_route = _does(route_calls.plan_route)
    delete_route = _does(route_calls.delete_route)
    plan_route_removal = _does(route_calls.plan_route_removal)
    rollback = _does(route_calls.rollback)
    plan_rollback = _does(route_calls.plan_rollback)
    start_rollout = _does(route_calls.start_rollout)
    rollouts = _lists(route_calls.rollouts)
    rollout = _does(route_calls.rollout)
    steer_rollout = _does(route_calls.steer_rollout)
    decisions = _does(route_calls.decisions)
    abort_operation = _does(route_calls.abort_operation)

    start_backtest = _does(job_calls.start_backtest)
    backtests = _lists(job_calls.backtests)
    backtest = _does(job_calls.backtest)
    cancel_backtest = _does(job_calls.cancel_backtest)
    start_correction = _does(job_calls.start_correction)
    corrections = _lists(job_calls.corrections)
    correction = _does(job_calls.correction)
    cancel_correction = _does(job_calls.cancel_correction)

    operation = _does(calls.operation)
    plan_publication = _does(calls.publication_plan)
    workers = _lists(calls.workers)
    stats = _does(calls.stats)
    decider_stats = _does(decider_calls.decider_stats)
    streams = _does(calls.streams)
    results = _does(calls.results_of)
    dead_letters = _does(calls.dead_letters)

    def tail(self, stream: str, *, after: str | None = None) -> Generator[Followed[answers.ResultRecord], None, None]:
        """Results as they come, for ever; close it to leave. A broken connection is resumed behind the last one.

        Args:
            stream: Name of the stream; see `streams`.
            after: Cursor behind which to begin; left out, now.

        Raises:
            UnreachableError: The API has been away for half a minute.
        """
        return self._follow(calls.tail(stream), after)

    def follow_dead_letters(
        self, *, after: str | None = None
    ) -> Generator[Followed[answers.DeadLetterRecord], None, None]:
        """Dead letters as they come. See `tail`."""
        return self._follow(calls.follow_dead_letters(), after)

    def events(self, *, after: str | None = None) -> Generator[Followed[answers.ServerEvent], None, None]:
        """What happens in the control log, as it happens: models published, live, refused. See `tail`."""
        return self._follow(calls.events(), after)

    def _follow(self, stream: calls.StreamCall[Answer], after: str | None) -> Generator[Followed[Answer], None, None]:
        reader = EventReader(after)
        heard = time.monotonic()
        while True:
            try:
                with self._http.stream(**stream.arguments(reader.last_id)) as response:
                    if response.is_error:
                        response.read()
                        raise calls.problem(response)
                    reader.reconnected()
                    for chunk in response.iter_bytes():
                        heard = time.monotonic()
                        for event in reader.feed(chunk):
                            yield stream.read(event)
            except httpx.TransportError as error:
                if time.monotonic() - heard > GIVE_UP_SECONDS:
                    raise calls.unreachable(self._http.base_url, error) from error
            time.sleep(reader.retry_seconds)

    def _perform(self, call: calls.Call[Answer]) -> Answer:
        try:
            return call.read(self._send(call))
        except httpx.TransportError as error:
            raise calls.unreachable(self._http.base_url, error) from error

    def _perform_all(self, paged: calls.PagedCall[Answer]) -> list[Answer]:
        found: list[Answer] = []
        call: calls.Call[list[Answer]] | None = paged.first
        while call is not None:
            try:
                items, call = paged.read(self._send(call))
            except httpx.TransportError as error:
                raise calls.unreachable(self._http.base_url, error) from error
            found += items
        return found

    def _send(self, call: calls.Call[Answer]) -> httpx.Response:
        response = self._http.send(call.request(self._http, self._written))
        self._written = max(self._written, calls.written_offset(call, response))
        return response
