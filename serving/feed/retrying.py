"""Calls to the broker that are tried again until they succeed, are hopeless, or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError._RETRY,
        KafkaError._STATE,
    }
)


def error_of(exception: KafkaException) -> Any:
    """The `KafkaError` inside a `KafkaException`."""
    return exception.args[0]


def is_passing(error: Any) -> bool:
    """Whether the error may be gone a moment later."""
    return not error.fatal() and (error.retriable() or error.code() in _PASSING)


def retry(
    limit_seconds: float,
    call: Callable[..., Result],
    *args: Any,
    may_retry: Callable[[Any], bool] = is_passing,
    on_retry: Callable[[Any], None] | None = None,
) -> Result:
    """Call `call(*args)` until it returns. Blocks; never called on the event loop's thread but in a revocation.

    Raises:
        KafkaException: The last error, once it cannot be retried or `limit_seconds` are over.
    """
    end = time.monotonic() + limit_seconds
    pause = 0.02
    while True:
        try:
            return call(*args)
        except KafkaException as exception:
            error = error_of(exception)
            if not may_retry(error) or time.monotonic() >= end:
                raise
            if on_retry is not None:
                on_retry(error)
            log.info("call.retried", error=error.str())
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(pause * 2, 0.5)
