"""Results as protobuf: `modelserving.v1.ScoreResult`, byte for byte as the protobuf runtime writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor import Descriptor
from modelserving.v1 import records_pb2

from serving.formats.base import Provenance, Reason, ScoredColumns
from serving.formats.message_encoder import MessageEncoder
from serving.formats.message_fields import FieldColumn

REASONS: Final[dict[Reason, records_pb2.ScoreResult.Reason]] = {
    "": records_pb2.ScoreResult.REASON_UNSPECIFIED,
    "primary": records_pb2.ScoreResult.REASON_PRIMARY,
    "arm": records_pb2.ScoreResult.REASON_ARM,
    "pin": records_pb2.ScoreResult.REASON_PIN,
    "rule": records_pb2.ScoreResult.REASON_RULE,
    "fallback": records_pb2.ScoreResult.REASON_FALLBACK,
    "dark": records_pb2.ScoreResult.REASON_DARK,
    "decided": records_pb2.ScoreResult.REASON_DECIDED,
    "corrected": records_pb2.ScoreResult.REASON_CORRECTED,
}
"""The numbers of the reasons on the wire."""


class ProtobufResults:
    """See ResultFormat. NaN is written as NaN, a missing label not at all, a prediction of 0.0 as 0.0."""

    def __init__(self) -> None:
        descriptor: Descriptor = records_pb2.ScoreResult.DESCRIPTOR  # type: ignore[assignment]  # the stubs name upb's class
        self._encoder = MessageEncoder(descriptor)

    @property
    def content_type(self) -> str:
        """See ResultFormat.content_type."""
        return "application/protobuf"

    def encode(self, provenance: Provenance, scored: ScoredColumns) -> Sequence[bytes]:
        """See ResultFormat.encode."""
        columns: dict[str, FieldColumn] = {
            "model": provenance.model,
            "model_version": provenance.model_version,
            "sha256": provenance.sha256,
            "data_type": provenance.data_type,
            "topic": provenance.topic,
            "partition": provenance.partition if scored.partitions is None else scored.partitions,
            "offset": scored.offsets,
            "control_offset": provenance.control_offset,
            "worker": provenance.worker,
            "record_timestamp_ms": scored.record_timestamps_ms,
            **_choice(provenance),
        }
        if scored.prediction is not None:
            columns["prediction"] = scored.prediction
        if scored.label is not None:
            columns["label"] = scored.label
        if scored.scores is not None:
            columns["scores"] = scored.scores
        return self._encoder.encode(len(scored), columns)


def _choice(provenance: Provenance) -> dict[str, FieldColumn]:
    """What a plain route leaves empty, and so costs nothing."""
    columns: dict[str, FieldColumn] = {}
    if provenance.arm:
        columns["arm"] = provenance.arm
    if provenance.route and provenance.route != provenance.data_type:
        columns["route"] = provenance.route
    if provenance.reason:
        columns["reason"] = REASONS[provenance.reason]
    if (superseded := provenance.supersedes) is not None:
        columns["supersedes"] = records_pb2.ScoreResult.Supersedes(
            correction=superseded.correction,
            model=superseded.model,
            model_version=superseded.model_version,
            control_offset=superseded.control_offset,
        )
    if provenance.decider:
        columns["decider"] = provenance.decider
    return columns
