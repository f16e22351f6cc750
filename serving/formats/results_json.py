"""Results as JSON: one flat object with the fields of `ScoreResult` under the same names.

    {"model": "wine", "model_version": 3, "sha256": "<64 hex digits>", "data_type": "wine", "topic": "wine.records",
     "partition": 0, "offset": 1042, "control_offset": 7, "worker": "w1", "record_timestamp_ms": 1763700000000,
     "prediction": 5.25, "label": "good", "scores": [0.1, 0.9]}

After `worker` come `arm`, `route`, `reason` (`"arm"`, `"pin"`, ...), `supersedes` (`{"correction": "c1", "model": "wine",
"model_version": 3, "control_offset": 7}`) and `decider` (`"vote"`) where they say more than a plain route does.

`prediction` and `scores` are there if the model has them, `label` where it gave one. JSON has no NaN and no infinity:
both are `null`. `scores` keeps its length, so that its elements stay in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.formats.base import Provenance, ScoredColumns

_encode = msgspec.json.encode


class JsonResults:
    """See ResultFormat."""

    @property
    def content_type(self) -> str:
        """See ResultFormat.content_type."""
        return "application/json"

    def encode(self, provenance: Provenance, scored: ScoredColumns) -> list[bytes]:
        """See ResultFormat.encode."""
        head, middle = _same(provenance)
        return _joined(scored, provenance.partition, repeat(head), repeat(middle))

    def encode_several(
        self, provenances: Sequence[Provenance], which: NDArray[np.int64], scored: ScoredColumns
    ) -> list[bytes]:
        """See ResultFormat.encode_several."""
        heads, middles = zip(*map(_same, provenances), strict=True)
        of_row = which.tolist()
        return _joined(
            scored, provenances[0].partition, map(heads.__getitem__, of_row), map(middles.__getitem__, of_row)
        )


def _same(provenance: Provenance) -> tuple[bytes, bytes]:
    """What is the same in all results of a model: up to the partition, and from the offset to the timestamp."""
    before = {
        "model": provenance.model,
        "model_version": provenance.model_version,
        "sha256": provenance.sha256.hex(),
        "data_type": provenance.data_type,
        "topic": provenance.topic,
    }
    after = {"control_offset": provenance.control_offset, "worker": provenance.worker, **_choice(provenance)}
    return _encode(before)[:-1] + b',"partition":', b"," + _encode(after)[1:-1] + b',"record_timestamp_ms":'


def _joined(scored: ScoredColumns, partition: int, heads: Iterable[bytes], middles: Iterable[bytes]) -> list[bytes]:
    """The objects. Each column is encoded as one JSON array and cut at its commas: numbers hold none."""
    if not len(scored):
        return []
    columns = [
        heads,
        repeat(_encode(partition)) if scored.partitions is None else _numbers(scored.partitions),
        repeat(b',"offset":'),
        _numbers(scored.offsets),
        middles,
        _numbers(scored.record_timestamps_ms),
    ]
    if scored.prediction is not None:
        columns += [repeat(b',"prediction":'), _numbers(scored.prediction)]
    if scored.label is not None:
        columns.append(_labels(scored.label))
    if scored.scores is not None:
        columns += [repeat(b',"scores":'), _vectors(scored.scores)]
    columns.append(repeat(b"}"))
    return list(map(b"".join, zip(*columns, strict=False)))


def _choice(provenance: Provenance) -> dict[str, object]:
    choice: dict[str, object] = {"arm": provenance.arm, "reason": provenance.reason}
    if provenance.route != provenance.data_type:
        choice["route"] = provenance.route
    if (superseded := provenance.supersedes) is not None:
        choice["supersedes"] = asdict(superseded)
    choice["decider"] = provenance.decider
    return {name: value for name, value in choice.items() if value}


def _numbers(column: NDArray[np.float64] | NDArray[np.int64] | NDArray[np.int32]) -> list[bytes]:
    return _encode(column.tolist())[1:-1].split(b",")


def _vectors(matrix: NDArray[np.float64]) -> list[bytes]:
    if not matrix.shape[1]:
        return [b"[]"] * len(matrix)
    return [b"[%b]" % row for row in _encode(matrix.tolist())[2:-2].split(b"],[")]


def _labels(column: TextColumn) -> list[bytes]:
    members = [b',"label":' + _encode(value) for value in column.values]
    members.append(b"")  # which code -1 finds
    return [members[code] for code in column.codes.tolist()]
