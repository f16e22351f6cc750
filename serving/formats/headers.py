"""Kafka headers of results: none, the CloudEvents attributes, or those of the scored record.

Headers double what producing a record costs, and all they say is in the value too, so `none` is the default.

CloudEvents is version 1.0 in binary mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md#32-binary-content-mode.
`ce_id` is `topic/partition/offset` of the scored record and `ce_time` its timestamp, so a result that is written twice is
the same event twice, as the specification asks for what is sent again. What else is said of the same record is another
event: `/dark/model/version` follows in the `ce_id` of a model that only watches, `/correction/id` in that of a correction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from serving.core.errors import SettingsError
from serving.formats.base import Provenance, ScoredColumns
from serving.formats.fields import nearest

Headers = Sequence[tuple[str, bytes | None]]
HeaderPolicy = Literal["none", "cloudevents", "passthrough"]

ResultHeaders = Callable[[Provenance, ScoredColumns, Sequence[Headers]], list[Headers]]
"""Headers of each result of a batch. The last argument has the headers of each scored record, for `passthrough`."""

EVENT_TYPE = b"modelserving.v1.ScoreResult"


def result_headers(policy: HeaderPolicy, *, stream: str, content_type: str) -> ResultHeaders | None:
    """What makes the headers of a stream's results; `None` if they have none.

    Args:
        policy: The `headers` of the stream's results.
        stream: Name of the stream; `ce_source` is `/sluice/streams/<stream>`.
        content_type: See ResultFormat.content_type.

    Raises:
        SettingsError: The policy is not known.
    """
    match policy:
        case "none":
            return None
        case "cloudevents":
            return _cloud_events(stream, content_type)
        case "passthrough":
            return lambda provenance, scored, record_headers: list(record_headers)
    raise SettingsError(f"`{policy}` is not a policy for headers{nearest(policy, _POLICIES)}")


_POLICIES = ("none", "cloudevents", "passthrough")


def _cloud_events(stream: str, content_type: str) -> ResultHeaders:
    same: Headers = (
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/sluice/streams/{stream}".encode()),
        ("ce_type", EVENT_TYPE),
        ("content-type", content_type.encode()),
    )

    def headers(provenance: Provenance, scored: ScoredColumns, record_headers: Sequence[Headers]) -> list[Headers]:
        batch = [*same, ("ce_subject", provenance.data_type.encode())]
        suffix = _which(provenance)
        partitions = [provenance.partition] * len(scored) if scored.partitions is None else scored.partitions.tolist()
        return [
            [*batch, ("ce_id", f"{provenance.topic}/{partition}/{offset}{suffix}".encode()), *_time(milliseconds)]
            for partition, offset, milliseconds in zip(
                partitions, scored.offsets.tolist(), scored.record_timestamps_ms.tolist(), strict=True
            )
        ]

    return headers


def _which(provenance: Provenance) -> str:
    """What tells the results of one record apart; nothing for the one that holds."""
    if provenance.supersedes is not None:
        return f"/correction/{provenance.supersedes.correction}"
    return f"/dark/{provenance.model}/{provenance.model_version}" if provenance.reason == "dark" else ""


def _time(milliseconds: int) -> Headers:
    """`ce_time` as RFC 3339, left out where the record has no timestamp or one that no calendar has."""
    try:
        moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ()
    if milliseconds < 0:
        return ()
    text = f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
    return (("ce_time", text.encode()),)
