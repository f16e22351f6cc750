"""The interface of a record format and of a result format, and the values that pass through them.

A batch is decoded into columns once and encoded into values once; nothing here is called per record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.core.outcomes import Stage

Missing = Literal["reject", "model"]
"""What an absent or null field means: a dead letter, or NaN (text: code -1) for the model to handle."""


@dataclass(frozen=True, slots=True)
class FieldSelection:
    """The fields of a record that a stream uses, by the names of its settings.

    A name is a dotted path (`inner.x`); `emb[64]` is a repeated field or array of exactly 64 numbers, which fills 64
    columns.

    Attributes:
        features: Numeric fields, in column order. `None`: all that the schema declares, for formats that have one.
        texts: String fields, in column order.
        route_field: The string field that names the data type, if the route is a field. It may be one of `texts`.
        missing: What an absent or null field means. Does not apply to `route_field`, which the pipeline judges.
    """

    features: tuple[str, ...] | None = None
    texts: tuple[str, ...] = ()
    route_field: str | None = None
    missing: Missing = "reject"


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that has no row in the columns.

    Attributes:
        row: Its position in the decoded batch.
        stage: `decode`: the bytes are not a record of the format. `features`: a field is missing or of the wrong type.
        reason: A sentence that names what was expected and what was found.
    """

    row: int
    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """The columns of the records that could be decoded, and the others with their reasons.

    Attributes:
        matrix: float64 (m, len(format.numbers)), C-contiguous. NaN is a NaN of the record, or a missing field where the
            selection says so.
        texts: One column (m,) a name of `format.texts`. Code -1 is a missing field.
        rows: int64 (m,), ascending: position of each row in the batch.
        bad: The records that are not in `rows`, in ascending order.
    """

    matrix: NDArray[np.float64]
    texts: tuple[TextColumn, ...]
    rows: NDArray[np.int64]
    bad: list[Rejected]


class RecordFormat(Protocol):
    """Decodes the record values of one stream. Keeps what it learned of them, so: one object a stream, one thread."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the matrix columns: the features as selected, `emb[2]` written out as `emb[0]`, `emb[1]`."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the text columns: those selected, and the route field at the end unless it is among them."""

    def decode(self, values: Sequence[bytes | None]) -> DecodedBatch:
        """Decode a batch. Never raises for what a record holds; `None` (a tombstone) is rejected.

        A route field that is missing has code -1, one that is empty has the code of "".
        """


Reason = Literal["", "primary", "arm", "pin", "rule", "fallback", "dark", "decided", "corrected"]
"""Why a model scored a record, as `ScoreResult.Reason` names it; empty where the route leaves nothing to choose."""


@dataclass(frozen=True, slots=True)
class Supersedes:
    """The results that a correction's results take the place of; the same for all records of a batch.

    Attributes:
        correction: Id of the correction.
        model: Model of the results that no longer hold.
        model_version: Version of it.
        control_offset: `control_offset` of those results.
    """

    correction: str
    model: str
    model_version: int
    control_offset: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model's predictions for one batch come from; the same for all its records. See `ScoreResult` in records.proto.

    Attributes:
        model: Registered name.
        model_version: Version of it.
        sha256: Digest of the artifact, 32 bytes.
        data_type: Route key of the records.
        topic: Topic of the records.
        partition: Partition of the records, unless `ScoredColumns.partitions` says that of each.
        control_offset: Control-log offset of the descriptor that made this version serve.
        worker: Worker id.
        arm: Arm of the route; empty for the primary one.
        route: Key of the route; empty, or equal to `data_type`, where it is that of the data type itself.
        reason: Why this model.
        supersedes: What the results take the place of, if anything's.
        decider: Name of the decider that chose or combined; empty where one arm scored.
    """

    model: str
    model_version: int
    sha256: bytes
    data_type: str
    topic: str
    partition: int
    control_offset: int
    worker: str
    arm: str = ""
    route: str = ""
    reason: Reason = ""
    supersedes: Supersedes | None = None
    decider: str = ""


@dataclass(frozen=True, slots=True)
class ScoredColumns:
    """Scored records of one batch: n rows.

    Attributes:
        offsets: int64 (n,), offsets of the records.
        record_timestamps_ms: int64 (n,), milliseconds since 1970 UTC, -1 where a record had none.
        prediction: float64 (n,): the value of a model with one numeric output. NaN is kept.
        label: (n,): the class, cluster or category. Code -1: the model gave none, the field is absent.
        scores: float64 (n, d): the elements of a vector output, or several numeric outputs.
        partitions: int32 (n,), of the records, where they are of several partitions.
    """

    offsets: NDArray[np.int64]
    record_timestamps_ms: NDArray[np.int64]
    prediction: NDArray[np.float64] | None = None
    label: TextColumn | None = None
    scores: NDArray[np.float64] | None = None
    partitions: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.offsets)


class ResultFormat(Protocol):
    """Encodes what live models said of one batch. Stateless: any thread."""

    @property
    def content_type(self) -> str:
        """Media type of a value, for headers."""

    def encode(self, provenance: Provenance, scored: ScoredColumns) -> Sequence[bytes]:
        """The value of each result of one model, in the order of the rows."""

    def encode_several(
        self, provenances: Sequence[Provenance], which: NDArray[np.int64], scored: ScoredColumns
    ) -> Sequence[bytes]:
        """The value of each result of several models, in the order of the rows.

        Args:
            provenances: One a model, at least one.
            which: int64 (n,), index of the provenance of each row.
            scored: The rows; those of all models have the same columns.
        """
