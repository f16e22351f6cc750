"""Dead letters: `modelserving.v1.DeadLetter`, one a record that could not be scored. They are rare, so one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelserving.v1 import records_pb2

from serving.core.outcomes import Stage

_STAGES: dict[Stage, records_pb2.DeadLetter.Stage] = {
    "decode": records_pb2.DeadLetter.STAGE_DECODE,
    "features": records_pb2.DeadLetter.STAGE_FEATURES,
    "route": records_pb2.DeadLetter.STAGE_ROUTE,
    "score": records_pb2.DeadLetter.STAGE_SCORE,
    "result": records_pb2.DeadLetter.STAGE_RESULT,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A record as it came, and why it could not be scored.

    Attributes:
        offset: Offset of the record.
        record_timestamp_ms: Its timestamp, milliseconds since 1970 UTC; -1 if it had none.
        key: Its key, `None` if it had none.
        value: Its value, `None` for a tombstone.
        stage: Where it failed.
        reason: A sentence: what was expected, what was found.
        headers: Its headers, in order; a value may be `None`.
        data_type: Its data type, where that was found.
        model: The model that was to score it, if any.
        model_version: Its version; 0 if none.
    """

    offset: int
    record_timestamp_ms: int
    key: bytes | None
    value: bytes | None
    stage: Stage
    reason: str
    headers: Sequence[tuple[str, bytes | None]] = ()
    data_type: str = ""
    model: str = ""
    model_version: int = 0


def encode_dead_letters(
    failures: Iterable[Failure],
    partitions: Iterable[int],
    *,
    stream: str,
    topic: str,
    worker: str,
    failed_at_ms: int,
) -> list[bytes]:
    """The dead letter of each failure of one batch, and the partition of its record. All bytes of a record are kept."""
    return [
        records_pb2.DeadLetter(
            topic=topic,
            partition=partition,
            offset=failure.offset,
            record_timestamp_ms=failure.record_timestamp_ms,
            key=failure.key,
            value=failure.value,
            headers=[records_pb2.Header(key=key, value=value) for key, value in failure.headers],
            stage=_STAGES[failure.stage],
            reason=_encodable(failure.reason),
            stream=stream,
            data_type=failure.data_type,
            model=failure.model,
            model_version=failure.model_version,
            worker=worker,
            failed_at_ms=failed_at_ms,
        ).SerializeToString(deterministic=True)
        for failure, partition in zip(failures, partitions, strict=True)
    ]


def _encodable(reason: str) -> str:
    # A reason may quote a library that quotes the record; a lone surrogate must not stop the side road.
    return reason.encode("utf-8", "backslashreplace").decode()
