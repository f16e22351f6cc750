"""Results as protobuf: `modelserving.v1.ScoreResult`, byte for byte as the protobuf runtime writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from google.protobuf.descriptor import Descriptor
from modelserving.v1 import records_pb2
from numpy.typing import NDArray

from serving.formats.base import Provenance, Reason, ScoredColumns
from serving.formats.message_encoder import MessageEncoder, Variants
from serving.formats.message_fields import FieldColumn, Scalar

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
        return self._encoder.encode(len(scored), _columns(provenance, scored) | _scalars(provenance))

    def encode_several(
        self, provenances: Sequence[Provenance], which: NDArray[np.int64], scored: ScoredColumns
    ) -> Sequence[bytes]:
        """See ResultFormat.encode_several."""
        variants = Variants([_scalars(provenance) for provenance in provenances], which)
        return self._encoder.encode(len(scored), _columns(provenances[0], scored), variants)


def _columns(provenance: Provenance, scored: ScoredColumns) -> dict[str, FieldColumn]:
    """What is not the same in all results of a model, and which batch they are of."""
    columns: dict[str, FieldColumn] = {
        "topic": provenance.topic,
        "partition": provenance.partition if scored.partitions is None else scored.partitions,
        "offset": scored.offsets,
        "worker": provenance.worker,
        "record_timestamp_ms": scored.record_timestamps_ms,
    }
    if scored.prediction is not None:
        columns["prediction"] = scored.prediction
    if scored.label is not None:
        columns["label"] = scored.label
    if scored.scores is not None:
        columns["scores"] = scored.scores
    return columns


def _scalars(provenance: Provenance) -> dict[str, Scalar]:
    """What is the same in all results of a model."""
    return {
        "model": provenance.model,
        "model_version": provenance.model_version,
        "sha256": provenance.sha256,
        "data_type": provenance.data_type,
        "control_offset": provenance.control_offset,
        **_choice(provenance),
    }


def _choice(provenance: Provenance) -> dict[str, Scalar]:
    """What a plain route leaves empty, and so costs nothing."""
    scalars: dict[str, Scalar] = {}
    if provenance.arm:
        scalars["arm"] = provenance.arm
    if provenance.route and provenance.route != provenance.data_type:
        scalars["route"] = provenance.route
    if provenance.reason:
        scalars["reason"] = REASONS[provenance.reason]
    if (superseded := provenance.supersedes) is not None:
        scalars["supersedes"] = records_pb2.ScoreResult.Supersedes(
            correction=superseded.correction,
            model=superseded.model,
            model_version=superseded.model_version,
            control_offset=superseded.control_offset,
        )
    if provenance.decider:
        scalars["decider"] = provenance.decider
    return scalars
