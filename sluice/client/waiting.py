"""Waiting for an operation: how long to hold a request, when somebody is told, and what its end means."""

from __future__ import annotations

import time
from collections.abc import Callable

from sluice.client.answers import Operation, Published
from sluice.client.calls import HELD_SECONDS
from sluice.client.errors import ModelRefusedError, OperationFailedError, OperationPendingError


class Waiting:
    """One wait. Its clock begins when it is made."""

    def __init__(self, seconds: float, on_progress: Callable[[Operation], None] | None) -> None:
        self._deadline = time.monotonic() + seconds
        self._on_progress = on_progress
        self._known: object = None

    def held_seconds(self) -> float:
        """How long the API may hold the next request: shortly where somebody watches."""
        longest = HELD_SECONDS if self._on_progress is None else 0.5
        return max(0.0, min(self._deadline - time.monotonic(), longest))

    def is_over(self, found: Operation) -> bool:
        """Whether it succeeded; tells the watcher if it has come further.

        Raises:
            ModelRefusedError: A worker refused the model, or nobody could read it.
            OperationFailedError: It failed otherwise.
            OperationPendingError: Time is over and it is not.
        """
        far = (found.state, found.phase, found.done, found.ready, found.cuts)
        if self._on_progress is not None and far != self._known:
            self._known = far
            self._on_progress(found)
        if found.state == "succeeded":
            return True
        if found.state == "failed":
            raise ModelRefusedError(found) if _is_refusal(found) else OperationFailedError(found)
        if time.monotonic() >= self._deadline:
            raise OperationPendingError(found)
        return False


def operation_of(published: Published) -> str:
    """Operation id of a publication; one that was only registered is an operation that is done already."""
    return published.operation or f"op-{published.control_offset}"


def _is_refusal(operation: Operation) -> bool:
    refused = any(outcome.state == "refused" for outcome in operation.workers)
    return operation.kind == "publish" and (refused or operation.version is None)
