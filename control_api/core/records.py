"""Records of results and dead letters as response shapes. The one importer of their generated messages."""

from __future__ import annotations

import base64
import json
import math
from typing import Any, Final

from google.protobuf.message import DecodeError
from modelserving.v1 import records_pb2

from control_api.ports import TopicRecord
from control_api.schemas.records import (
    Blob,
    DeadLetter,
    DeadLetterRecord,
    Number,
    Reason,
    RecordHeader,
    ResultRecord,
    ScoreResult,
    Superseded,
)
from control_api.schemas.shape import rfc3339

_REASONS: Final[tuple[Reason, ...]] = (
    "unspecified", "primary", "arm", "pin", "rule", "fallback", "dark", "decided", "corrected",
)  # fmt: skip
_STAGES: Final = ("unspecified", "decode", "features", "route", "score", "result")


def result_record(record: TopicRecord, result_format: str) -> ResultRecord:
    """A record of a result topic; what cannot be read is shown as bytes."""
    place = _place(record)
    try:
        if result_format == "json":
            return ResultRecord(**place, result=None, json_value=_strict(json.loads(record.value or b"")))
        return ResultRecord(**place, result=_score_result(records_pb2.ScoreResult.FromString(record.value or b"")))
    except (DecodeError, ValueError, RecursionError):
        return ResultRecord(**place, result=None, value=blob(record.value))


def dead_letter_record(record: TopicRecord) -> DeadLetterRecord:
    """A record of a dead-letter topic; what cannot be read is shown as bytes."""
    place = _place(record)
    try:
        return DeadLetterRecord(
            **place, dead_letter=_dead_letter(records_pb2.DeadLetter.FromString(record.value or b""))
        )
    except (DecodeError, ValueError):
        return DeadLetterRecord(**place, dead_letter=None, value=blob(record.value))


def blob(data: bytes | None) -> Blob | None:
    """Bytes as base64, and as text where they are printable."""
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and not all(char.isprintable() or char in "\n\r\t" for char in text):
        text = None
    return Blob(base64=base64.b64encode(data).decode(), text=text)


def number(value: float) -> Number:
    """A number, or the word for one that JSON cannot say."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _place(record: TopicRecord) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": _time(record.timestamp_ms),
        "key": blob(record.key),
    }


def _time(milliseconds: int) -> str | None:
    if not 0 <= milliseconds < 253_402_300_800_000:  # The year 10000, where RFC 3339 ends.
        return None
    return rfc3339(milliseconds)


def _score_result(message: records_pb2.ScoreResult) -> ScoreResult:
    return ScoreResult(
        model=message.model,
        model_version=str(message.model_version),
        sha256=message.sha256.hex(),
        data_type=message.data_type,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        control_offset=message.control_offset,
        worker=message.worker,
        record_timestamp=_time(message.record_timestamp_ms),
        arm=message.arm,
        route=message.route or message.data_type,
        reason=_REASONS[message.reason] if 0 <= message.reason < len(_REASONS) else "unspecified",
        decider=message.decider or None,
        supersedes=_supersedes(message.supersedes) if message.HasField("supersedes") else None,
        prediction=number(message.prediction) if message.HasField("prediction") else None,
        label=message.label if message.HasField("label") else None,
        scores=[number(score) for score in message.scores],
    )


def _supersedes(message: records_pb2.ScoreResult.Supersedes) -> Superseded:
    return Superseded(
        correction=message.correction,
        model=message.model,
        model_version=str(message.model_version),
        control_offset=message.control_offset,
    )


def _dead_letter(message: records_pb2.DeadLetter) -> DeadLetter:
    stage = message.stage if 0 <= message.stage < len(_STAGES) else 0
    return DeadLetter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        record_timestamp=_time(message.record_timestamp_ms),
        key=blob(message.key) if message.HasField("key") else None,
        value=blob(message.value) if message.HasField("value") else None,
        headers=[
            RecordHeader(key=h.key, value=blob(h.value) if h.HasField("value") else None) for h in message.headers
        ],
        stage=_STAGES[stage],
        reason=message.reason,
        stream=message.stream,
        data_type=message.data_type,
        model=message.model,
        model_version=str(message.model_version) if message.model_version else None,
        worker=message.worker,
        failed_at=_time(message.failed_at_ms) or rfc3339(0),
    )


def _strict(value: Any) -> Any:
    """JSON as strict JSON: Python reads `NaN` and would write it, the standard has no such thing."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return [_strict(each) for each in value]
    if isinstance(value, dict):
        return {name: _strict(each) for name, each in value.items()}
    return value
