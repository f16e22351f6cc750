"""Batches of results, each written in one short transaction of a correction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaException

from serving.feed.batch import Output
from serving.feed.errors import OutputRefusedError
from serving.feed.retrying import error_of, retry
from serving.feed.writer import Writer
from serving.replay.errors import JobFailedError

log = structlog.get_logger(__name__)

_LIMIT_SECONDS = 60.0
_CALL_SECONDS = 10.0
_ATTEMPTS = 3


def transactional_id(correction: str) -> str:
    """Under which name all runs of a correction write; the newest fences the others."""
    return f"sluice-correction-{correction}"


class Transactions:
    """Writes outputs so that each is there as a whole or not at all."""

    def __init__(self, writer: Writer) -> None:
        """`writer` has a transactional id."""
        self._writer = writer

    def start(self) -> None:
        """Fence earlier runs, and end the transaction that one of them may have left open. Blocks.

        Raises:
            JobFailedError: Kafka does not answer, or does not allow it.
        """
        self._call("init_transactions", _CALL_SECONDS)

    def write(self, output: Output) -> None:
        """Write an output. Afterwards it is there, or, after an error, perhaps (if Kafka went away), as a whole.

        Raises:
            JobFailedError: It was fenced by another run, or Kafka does not take it.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._write_once(output)
                return
            except (KafkaException, OutputRefusedError) as error:
                log.warning("correction.transaction_failed", attempt=attempt, error=str(error))
                if attempt == _ATTEMPTS or not _may_abort(error):
                    raise JobFailedError(f"the corrections cannot be written: {error}") from error
                self._call("abort_transaction", _CALL_SECONDS)

    def _write_once(self, output: Output) -> None:
        errors: list[Any] = []

        def note(error: Any, _record: Any) -> None:
            if error is not None:
                errors.append(error)

        self._writer.producer.begin_transaction()
        self._writer.send(output, note)
        retry(_LIMIT_SECONDS, self._writer.producer.commit_transaction, _CALL_SECONDS, may_retry=_retriable)
        if errors:
            raise KafkaException(errors[0])

    def _call(self, name: str, seconds: float) -> None:
        call: Callable[[float], None] = getattr(self._writer.producer, name)
        try:
            retry(_LIMIT_SECONDS, call, seconds, may_retry=_retriable)
        except KafkaException as error:
            raise JobFailedError(f"{name}: {error_of(error).str()}") from error


def _retriable(error: Any) -> bool:
    return bool(error.retriable())


def _may_abort(error: KafkaException | OutputRefusedError) -> bool:
    return isinstance(error, KafkaException) and bool(error_of(error).txn_requires_abort())
